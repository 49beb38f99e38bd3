"""A tree made to hurt: what is safe is restored, the rest is named, nothing lands outside."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from appliance.base.beneath import Folder
from appliance.base.progress import Progress
from appliance.browse.fetch import Fetch, Fetched
from tests.browse.disks import open_images
from tests.browse.images import make_image, mounted, run

MKFS = ("mkfs.ext4", "-q", "-F", "-O", "^metadata_csum,^has_journal,^dir_index")
# Written under harmless names of the same length, then patched into the directory.
FORGED = {
    b"FORGED-parent-parent-x": b"../../../../tmp/evil-x",
    b"FORGED-absolute-x": b"/../tmp/evil-abso",
    b"FORGED-zero-x": b"evil\0zero\0nam",
    b"FD": b"..",
    b"FORGED-twice-1": b"same-name-here",
    b"FORGED-twice-2": b"same-name-here",
}


def hostile_names(count: int) -> list[bytes]:
    """Names that Linux allows and that something, somewhere, trips over."""
    chooser = random.Random(300)
    names = [
        *(
            b"-rf",
            b"--help",
            b"~",
            b"*",
            b"$(reboot)",
            b"`id`",
            b"a;b",
            b"a|b",
            b"\\..\\..\\x",
            b"...",
        ),
        *(b"CON", b"nul.txt", b"C:", b" leading", b"trailing ", b"=1+1", b"@disk0p1", b"%s%n%x"),
        *(b"\x1b]0;title\x07", b"\x1b[2J", b"new\nline", b"\r", b"\x7f", b"\xff\xfe", b"\xc0\xaf"),
        *(name.encode() for name in ("\u202etxt.exe", "\u2028", "\ufeff", "e\u0301", "\U0001f4a3")),
        *(b"x" * 255, "ü".encode() * 127, b".tmp-0123456789abcdef"),
    ]
    while len(names) < count:
        name = bytes(chooser.choice([*range(1, 47), *range(48, 256)]) for _ in range(24))
        names.append(name)
    return names[:count]


def make_hostile(image: Path, folder: Path, names: list[bytes]) -> None:
    with mounted(image, folder / "mnt") as root:
        top = root / "tree"
        top.mkdir()
        for name in names:
            (top / os.fsdecode(name)).write_bytes(name)
        (top / "outward").symlink_to("/etc/passwd")
        (top / "upward").symlink_to("../../../..")
        (top / "circle").symlink_to("circle")
        (top / "loop").mkdir()
        (top / "loop" / "inner").mkdir()
        (top / "second parent").mkdir()
        os.mknod(top / "device", 0o60666, os.makedev(1, 1))
        (top / "setuid").write_bytes(b"x")
        (top / "setuid").chmod(0o6755)
        for number in range(3):
            with (top / f"sparse{number}").open("wb") as file:
                file.truncate(4 << 30)
        deep = top / "deep"
        for _ in range(450):
            deep.mkdir()
            deep /= "d"
        for name in FORGED:
            (top / os.fsdecode(name)).write_bytes(b"evil")
        (top / "zz after all this").write_bytes(b"fine")
    # A directory with two parents, one of them itself.
    run("debugfs", "-w", "-R", "link /tree/loop /tree/loop/inner/again", image)
    data = image.read_bytes()
    for harmless, forged in FORGED.items():
        needle = bytes([len(harmless), 1]) + harmless
        assert len(harmless) == len(forged)
        assert data.count(needle) == 1, harmless
        data = data.replace(needle, needle[:2] + forged)
    image.write_bytes(data)


def fetch(image: Path, target: Path, *, path: str = "/tree") -> Fetched:
    with open_images(image) as tree, Folder.open(target) as folder:
        return Fetch(tree, folder, Progress()).run([path])


def test_a_hostile_tree_is_restored_but_for_what_is_named(tmp_path: Path) -> None:
    names = hostile_names(300)
    image = make_image(tmp_path / "disk.raw", 48, *MKFS)
    make_hostile(image, tmp_path, names)
    target = tmp_path / "box" / "target"
    target.parent.mkdir()
    done = fetch(image, target)
    for name in names:
        assert (target / "tree" / os.fsdecode(name)).read_bytes() == name
    assert (target / "tree" / "zz after all this").read_bytes() == b"fine"
    assert str((target / "tree" / "outward").readlink()) == "/etc/passwd"
    assert (target / "tree" / "sparse1").stat().st_size == 4 << 30
    assert (target / "tree" / "sparse1").stat().st_blocks == 0
    reasons = {path.removeprefix("/tree/"): reason for path, reason in done.gaps}
    for forged in ("../../../../tmp/evil-x", "/../tmp/evil-abso", "evil\0zero\0nam"):
        assert "no file can have" in reasons[forged]
    assert "twice" in reasons["same-name-here"]
    assert "met before" in reasons["loop/inner/again"]
    assert "--privileged" in reasons["device"]
    assert "--privileged" in reasons["setuid"]
    assert any("too deep" in reason for reason in reasons.values())
    assert done.gap_count == len(done.gaps) == len(reasons)
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert not list(Path("/tmp").glob("evil-*"))
    assert not list(target.rglob(".tmp-*[!f]")), "a temporary name stayed"
    shutil.rmtree(target)


@pytest.mark.parametrize(
    "count", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)], ids=("50 k", "1 M")
)
def test_many_entries_are_restored_in_bounded_memory(count: int, tmp_path: Path) -> None:
    size_mib = 96 + count * 3 // 2000
    image = make_image(
        tmp_path / "disk.raw", size_mib, *(*MKFS[:3], "-N", str(count + 1000), "-b", "1024")
    )
    with mounted(image, tmp_path / "mnt") as root:
        for number in range(count):
            folder = root / "tree" / f"{number // 20_000}"
            if number % 20_000 == 0:
                folder.mkdir(parents=True)
            os.close(os.open(folder / f"f{number}", os.O_CREAT | os.O_WRONLY))
    done = fetch(image, tmp_path / "target")
    assert (done.files, done.gap_count) == (count, 0)
    found = sum(len(files) for _, _, files in os.walk(tmp_path / "target"))
    assert found == count
    shutil.rmtree(tmp_path / "target")
