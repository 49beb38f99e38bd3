"""What the host's kernel says about a tree, in the form in which readers' answers are compared."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.browse.tree import Entry, Tree

Description = dict[str, Any]
_HIDDEN = ("trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT")


def describe_mount(root: Path, name: str = "") -> Iterator[tuple[str, Description]]:
    """(path, description) of everything below a mounted directory, itself included."""
    path = root / name
    yield f"/{name}", _describe_path(path)
    if stat.S_ISDIR(path.lstat().st_mode):
        for below in sorted(os.listdir(path)):
            yield from describe_mount(root, f"{name}/{below}" if name else below)


def _describe_path(path: Path) -> Description:
    status = path.lstat()
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if name not in _HIDDEN
    }
    found: Description = {
        "mode": status.st_mode,
        "owner": (status.st_uid, status.st_gid),
        "links": status.st_nlink,
        "modified": status.st_mtime_ns,
        "changed": status.st_ctime_ns,
        "attributes": attributes,
    }
    if stat.S_ISREG(status.st_mode):
        found |= {"size": status.st_size, "content": _hash_file(path)}
    elif stat.S_ISLNK(status.st_mode):
        found["link"] = str(path.readlink())
    elif stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
        found["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return found


def _hash_file(path: Path) -> str:
    """Of offsets and bytes of what is not zeros, so that 6 GiB of hole cost nothing."""
    pieces = []
    with path.open("rb") as file:
        end = at = 0
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < end:
                data = os.pread(file.fileno(), min(end - at, 1 << 20), at)
                pieces.append((at, data))
                at += len(data)
    return hash_pieces(pieces)


def hash_pieces(pieces: list[tuple[int, bytes]]) -> str:
    """A digest of the blocks of 4 KiB that are not all zeros."""
    blocks: dict[int, bytearray] = {}
    for offset, data in pieces:
        at = 0
        while at < len(data):
            number, within = divmod(offset + at, 4096)
            part = data[at : at + 4096 - within]
            blocks.setdefault(number, bytearray(4096))[within : within + len(part)] = part
            at += len(part)
    digest = hashlib.sha256()
    for number, block in sorted(blocks.items()):
        if any(block):
            digest.update(b"%d:" % number + block)
    return digest.hexdigest()


def describe_tree(tree: Tree, path: str = "/") -> Iterator[tuple[str, Description]]:
    """The same of everything that the readers find."""
    _, entry = tree.find(path, is_followed=False)
    yield from _describe(tree, path, entry)


def _describe(tree: Tree, path: str, entry: Entry) -> Iterator[tuple[str, Description]]:
    node = entry.node
    assert node is not None, (path, entry.trouble)
    assert not entry.trouble, (path, entry.trouble)
    found: Description = {
        "mode": node.mode,
        "owner": (node.uid, node.gid),
        "links": node.links,
        "modified": node.mtime_ns,
        "changed": node.ctime_ns,
        "attributes": entry.attributes,
    }
    if node.is_file:
        pieces: list[tuple[int, bytes]] = []
        tree.copy(entry, lambda offset, data: pieces.append((offset, data)))
        found |= {"size": node.size_bytes, "content": hash_pieces(pieces)}
    elif node.is_link:
        found["link"] = entry.link
    elif node.device is not None:
        found["device"] = node.device
    yield path, found
    if node.is_directory:
        for below in sorted(tree.list(entry), key=lambda item: item.name):
            yield from _describe(tree, f"{path.rstrip('/')}/{below.name}", below)
