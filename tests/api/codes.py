"""The codes that errors have, as the program's source names them.

A code is that of an error's class, or the closer one that whoever raises it gives; a few are the
API's own. Pages know errors by these: tests hold their words and docs/API.md against this list.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from appliance.base.errors import HoldfastError, code_of
from tests.command import ROOT

SOURCE = ROOT / "appliance"
# Never leave the box by a page: the command's own, and what is caught where it was raised.
INNER = {"daemon-hangs", "daemon-gone", "disk-asleep", "no-port", "probe", "refused-request"}


def list_codes() -> dict[str, str]:
    """Each code with what is said beside it: a line with `…` for names, or its class."""
    trees = [ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]
    found = dict(_of_classes(trees))
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                found |= dict.fromkeys(_assigned(node), "how a job ended")
            elif isinstance(node, ast.Call):
                found |= {code: line for code, line in _given(node) if code not in found}
    return {code: line for code, line in sorted(found.items()) if code not in INNER}


def _of_classes(trees: list[ast.Module]) -> Iterator[tuple[str, str]]:
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known = {HoldfastError.__name__}
    while True:
        more = {
            one.name: one
            for one in classes
            if one.name not in known and {ast.unparse(base) for base in one.bases} & known
        }
        if not more:
            break
        known |= more.keys()
        for name, one in more.items():
            kind = type(name, (HoldfastError,), {})
            yield code_of(kind), (ast.get_docstring(one) or "").splitlines()[0]
    yield code_of(HoldfastError), (HoldfastError.__doc__ or "").splitlines()[0]


def _given(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Codes of `SomeError("…", code="x")`, and of `describe(409, "x", "…")`."""
    name = ast.unparse(call.func).rpartition(".")[2]
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))) if call.args:
                yield code, _line(call.args[0])
    if name in ("describe", "_Refused") and len(call.args) > 1:
        named = call.args[1]
        if isinstance(named, ast.Constant) and isinstance(named.value, str):
            yield named.value, _line(call.args[2]) if len(call.args) > 2 else ""


def _assigned(node: ast.Assign) -> Iterator[str]:
    """Codes of `error_code = "x"`."""
    names = {ast.unparse(one) for target in node.targets for one in ast.walk(target)}
    if "error_code" in names:
        for one in ast.walk(node.value):
            if isinstance(one, ast.Constant) and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(one.value)):
                yield str(one.value)


def _line(text: ast.expr) -> str:
    if isinstance(text, ast.Constant):
        return str(text.value)
    if isinstance(text, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in text.values
        )
    return "…"


def list_phases(root: Path = SOURCE) -> dict[str, bool]:
    """Each phase that an operation names, and whether it may say what it is about."""
    found: dict[str, bool] = {}
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "phase" or not node.args:
                continue
            text = node.args[0]
            names = [text.value] if isinstance(text, ast.Constant) else []
            is_about = any(keyword.arg == "about" for keyword in node.keywords)
            found |= {str(name): is_about or found.get(str(name), False) for name in names}
            assert names or _hands_on(path, node), f"{path}:{node.lineno}: a phase of many names"
    return found


def _hands_on(path: Path, call: ast.Call) -> bool:
    """Whether the phase is one that was named elsewhere."""
    return (path.stem, ast.unparse(call.args[0])) in (("vm", "name"), ("stall", "before.phase"))
