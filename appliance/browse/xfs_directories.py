"""Directories of XFS: in the inode, in one block, in many. The hash index is not needed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from appliance.base.errors import IntegrityError

if TYPE_CHECKING:
    from appliance.browse.xfs import Run, Xfs

# What lies from here on in the file is the index (XFS_DIR2_LEAF_OFFSET).
_INDEX_OFFSET = 1 << 35
_ONE_BLOCK = (b"XD2B", b"XDB3")
_DATA = (b"XD2D", b"XDD3")
_FREE = 0xFFFF


def short_entries(raw: bytes, *, has_kinds: bool) -> Iterator[tuple[bytes, int]]:
    """Entries of a directory that lies in its inode."""
    count, wide = raw[0], raw[1]
    width = 8 if wide else 4
    at = 2 + width
    for _ in range(count or wide):
        length = raw[at]
        name = raw[at + 3 : at + 3 + length]
        at += 3 + length + has_kinds
        number = int.from_bytes(raw[at : at + width], "big")
        at += width
        if at > len(raw) or not length:
            raise IntegrityError("a directory is damaged")
        yield name, number


def entries(filesystem: Xfs, runs: Iterable[Run]) -> Iterator[tuple[bytes, int]]:
    """Entries of a directory in blocks of its own."""
    per = filesystem.directory_bytes // filesystem.block_bytes
    waiting: list[bytes] = []
    for first, count, block in runs:
        if first * filesystem.block_bytes >= _INDEX_OFFSET:
            return
        for number in range(count):
            # A block of the directory may be several of the filesystem, and those lie anywhere.
            waiting.append(filesystem.read_blocks(block + number))
            if len(waiting) == per:
                yield from _block_entries(b"".join(waiting), has_kinds=filesystem.has_kinds)
                waiting.clear()


def _block_entries(raw: bytes, *, has_kinds: bool) -> Iterator[tuple[bytes, int]]:
    magic = raw[:4]
    if magic not in _ONE_BLOCK + _DATA:
        raise IntegrityError("a directory is damaged")
    at, end = (64 if magic[3:] == b"3" else 16), len(raw)
    if magic in _ONE_BLOCK:
        leaves = struct.unpack_from(">I", raw, end - 8)[0]
        end -= 8 + leaves * 8
    while at + 8 <= end:
        tag, length = struct.unpack_from(">HH", raw, at)
        if tag == _FREE:
            if length < 8 or length % 8:
                raise IntegrityError("a directory is damaged")
            at += length
            continue
        number, name_length = struct.unpack_from(">QB", raw, at)
        name = raw[at + 9 : at + 9 + name_length]
        at += 8 + 1 + name_length + has_kinds + 2 + 7 & ~7
        if at > end or not name_length:
            raise IntegrityError("a directory is damaged")
        if name not in (b".", b".."):
            yield name, number
