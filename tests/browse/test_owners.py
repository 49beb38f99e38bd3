"""Damage at some bytes of a disk becomes the names of files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from appliance.browse.owners import FILES_MAX, find_owners
from appliance.browse.tree import Tree
from tests.browse.disks import FileDisk, open_images
from tests.browse.images import MIB, make_image, mounted, run
from tests.command import Holdfast
from tests.conftest import SEED

KINDS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q"),
}


def make_disk(folder: Path, *mkfs: str) -> Path:
    image = make_image(folder / "disk.raw", 320, *mkfs)
    with mounted(image, folder / "mnt") as root:
        (root / "var").mkdir()
        for number in range(40):
            (root / f"var/file{number}").write_bytes(random.Random(number).randbytes(200_000))
        (root / "empty").write_bytes(b"")
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_that_lie_on_lost_bytes_are_named(kind: str, tmp_path: Path) -> None:
    image = make_disk(tmp_path, *KINDS[kind])
    with open_images(image) as tree:
        lost = []
        for name in ("/var/file7", "/var/file23"):
            place = next(iter(tree.places(tree.find(name)[1]) or ()))
            lost.append((place.disk, place.at + 5000, 1))
        found = find_owners(tree, lost, entries_max=1000)
        assert sorted(found.files) == ["/var/file23", "/var/file7"]
        assert found.is_whole
        assert not found.unreadable
        beside = find_owners(tree, [(0, 0, 512), (1, 0, 1 << 40)], entries_max=1000)
        assert not beside.files
        assert not find_owners(tree, lost, entries_max=3).is_whole
        all_of_it = find_owners(tree, [(0, 0, 1 << 40)], entries_max=1000)
        assert len(all_of_it.files) == FILES_MAX
        assert not all_of_it.is_whole


def test_a_directory_that_is_lost_itself_is_named_with_the_reason(tmp_path: Path) -> None:
    image = make_disk(tmp_path, *KINDS["ext4"], "-b", "4096")
    disk = FileDisk(image)
    block = int(run("debugfs", "-R", "blocks /var", image).split()[0])
    disk.damaged.append((block * 4096, 4096))
    with Tree([disk]) as tree:
        found = find_owners(tree, [(0, block * 4096, 4096)], entries_max=1000)
    assert not found.files
    ((path, _),) = found.unreadable
    assert path in ("/", "/var"), "they may lie side by side"
    assert "damaged" in found.unreadable[0][1]


def test_verify_names_the_file(holdfast: Holdfast, tmp_path: Path) -> None:
    print(f"HOLDFAST_TEST_SEED={SEED}")
    image = make_image(tmp_path / "disk.raw", 32, *KINDS["ext4"])
    with mounted(image, tmp_path / "mnt") as root:
        (root / "srv").mkdir()
        (root / "srv/ledger.db").write_bytes(random.Random(SEED).randbytes(12 * MIB))
        (root / "note").write_bytes(b"sound")
    holdfast("init", "--recovery-out", tmp_path / "key.txt", expect=0)
    point = holdfast("--json", "backup", image, "--machine", "web1", expect=0).json()["name"]
    folder = holdfast.state / "store/containers"
    container = max(folder.glob("*/*"), key=lambda path: path.stat().st_size)
    with container.open("r+b") as file:
        file.seek(container.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes((byte[0] ^ 1,)))
    said = holdfast("--json", "verify", point, expect=4).json()
    (hurt,) = said["hurt_points"]
    assert hurt["files"] == ["/srv/ledger.db"]
    assert hurt["all_files_named"] is True
    text = holdfast("verify", expect=4)
    assert "    in /srv/ledger.db" in text.out
