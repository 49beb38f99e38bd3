"""The page is static, strict and whole: nothing inline, nothing from elsewhere, pinned modules."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from image import web_modules
from image.web_modules import PACKAGES, Package, check_integrity, chosen_files, find_registry

WEB = Path(__file__).resolve().parents[2] / "appliance/web"
OWN = sorted(path for path in WEB.rglob("*") if path.suffix in {".js", ".css", ".html", ".svg"})
OWN = [path for path in OWN if "vendor" not in path.relative_to(WEB).parts]
MODULES = [path for path in OWN if path.suffix == ".js"]
# The name of SVG, which nobody fetches, and what an address looks like in a hint.
HARMLESS = re.compile(r"http://www\.w3\.org/2000/svg|https?://\S*example\S*|/\^https\?:\\/\\/")


def shown(path: Path) -> str:
    return path.relative_to(WEB).as_posix()


def test_nothing_is_loaded_from_elsewhere() -> None:
    texts = {shown(path): HARMLESS.sub("", path.read_text("utf-8")) for path in OWN}
    found = {
        name: re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}\S*", text)
        for name, text in texts.items()
    }
    assert not {name: addresses for name, addresses in found.items() if addresses}


def test_no_text_becomes_markup_or_a_program() -> None:
    ways = r"(?:inner|outer|Adjacent)HTML|document\.write|\beval\(|new Function|srcdoc"
    ways += r"|setAttribute\(\"(?:style|on)"
    assert not {shown(path) for path in MODULES if re.search(ways, path.read_text("utf-8"))}


def test_the_first_page_has_nothing_inline() -> None:
    text = (WEB / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_every_import_leads_to_a_module() -> None:
    lost = []
    for path in MODULES:
        for target in re.findall(r"(?:from|import\()\s*\"(\.[^\"]+)\"", path.read_text("utf-8")):
            if not (path.parent / target).resolve().is_file():
                lost.append(f"{shown(path)}: {target}")
    assert not lost


def test_the_first_view_asks_for_all_its_modules_at_once() -> None:
    todo, first = [WEB / "js/main.js", WEB / "js/pages/home.js"], set()
    while todo:
        module = todo.pop()
        if module in first:
            continue
        first.add(module)
        imports = r"^(?:import\b|export\b|\})[^\"\n]*\"(\.[^\"]+)\";"
        for target in re.findall(imports, module.read_text("utf-8"), re.MULTILINE):
            todo.append((module.parent / target).resolve())
    wanted = {shown(path) for path in first} - {"js/main.js"}
    page = (WEB / "index.html").read_text("utf-8")
    assert set(re.findall(r"modulepreload\" href=\"([^\"]+)", page)) == wanted


def test_modules_are_small() -> None:
    lines = {shown(path): path.read_text("utf-8").count("\n") for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > 300}


# ---- fetching -----------------------------------------------------------------------------------


def pack(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


PACKAGE = Package("a", "1", "", "there", (("dist/a.mjs", "a.js"), ("core/", "core/")))


def test_other_bytes_than_were_pinned_are_refused() -> None:
    archive = pack({"package/dist/a.mjs": b"x"})
    right = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    check_integrity(archive, replace(PACKAGE, integrity=right))
    with pytest.raises(IntegrityError, match="other bytes"):
        check_integrity(archive + b"!", replace(PACKAGE, integrity=right))


def test_files_and_folders_find_their_place_and_bare_names_theirs() -> None:
    archive = pack(
        {"package/dist/a.mjs": b'import{h}from"b"', "package/core/x/y.js": b"1", "package/z": b""}
    )
    package = replace(PACKAGE, renames=(('"b"', '"./b.js"'),))
    assert dict(chosen_files(archive, package)) == {
        "a.js": b'import{h}from"./b.js"',
        "core/x/y.js": b"1",
    }


def test_a_file_that_the_archive_lacks_is_named() -> None:
    with pytest.raises(IntegrityError, match="a 1 has no core/"):
        list(chosen_files(pack({"package/dist/a.mjs": b""}), PACKAGE))


def test_an_archive_cannot_leave_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack({"package/core/../../evil.js": b"", "package/dist/a.mjs": b""})
    right = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(archive))
    with pytest.raises(IntegrityError, match="leaves its folder"):
        web_modules.fetch_package(
            "https://example.test", replace(PACKAGE, integrity=right), tmp_path
        )
    assert not list(tmp_path.rglob("evil.js"))


def test_a_registry_that_is_away_for_a_moment_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive = pack({"package/dist/a.mjs": b"whole", "package/core/x.js": b""})
    right = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    package = replace(PACKAGE, integrity=right)
    answers: list[bytes | None] = [None, archive[:-9], archive]
    paused: list[float] = []

    def answer(*_: object, **__: object) -> io.BytesIO:
        found = answers.pop(0)
        if found is None:
            raise ConnectionResetError("gone")
        return io.BytesIO(found)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.setattr("time.sleep", paused.append)
    web_modules.fetch_package("https://example.test", package, tmp_path)
    assert [path.read_bytes() for path in tmp_path.rglob("a.js")] == [b"whole"]
    assert paused == [1.0, 5.0]
    answers[:] = [None] * 4
    with pytest.raises(HoldfastError, match="does not answer: gone"):
        web_modules.fetch_package("https://example.test", package, tmp_path)
    assert answers == []


def test_the_environment_says_where_the_registry_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "https://packages.example.test/npm/")
    assert find_registry() == "https://packages.example.test/npm"


def test_without_npm_and_setting_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HoldfastError, match="install npm or set npm_config_registry"):
        find_registry()


def test_every_module_of_the_page_is_pinned_and_there() -> None:
    assert all(package.integrity.startswith("sha512-") for package in PACKAGES)
    missing = [
        place
        for package in PACKAGES
        for _, place in package.files
        if not (WEB.parents[1] / package.folder / place).exists()
    ]
    assert not missing, "run 'make setup'"
