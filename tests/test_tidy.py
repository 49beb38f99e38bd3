"""Style that a machine can check: sizes, names, leftovers, links, and words that do not belong."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run_suites import SUITES

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES = 60
FILE_LINES = 500
# tests/<name>: a package of the code, or a suite named for what it does
SUITE_FOLDERS = {"bench", "contract", "corrupt", "crash", "e2e", "fuzz", "golden", "powercut"}
SUITE_FOLDERS |= {"guest", "hwtests", "web"}


def tracked_files() -> list[Path]:
    """What is or would be committed; git is asked so that ignored files do not count."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in names.decode().split("\0") if name]
    return sorted({path for path in paths if path.is_file()})


FILES = tracked_files()


def files_below(*folders: str, suffixes: tuple[str, ...]) -> list[Path]:
    return [
        path
        for path in FILES
        if path.suffix in suffixes and path.relative_to(ROOT).as_posix().startswith(folders)
    ]


PRODUCT = files_below("appliance/", "image/", suffixes=(".py",))
PYTHON = [*PRODUCT, *files_below("hwtests/", "tests/", "docs/", suffixes=(".py",))]
C = files_below("native/", suffixes=(".c", ".h"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts_of(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """(name, text) of each file that is text."""
    for path in paths:
        try:
            yield shown(path), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


# ---- sizes --------------------------------------------------------------------------------------


def python_functions(source: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function, from `def` to its last line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def c_functions(source: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function, as the project's format lays them out.

    A body opens at the end of a line with parentheses and closes with `}` in the first column.
    """
    lines = source.splitlines()
    began, name = 0, ""
    for number, line in enumerate(lines, 1):
        if not name:
            if line and not line[0].isspace() and not line.startswith(("}", "/*", "#", " *")):
                began = number
            if line.endswith(") {") and began:
                head = " ".join(lines[began - 1 : number])
                name = (re.findall(r"(\w+)\s*\(", head) or ["?"])[0]
        if line == "}" and name:
            yield name, number - began + 1
            began, name = 0, ""


def long_functions(paths: list[Path]) -> list[str]:
    return [
        f"{where}: {name} has {lines} lines"
        for where, text in texts_of(paths)
        for name, lines in (c_functions if where.endswith((".c", ".h")) else python_functions)(text)
        if lines > FUNCTION_LINES
    ]


def test_a_function_fits_a_screen() -> None:
    assert not long_functions([*PYTHON, *C])


def test_a_file_can_be_read_in_one_go() -> None:
    counts = {where: text.count("\n") for where, text in texts_of([*PYTHON, *C])}
    assert not {where: lines for where, lines in counts.items() if lines > FILE_LINES}


def test_the_length_of_functions_is_measured() -> None:
    assert list(python_functions("class A:\n    def f(self):\n        '''x'''\n        pass")) == [
        ("f", 3)
    ]
    c = (
        "typedef struct {\n    int a;\n} s;\n\nint declared(void);\n"
        "static int f(int a,\n             int b) {\n    if (a) {\n        b();\n    }\n}\n"
        "int g(void) {\n}\n"
    )
    assert list(c_functions(c)) == [("f", 6), ("g", 2)]


# ---- names and leftovers ------------------------------------------------------------------------

EMPTY_NAMES = re.compile(r"(^|_)(util|utils|helper|helpers|common|manager|misc)(_|$)")
LEFTOVERS = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    parts = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not {part for part in parts if EMPTY_NAMES.search(part)}


def test_no_class_has_a_name_that_says_nothing() -> None:
    names = {
        f"{where}: {node.name}"
        for where, text in texts_of(PRODUCT)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        and re.search(r"(Util|Utils|Helper|Helpers|Manager)$", node.name)
    }
    assert not names


def test_nothing_is_left_for_later_in_a_remark() -> None:
    assert not [where for where, text in texts_of(FILES) if LEFTOVERS.search(text)]


def test_every_module_says_what_it_owns() -> None:
    texts = texts_of(PYTHON)
    assert not [where for where, text in texts if text and not ast.get_docstring(ast.parse(text))]


# ---- pages --------------------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def broken_links(page: Path) -> list[str]:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    return [target for target in targets if not (page.parent / target).exists()]


def test_links_of_pages_lead_somewhere() -> None:
    pages = [path for path in FILES if path.suffix == ".md"]
    assert not {shown(page): broken for page in pages if (broken := broken_links(page))}


def test_every_format_page_is_linked_from_the_first() -> None:
    folder = ROOT / "docs/format"
    linked = set(LINK.findall((folder / "README.md").read_text()))
    pages = {page.name for page in folder.glob("*.md")} - {"README.md"}
    assert pages == {target for target in linked if target.endswith(".md")}


# ---- tests --------------------------------------------------------------------------------------


def test_every_test_belongs_to_one_suite() -> None:
    tests = [shown(path) for path in files_below("tests/", suffixes=(".py",))]
    for test in tests:
        if test.rsplit("/", 1)[-1].startswith("test_"):
            owners = [
                suite.name
                for suite in SUITES
                for path in suite.paths
                if test == path or test.startswith(f"{path}/")
            ]
            assert len(owners) == 1, f"{test} belongs to {owners}, see tests/run_suites.py"


def test_folders_of_tests_are_packages_or_kinds_of_suites() -> None:
    packages = {path.parent.name for path in PRODUCT} | {"image"}
    folders = {
        path.relative_to(ROOT / "tests").parts[0]
        for path in files_below("tests/", suffixes=(".py",))
        if path.parent != ROOT / "tests"
    }
    assert folders <= packages | SUITE_FOLDERS


# ---- words --------------------------------------------------------------------------------------

# One letter of each stands in brackets, so that this page does not find itself.
FOREIGN_WORDS = (
    r"(?<![\w.~*-])/wor[k]/",
    r"(?<![\w.~*-])/hom[e]/\w",
    r"(?<![\w.~*-])/roo[t]/",
    r"\bA[I]\b",
    r"\bLL[M]s?\b",
    r"(?i)\bassistan[t]s?\b",
    r"(?i)\blanguage mode[l]",
    r"(?i)\bchatbo[t]",
    r"(?i)\bworkplac[e]",
    r"(?i)\b(?:py[p]i|deb[.]debia[n]|npmj[s])\.(?:org|com)\b",
)


def foreign_words(text: str) -> list[str]:
    return [found[0] for word in FOREIGN_WORDS for found in re.finditer(word, text)]


def test_the_project_speaks_of_itself_alone() -> None:
    found = {where: words for where, text in texts_of(FILES) if (words := foreign_words(text))}
    assert not found


@pytest.mark.parametrize(
    "text", ["cd /wor" + "k/main", "see /roo" + "t/notes", "an A" + "I wrote it", "py" + "pi.org"]
)
def test_a_word_from_elsewhere_is_found(text: str) -> None:
    assert foreign_words(text)


def test_words_of_the_trade_are_fine() -> None:
    assert not foreign_words("a working tree, tree/work/x, AES, RAID, the host's root, /proc/self")
