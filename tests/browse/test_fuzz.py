"""Mutated filesystems: the command says one line or lists what it can; it never falls over."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.browse.tree import Tree
from appliance.browse.walk import walk
from tests.browse.disks import FileDisk, open_images
from tests.browse.images import fill, make_image, mounted, run
from tests.browse.lvm_disks import provide_lvm_disks
from tests.browse.test_windows_filesystems import fuse_mounted
from tests.command import Holdfast

_MUTATIONS = 12
_MUTATIONS_SLOW = 400
_SILENCE_S = 90.0
# A file may claim any size; its content is read up to here.
_CONTENT_BYTES = 4 << 20


def _linux(*mkfs: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        image = make_image(folder / "disk.raw", 320 if mkfs[0] == "mkfs.xfs" else 64, *mkfs)
        with mounted(image, folder / "mnt") as root:
            fill(root, many=200, attribute_bytes=400)
        return image

    return make


def _ntfs(folder: Path) -> Path:
    image = make_image(folder / "disk.raw", 16, "mkntfs", "-F", "-q")
    with fuse_mounted(image, folder / "mnt", "ntfs-3g", "-o", "streams_interface=xattr") as root:
        for number in range(200):
            (root / f"file {number} with a long name").write_bytes(b"%d" % number * number)
    return image


def _fat(folder: Path) -> Path:
    image = make_image(folder / "disk.raw", 8, "mkfs.vfat")
    source = folder / "source"
    source.write_bytes(b"content" * 1000)
    run("mmd", "-i", image, "::/folder")
    for number in range(20):
        run("mcopy", "-i", image, source, f"::/folder/a long name {number}")
    return image


def _lvm(folder: Path) -> Path:
    image = folder / "disk.raw"
    shutil.copyfile(provide_lvm_disks()[0], image)
    return image


MAKERS = {
    "ext4": _linux("mkfs.ext4", "-q", "-F", "-O", "inline_data"),
    "ext2": _linux("mkfs.ext2", "-q", "-F", "-b", "1024"),
    "xfs": _linux("mkfs.xfs", "-q"),
    "ntfs": _ntfs,
    "fat": _fat,
    "lvm": _lvm,
}


@pytest.fixture(scope="module", params=MAKERS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MAKERS[request.param](tmp_path_factory.mktemp(request.param))


class RecordingDisk(FileDisk):
    """Remembers what was read: that is where mutations hurt."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: set[int] = set()

    def read(self, offset: int, length: int) -> bytes:
        """As the file; whole blocks of zeros are not worth mutating."""
        data = super().read(offset, length)
        for at in range(0, len(data), 4096):
            if any(data[at : at + 4096]):
                self.reads.add(offset + at)
        return data


class EnoughError(HoldfastError):
    """Of a content that may have no end."""


def visit(tree: Tree) -> int:
    """Everything a person could ask of it; gives the number of gaps."""
    gaps = 0

    def tell(_path: str, _reason: str) -> None:
        nonlocal gaps
        gaps += 1

    def take(offset: int, _data: bytes) -> None:
        if offset > _CONTENT_BYTES:
            raise EnoughError("enough")

    for volume in tree.volumes:
        try:
            path, first = tree.find(f"/@{volume.name}")
            for number, step in enumerate(walk(tree, path, first, tell)):
                node = step.entry.node
                if node is not None and node.is_file:
                    try:
                        tree.copy(step.entry, take)
                    except EnoughError:
                        continue
                    except HoldfastError:
                        gaps += 1
                if number > 3000:
                    break
        except HoldfastError:
            gaps += 1
    return gaps


def mutations(seed: int, blocks: list[int], count: int) -> Iterator[dict[int, bytes]]:
    chooser = random.Random(seed)
    for _ in range(count):
        patches = {}
        for _ in range(chooser.choice((1, 1, 3, 30))):
            at = chooser.choice(blocks) + chooser.randrange(4096)
            kind = chooser.randrange(4)
            patch = (
                bytes([chooser.randrange(256)]),
                b"\xff" * chooser.choice((1, 2, 4, 8)),
                bytes(chooser.choice((1, 2, 4, 512))),
                chooser.randbytes(chooser.choice((2, 4, 64, 512))),
            )[kind]
            patches[at] = patch
        yield patches


@pytest.mark.parametrize(
    "count",
    [_MUTATIONS, pytest.param(_MUTATIONS_SLOW, marks=pytest.mark.slow)],
    ids=("few", "many"),
)
def test_a_mutated_filesystem_is_survived(image: Path, count: int, seed: int) -> None:
    recorder = RecordingDisk(image)
    with Tree([recorder]) as tree:
        assert visit(tree) == 0 or "lvm" in str(image)
    hurt = 0
    for patches in mutations(seed, sorted(recorder.reads), count):
        disk = FileDisk(image)
        disk.patches = patches
        try:
            with Tree([disk], silence_s=_SILENCE_S) as tree:
                hurt += visit(tree) > 0
        except HoldfastError:
            hurt += 1
    print(f"{hurt} of {count} mutations were noticed")


def test_a_truncated_filesystem_is_survived(image: Path, tmp_path: Path, seed: int) -> None:
    short = tmp_path / "short.raw"
    shutil.copyfile(image, short)
    size = image.stat().st_size
    for part in (2, 10, 1000):
        with short.open("r+b") as file:
            file.truncate(size // part)
        with open_images(short, silence_s=_SILENCE_S) as tree:
            visit(tree)


def test_the_command_names_what_is_broken_in_one_line(
    image: Path, holdfast: Holdfast, tmp_path: Path, seed: int
) -> None:
    recorder = RecordingDisk(image)
    with Tree([recorder]) as tree:
        visit(tree)
    data = bytearray(image.read_bytes())
    for patches in mutations(seed, sorted(recorder.reads), 20):
        for at, patch in patches.items():
            data[at : at + len(patch)] = patch
    broken = tmp_path / "broken.raw"
    broken.write_bytes(data)
    holdfast("init", expect=0)
    holdfast("backup", broken, "--machine", "a", expect=0)
    for arguments in (("ls", "a@latest"), ("get", "a@latest", "/", tmp_path / "out")):
        result = holdfast(*arguments)
        assert result.code in (0, 3, 4, 5), result.err
        assert "Traceback" not in result.err
        assert "unexpected failure" not in result.err
