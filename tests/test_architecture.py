"""Layers and one-door rules: docs/ARCHITECTURE.md cannot lie, because this test reads its table."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "appliance").rglob("*.py"))


# ---- what a module says -------------------------------------------------------------------------


@dataclass
class Module:
    """A parsed module. `path` is relative to the package, as in `base/clock.py`."""

    path: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """`base` of `base/clock.py`, `daemon` of `daemon.py`, empty for `__init__.py`."""
        first = self.path.split("/")[0].removesuffix(".py")
        return "" if first == "__init__" else first


def parse(path: str, source: str) -> Module:
    module = Module(path, ast.parse(source))
    for _, imported, name, bound in imports_of(module):
        root_only = not name and imported.startswith(f"{bound}.")  # import os.path binds os
        full = f"{imported}.{name}" if name else imported
        module.names[bound] = bound if root_only else full
    return module


def imports_of(module: Module) -> Iterator[tuple[int, str, str, str]]:
    """(line, module, name, bound name) of each import, also of those inside functions."""
    here = ["appliance", *module.path.split("/")[:-1]]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                yield node.lineno, alias.name, "", bound
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, source, alias.name, alias.asname or alias.name


def dotted(module: Module, node: ast.expr) -> str:
    """`os.path.join` for such an expression, imports resolved; empty where it is none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([module.names.get(node.id, node.id), *reversed(parts)])


