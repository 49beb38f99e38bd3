"""Disks copied while their machine ran: the journal is looked through, or it is said that not."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from tests.browse.disks import open_images
from tests.browse.images import fill, make_image, mounted, run
from tests.browse.kernel_view import describe_mount, describe_tree
from tests.command import Holdfast


def copy_while_in_use(image: Path, directory: Path, copy: Path) -> None:
    """Fill a filesystem, and copy its disk before anything of the journal was written back."""
    with mounted(image, directory) as root:
        fill(root, many=300, attribute_bytes=400)
        os.sync()
        (root / "plain.txt").rename(root / "renamed.txt")
        (root / "empty").unlink()
        shutil.rmtree(root / "deep")
        (root / "many" / "newest").write_bytes(b"after the rest")
        # A directory's block that is freed and used again for content: it must not come back.
        (root / "reused").write_bytes(os.urandom(3 << 20))
        run("sync", "--file-system", root)
        shutil.copyfile(image, copy)


@pytest.mark.parametrize(
    "mkfs",
    [
        ("mkfs.ext4", "-q", "-F"),
        ("mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "^64bit,^metadata_csum"),
        ("mkfs.ext3", "-q", "-F", "-I", "256"),
        ("mkfs.xfs", "-q"),
        ("mkfs.xfs", "-q", "-b", "size=1024", "-n", "size=8192"),
    ],
    ids=("ext4", "ext4 of old", "ext3", "xfs", "xfs with small blocks"),
)
def test_the_newest_state_is_in_the_journal(mkfs: tuple[str, ...], tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.raw", 320, *mkfs)
    copy, second = tmp_path / "copy.raw", tmp_path / "second.raw"
    copy_while_in_use(image, tmp_path / "mnt", copy)
    shutil.copyfile(copy, second)
    if mkfs[0] != "mkfs.xfs":
        assert "needs_recovery" in run("dumpe2fs", "-h", copy)
    with mounted(second, tmp_path / "mnt") as root:  # the kernel replays
        expected = dict(describe_mount(root))
    with open_images(copy) as tree:
        found = dict(describe_tree(tree))
    assert found.keys() == expected.keys()
    for path, description in expected.items():
        assert found[path] == description, path


def test_what_a_damaged_log_may_hide_is_told(tmp_path: Path, holdfast: Holdfast) -> None:
    image = make_image(tmp_path / "disk.raw", 320, "mkfs.xfs", "-q")
    copy = tmp_path / "copy.raw"
    copy_while_in_use(image, tmp_path / "mnt", copy)
    with open_images(copy) as tree:
        assert tree.root is not None
        assert not tree.root.note
    with copy.open("r+b") as file:
        head = file.read(512)
        block_bytes = struct.unpack_from(">I", head, 4)[0]
        start, blocks = struct.unpack_from(">Q", head, 48)[0], struct.unpack_from(">I", head, 96)[0]
        group_blocks, group_log = struct.unpack_from(">I", head, 84)[0], head[124]
        group, within = start >> group_log, start & (1 << group_log) - 1
        at = (group * group_blocks + within) * block_bytes
        for place in range(at, at + blocks * block_bytes, 512):
            file.seek(place)
            if file.read(4) == b"\xfe\xed\xba\xbe":  # a record: it is longer than the log
                file.seek(place + 12)
                file.write(b"\x7f\xff\xff\x00")
    holdfast("init", expect=0)
    holdfast("backup", copy, "--machine", "a", expect=0)
    assert "in use" in holdfast("ls", "a@latest", expect=0).err
    target = tmp_path / "out"
    assert "in use" in holdfast("get", "a@latest", "/", target, expect=0).err
