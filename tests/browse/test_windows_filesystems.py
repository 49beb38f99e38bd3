"""NTFS, FAT and exFAT, filled by programs of their own: the readers find what was put there."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.browse.tree import Entry, Tree
from tests.browse.disks import open_images
from tests.browse.images import MIB, make_image, run

NAMES = ("plain.txt", "A long name with ünïcode ☃.document", "UPPER.TXT", "x" * 200)
CONTENT = random.Random(3).randbytes(3 * MIB + 11)


def content_of(tree: Tree, entry: Entry) -> bytes:
    assert entry.node is not None
    data = bytearray(entry.node.size_bytes)
    for offset, piece in pieces_of(tree, entry):
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def pieces_of(tree: Tree, entry: Entry) -> list[tuple[int, bytes]]:
    pieces: list[tuple[int, bytes]] = []
    tree.copy(entry, lambda offset, data: pieces.append((offset, data)))
    return pieces


def list_names(tree: Tree, path: str) -> list[str]:
    entries = list(tree.list(tree.find(path)[1]))
    assert not [entry.trouble for entry in entries if entry.trouble]
    return sorted(entry.name for entry in entries)


@contextmanager
def fuse_mounted(image: Path, directory: Path, *argv: str) -> Iterator[Path]:
    """A filesystem shown by its own FUSE program."""
    directory.mkdir(exist_ok=True)
    run(*argv, image, directory)
    try:
        yield directory
    finally:
        deadline_s = time.monotonic() + 60
        while subprocess.run(["umount", directory], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline_s, f"{directory} stays busy"
            time.sleep(0.2)


# ---- NTFS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ntfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ntfs")
    image = make_image(folder / "disk.raw", 96, "mkntfs", "-F", "-q", "-L", "Label")
    argv = ("ntfs-3g", "-o", "streams_interface=xattr,compression")
    with fuse_mounted(image, folder / "mnt", *argv) as root:
        for name in NAMES:
            (root / name).write_bytes(CONTENT)
        (root / "small").write_bytes(b"inside the table")
        os.link(root / "small", root / "second name")
        os.setxattr(root / "small", "user.Zone.Identifier", b"[ZoneTransfer]")
        os.utime(root / "small", ns=(10**18, 1234567890123456700))
        (root / "link").symlink_to("small")
        with (root / "sparse").open("wb") as file:
            file.truncate(5 << 30)
            file.seek(4900 << 20)
            file.write(b"far")
        packed = root / "compressed"
        packed.mkdir()
        os.setxattr(packed, "system.ntfs_attrib_be", (0x800).to_bytes(4, "big"))
        (packed / "text").write_bytes(b"compressible " * 200_000)
        many = root / "Windows" / "System32" / "many"
        many.mkdir(parents=True)
        for number in range(700):
            (many / f"file number {number} with a long name").write_bytes(b"%d" % number)
    return image


def test_an_ntfs_is_read(ntfs: Path) -> None:
    with open_images(ntfs) as tree:
        assert tree.root is not None
        assert (tree.root.kind, tree.root.label, tree.root.note) == ("ntfs", "Label", "")
        names = {*NAMES, "small", "second name", "link", "sparse", "compressed", "Windows"}
        assert list_names(tree, "/") == sorted(names)
        for name in NAMES:
            assert content_of(tree, tree.find(f"/{name}")[1]) == CONTENT
        assert len(list_names(tree, "/windows/SYSTEM32/Many")) == 700
        _, found = tree.find("/windows/system32/many/file number 699 with a long name")
        assert content_of(tree, found) == b"699"


def test_streams_links_times_and_second_names_of_ntfs(ntfs: Path) -> None:
    with open_images(ntfs) as tree:
        first, second = tree.find("/small")[1], tree.find("/second name")[1]
        assert first.node is not None
        assert second.node is not None
        assert first.number == second.number
        assert first.node.links == 2
        assert first.node.mtime_ns == 1234567890123456700
        assert first.attributes == {"user.Zone.Identifier": b"[ZoneTransfer]"}
        assert tree.find("/link", is_followed=False)[1].link == "small"
        assert content_of(tree, tree.find("/link")[1]) == b"inside the table"


def test_holes_and_compression_of_ntfs(ntfs: Path) -> None:
    with open_images(ntfs) as tree:
        _, sparse = tree.find("/sparse")
        assert sparse.node is not None
        assert sparse.node.size_bytes == 5 << 30
        pieces = pieces_of(tree, sparse)
        assert sum(len(data) for _, data in pieces) < MIB
        assert b"far" in b"".join(data for _, data in pieces)
        assert content_of(tree, tree.find("/compressed/text")[1]) == b"compressible " * 200_000


# ---- FAT and exFAT ------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "size_mib"), [(12, 8), (16, 40), (32, 80)])
def test_a_fat_is_read(bits: int, size_mib: int, tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.raw", size_mib, "mkfs.vfat", "-F", str(bits), "-n", "LBL")
    names = NAMES[: 2 if bits == 12 else None]
    run("mmd", "-i", image, "::/Folder", "::/Folder/below")
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    os.utime(source, (1_700_000_000, 1_700_000_000))
    for name in names:
        run("mcopy", "-m", "-i", image, source, f"::/Folder/{name}")
    (tmp_path / "gone").write_bytes(b"gone")
    run("mcopy", "-i", image, tmp_path / "gone", "::/gone")
    run("mdel", "-i", image, "::/gone")
    with open_images(image) as tree:
        assert tree.root is not None
        assert (tree.root.kind, tree.root.label) == (f"fat{bits}", "LBL")
        assert list_names(tree, "/") == ["Folder"]
        assert list_names(tree, "/FOLDER") == sorted([*names, "below"])
        for name in names:
            _, entry = tree.find(f"/folder/{name.upper()}")
            assert content_of(tree, entry) == CONTENT
            assert entry.node is not None
            assert entry.node.mtime_ns == 1_700_000_000 * 10**9


def test_an_exfat_is_read(tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.raw", 64, "mkfs.exfat", "-L", "LBL")
    device = Path(run("losetup", "--find", "--show", image).strip())
    try:
        with fuse_mounted(device, tmp_path / "mnt", "mount.exfat-fuse") as root:
            (root / "folder" / "many").mkdir(parents=True)
            for name in NAMES:
                (root / "folder" / name).write_bytes(CONTENT)
            os.utime(root / "folder" / NAMES[0], (1_700_000_001, 1_700_000_001))
            for number in range(400):
                (root / "folder" / "many" / f"a long name {number}").write_bytes(b"%d" % number)
            (root / "gone").write_bytes(b"gone")
            (root / "gone").unlink()
    finally:
        run("losetup", "--detach", device)
    with open_images(image) as tree:
        assert tree.root is not None
        assert (tree.root.kind, tree.root.label) == ("exfat", "LBL")
        assert list_names(tree, "/") == ["folder"]
        assert len(list_names(tree, "/folder/many")) == 400
        for name in NAMES:
            assert content_of(tree, tree.find(f"/folder/{name}")[1]) == CONTENT
        _, first = tree.find(f"/folder/{NAMES[0]}")
        assert first.node is not None
        assert first.node.mtime_ns == 1_700_000_001 * 10**9


def test_what_was_never_written_of_an_exfat_file_is_zeros(tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.raw", 16, "mkfs.exfat")
    device = Path(run("losetup", "--find", "--show", image).strip())
    try:
        with fuse_mounted(device, tmp_path / "mnt", "mount.exfat-fuse") as root:
            (root / "file").write_bytes(CONTENT[:9000])
    finally:
        run("losetup", "--detach", device)
    data = bytearray(image.read_bytes())
    # The stream entry (0xC0): how much is valid is at 8, how much there is at 24.
    full = (9000).to_bytes(8, "little")
    at = data.index(full + bytes(4))
    assert data[at + 16 : at + 24] == full
    data[at : at + 8] = (5000).to_bytes(8, "little")
    image.write_bytes(data)
    with open_images(image) as tree:
        assert content_of(tree, tree.find("/file")[1]) == CONTENT[:5000] + bytes(4000)