def parse_rows(page: str) -> dict[str, int]:
    """The row of each package in the table of docs/ARCHITECTURE.md."""
    rows: dict[str, int] = {}
    for number, cell in re.findall(r"^\| *(\d+) *\|([^|]*)\|", page, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", cell):
            rows[name.rstrip("/").removesuffix(".py")] = int(number)
    return rows


# ---- the rules: each gives the breaches of one module -------------------------------------------


def breaks_layers(module: Module, rows: dict[str, int]) -> Iterator[str]:
    for line, imported, name, _ in imports_of(module):
        parts = imported.split(".")
        if parts[0] != "appliance":
            continue
        target = parts[1] if len(parts) > 1 else name
        if target == module.package or (len(parts) == 1 and target not in rows):
            continue  # its own package, or what the root itself defines (__version__)
        if module.package not in rows:
            yield f"{line}: {module.package or 'the root'} has no row and imports {target}"
        elif target not in rows:
            yield f"{line}: imports {target}, which has no row"
        elif rows[target] >= rows[module.package]:
            yield (
                f"{line}: {module.package} (row {rows[module.package]}) imports "
                f"{target} (row {rows[target]})"
            )


@dataclass(frozen=True)
class Door:
    """Modules or dotted names that only code below `owners` may use."""

    what: str
    owners: tuple[str, ...]
    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


DOORS = (
    Door("the C library", ("native/",), modules=("ctypes", "cffi")),
    Door(
        "other programs",
        ("base/process.py",),
        modules=("subprocess", "pty"),
        names=("asyncio.create_subprocess_exec",),
    ),
    Door(
        "a shell or a fork",
        (),
        modules=("multiprocessing",),
        names=(
            *("os.system", "os.popen", "os.fork", "os.forkpty", "asyncio.create_subprocess_shell"),
            *("os.posix_spawn", "os.posix_spawnp"),
            *(f"os.exec{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
            *(f"os.spawn{kind}" for kind in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
        ),
    ),
    Door("SQL", ("catalog/",), modules=("sqlite3", "sqlite_utils")),
    Door(
        "the present time",
        ("base/clock.py",),
        names=(
            *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.sleep"),
            *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
            "datetime.date.today",
        ),
    ),
    Door("the clock", ("base/",), modules=("time",)),
    Door(
        "durable writes and locks",
        ("base/",),
        names=(
            *("fcntl.flock", "fcntl.lockf"),
            *("os.rename", "os.renames", "os.replace", "os.fsync", "os.fdatasync", "os.sync"),
            *("os.link", "os.lockf", "shutil.move"),
        ),
    ),
    Door(
        "printing, exit codes and arguments",
        ("cli/",),
        modules=("argparse", "tqdm"),
        names=(
            *("print", "input", "exit", "quit", "SystemExit", "sys.exit", "os._exit", "sys.argv"),
            *("sys.stdout", "sys.stderr", "sys.stdin"),
        ),
    ),
    Door("FUSE", ("recovery/",), modules=("fuse",)),
    Door("encryption in Python", ("keys/",), modules=("Crypto",)),
    Door("certificates", ("access/",), modules=("cryptography", "webauthn")),
    Door("imports that no table sees", ("cli/",), modules=("importlib",), names=("__import__",)),
    Door("code from text", (), names=("eval", "exec", "compile", "pickle.loads", "pickle.load")),
)


def is_below(name: str, parents: tuple[str, ...]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def breaks_doors(module: Module) -> Iterator[str]:
    for door in DOORS:
        if module.path.startswith(door.owners or ("\0",)):
            continue
        where = f"only {', '.join(door.owners) or 'nobody'}"
        for line, imported, name, _ in imports_of(module):
            full = f"{imported}.{name}" if name else imported
            if is_below(full, door.modules) or full in door.names:
                yield f"{line}: {full}: {door.what}: {where}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute | ast.Name):
                full = dotted(module, node)
                if full in door.names:
                    yield f"{node.lineno}: {full}: {door.what}: {where}"


def breaks_renames(module: Module) -> Iterator[str]:
    """`path.rename(x)`, and `path.replace(x)`, which only a path calls with one argument."""
    if module.path.startswith("base/"):
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        lone = len(node.args) == 1 and not node.keywords
        is_function = dotted(module, node.func) in ("dataclasses.replace", "copy.replace")
        if node.func.attr == "rename" or (node.func.attr == "replace" and lone and not is_function):
            yield f"{node.lineno}: .{node.func.attr}(): only base renames: durable.move_file"


def breaks_shells(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            yield f"{node.value.lineno}: shell=: argument vectors only"


def calls(module: Module, node: ast.Call, function: str) -> bool:
    return dotted(module, node.func).split(".")[-1] == function


FOREIGN = ("mount", "losetup", "kpartx", "qemu-nbd", "modprobe")


def breaks_mounts(module: Module) -> Iterator[str]:
    """No filesystem of a backup meets the host's kernel: only FUSE mounts (docs/ARCHITECTURE.md).

    The command line has a command of that name, and cannot start programs anyway.
    """
    if module.path.startswith("cli/"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
        elif isinstance(node, ast.Call) and node.args and calls(module, node, "find_program"):
            first = node.args[0]
        else:
            continue
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            program = first.value.rsplit("/", 1)[-1].split(" ")[0]
            if program in FOREIGN:
                yield f"{first.lineno}: program {program}: only FUSE mounts"


C_CALLS = re.compile(r"\b(mount|system|popen|fork|vfork|exec[lv]p?e?|printf|puts|exit|abort)\s*\(")


def breaks_c_doors(source: str) -> Iterator[str]:
    """The library starts no program, mounts nothing, prints nothing and never ends the process."""
    code = re.sub(
        r"/\*.*?\*/|//[^\n]*", lambda note: "\n" * note[0].count("\n"), source, flags=re.S
    )
    for number, line in enumerate(code.splitlines(), 1):
        for call in C_CALLS.findall(line):
            yield f"{number}: {call}()"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    breaks_doors,
    breaks_renames,
    breaks_shells,
    breaks_mounts,
)


# ---- this tree follows them ---------------------------------------------------------------------


def rows_of_this_tree() -> dict[str, int]:
    return parse_rows((ROOT / "docs/ARCHITECTURE.md").read_text())


def modules_of_this_tree() -> Iterator[Module]:
    for path in SOURCES:
        yield parse(path.relative_to(ROOT / "appliance").as_posix(), path.read_text())


def test_the_table_and_the_packages_are_the_same() -> None:
    packages = {module.package for module in modules_of_this_tree()} - {""}
    assert packages == rows_of_this_tree().keys()


def test_packages_import_only_from_lower_rows() -> None:
    rows = rows_of_this_tree()
    breaches = {
        f"appliance/{module.path}:{breach}"
        for module in modules_of_this_tree()
        for breach in breaks_layers(module, rows)
    }
    assert not breaches, "\n".join(sorted(breaches))


@pytest.mark.parametrize("rule", RULES)
def test_every_door_has_one_owner(rule: Callable[[Module], Iterator[str]]) -> None:
    breaches = {
        f"appliance/{module.path}:{breach}"
        for module in modules_of_this_tree()
        for breach in rule(module)
    }
    assert not breaches, "\n".join(sorted(breaches))


def test_the_c_library_keeps_to_memory_and_descriptors() -> None:
    breaches = [
        f"{path.relative_to(ROOT)}:{breach}"
        for path in sorted((ROOT / "native/src").glob("*.[ch]"))
        for breach in breaks_c_doors(path.read_text())
    ]
    assert not breaches, "\n".join(breaches)


# ---- the rules can fail -------------------------------------------------------------------------

ROWS = {"cli": 10, "backup": 6, "recovery": 6, "store": 3, "keys": 2, "formats": 2, "base": 0}


def test_the_table_is_read_with_one_or_several_packages_in_a_row() -> None:
    page = "| row | package |\n|---|---|\n| 10 | `cli` | x |\n| 2 | `keys/` `daemon.py` | `not` |\n"
    assert parse_rows(page) == {"cli": 10, "keys": 2, "daemon": 2}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("store/reader.py", "from appliance.cli import main"),
        ("store/reader.py", "import appliance.backup.run"),
        ("store/reader.py", "from appliance import recovery"),
        ("store/reader.py", "from ..backup import run"),
        ("store/reader.py", "from .. import backup"),
        ("store/reader.py", "def read():\n    from appliance.backup import run"),
        ("store/reader.py", "if TYPE_CHECKING:\n    from appliance.backup import run"),
        ("keys/wrap.py", "from appliance.formats import wrap"),
        ("store/reader.py", "from appliance.attic import x"),
        ("attic/x.py", "from appliance.base import errors"),
        ("__init__.py", "from appliance.base import errors"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(path: str, source: str) -> None:
    assert list(breaks_layers(parse(path, source), ROWS))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("store/reader.py", "from appliance.keys import ring\nfrom appliance.base import errors"),
        ("store/reader.py", "from appliance.store.index import Index\nfrom . import index"),
        ("store/reader.py", "from appliance import __version__\nimport json"),
        ("cli/main.py", "from appliance.backup import run\nfrom appliance.recovery import mount"),
    ],
)
def test_an_import_that_goes_down_is_fine(path: str, source: str) -> None:
    assert not list(breaks_layers(parse(path, source), ROWS))


@pytest.mark.parametrize(
    "source",
    [
        "import ctypes",
        "import ctypes.util",
        "import subprocess",
        "from subprocess import run",
        "def f():\n    import sqlite3",
        "from sqlite_utils import Database",
        "import time",
        "from time import monotonic",
        "from datetime import datetime\ndatetime.now()",
        "import datetime as d\nd.datetime.now(d.UTC)",
        "import os\nos.rename(a, b)",
        "import os as system\nsystem.fsync(1)",
        "from os import replace",
        "import os\nf = os.fork",
        "import os\nos.execvp(a, b)",
        "import os\nos.system(a)",
        "import asyncio\nasyncio.create_subprocess_exec(a)",
        "import fcntl\nfcntl.flock(a, fcntl.LOCK_EX)",
        "import os.path\nos.rename(a, b)",
        "import shutil\nshutil.move(a, b)",
        "print(1)",
        "raise SystemExit(1)",
        "import sys\nsys.exit(1)",
        "import sys\nsys.stderr.write(a)",
        "from sys import exit",
        "import fuse",
        "from Crypto.Cipher import AES",
        "import importlib",
        "eval(a)",
    ],
)
def test_a_second_door_is_found(source: str) -> None:
    assert list(breaks_doors(parse("store/reader.py", source)))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("native/library.py", "import ctypes"),
        ("base/process.py", "import subprocess"),
        ("base/clock.py", "import time\ntime.time()\ntime.sleep(1)"),
        ("base/progress.py", "import time\ntime.monotonic()"),
        ("base/durable.py", "import os\nos.rename(a, b)\nos.fsync(c)"),
        ("cli/main.py", "import sys\nprint(1)\nsys.exit(1)"),
        ("catalog/tables.py", "import sqlite_utils"),
        ("recovery/mount.py", "from fuse import FUSE"),
        ("keys/wrap.py", "from Crypto.Cipher import AES"),
        (
            "store/reader.py",
            "import os\nfrom datetime import datetime\nos.open(a, b)\ndatetime(1, 2, 3)",
        ),
        ("store/reader.py", "self.print(a)\nclock.time()\nre.compile(a)"),
    ],
)
def test_the_owner_of_a_door_may_use_it(path: str, source: str) -> None:
    assert not list(breaks_doors(parse(path, source)))


def test_base_too_asks_the_clock_for_the_time() -> None:
    assert list(breaks_doors(parse("base/locks.py", "import time\ntime.time()")))


def test_a_rename_of_a_path_is_found_and_that_of_a_text_is_not() -> None:
    assert list(breaks_renames(parse("store/a.py", "path.rename(target)")))
    assert list(breaks_renames(parse("store/a.py", "path.replace(target)")))
    fine = "text.replace('a', 'b')\nreplace(point, time=1)\nmoment.replace(tzinfo=UTC)"
    assert not list(breaks_renames(parse("store/a.py", fine)))
    assert not list(breaks_renames(parse("store/a.py", "import copy\ncopy.replace(a)")))
    assert not list(breaks_renames(parse("base/durable.py", "path.rename(target)")))


def test_a_shell_is_found_wherever_it_is() -> None:
    assert list(breaks_shells(parse("base/process.py", "subprocess.run(argv, shell=True)")))


@pytest.mark.parametrize(
    "source",
    [
        "run(['mount', '-o', 'ro', device, target])",
        "argv = ('/bin/mount', device)",
        "argv = [find_program('mount', 'mount'), device]",
        "run(['losetup', '-f', image])",
    ],
)
def test_a_mount_by_the_kernel_is_found(source: str) -> None:
    assert list(breaks_mounts(parse("recovery/mount.py", source)))


def test_detaching_a_mount_and_a_command_named_mount_are_fine() -> None:
    assert not list(breaks_mounts(parse("recovery/mount.py", "run(['fusermount', '-u', target])")))
    assert not list(breaks_mounts(parse("cli/main.py", "COMMANDS = ('mount', 'umount')")))


def test_a_forbidden_call_in_c_is_found_and_one_in_a_comment_is_not() -> None:
    assert list(breaks_c_doors("int f(void) { return system(command); }"))
    assert list(breaks_c_doors("void f(void) { mount(a, b, c, 0, 0); }"))
    assert not list(breaks_c_doors("/* never printf() */\nvoid f(void) { snprintf(a, 1, b); }"))
