"""Ext and XFS: the readers find exactly what the host's kernel shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browse.disks import open_images
from tests.browse.images import fill, make_image, mounted
from tests.browse.kernel_view import describe_mount, describe_tree

KINDS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "ext4 with everything": (
        *("mkfs.ext4", "-q", "-F", "-O", "inline_data,ea_inode,metadata_csum,64bit,bigalloc"),
        *("-C", "65536"),
    ),
    "ext4 with small blocks and meta groups": (
        *("mkfs.ext4", "-q", "-F", "-b", "1024", "-I", "512", "-O", "meta_bg,^resize_inode"),
    ),
    "ext3": ("mkfs.ext3", "-q", "-F", "-I", "256"),
    "xfs": ("mkfs.xfs", "-q"),
    "xfs with small blocks": ("mkfs.xfs", "-q", "-b", "size=1024", "-i", "size=512"),
    "xfs with large directories": ("mkfs.xfs", "-q", "-n", "size=16384"),
    "ext2": ("mkfs.ext2", "-q", "-F", "-b", "2048"),
}

# Here attributes have one block at most.
SMALL = {"ext4", "ext4 with small blocks and meta groups", "ext3", "ext2"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_is_read_as_the_kernel_reads_it(kind: str, tmp_path: Path) -> None:
    image = make_image(tmp_path / "disk.raw", 320, *KINDS[kind])
    with mounted(image, tmp_path / "mnt") as root:
        fill(root, attribute_bytes=400 if kind in SMALL else 5000)
        # What follows is settled on the disk: a second mount shows what was really written.
    with mounted(image, tmp_path / "mnt", "ro") as root:
        expected = dict(describe_mount(root))
    with open_images(image) as tree:
        assert tree.root is not None, tree.volumes
        assert tree.root.kind == kind.split(maxsplit=1)[0]
        assert not tree.root.note
        found = dict(describe_tree(tree))
    assert found.keys() == expected.keys()
    for path, description in expected.items():
        assert found[path] == description, path
