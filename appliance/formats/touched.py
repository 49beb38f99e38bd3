"""Which parts of a machine's disks a boot read: docs/format/boots.md, "Touched". Bytes only."""

from __future__ import annotations

import struct
from collections.abc import Iterable

BLOCK_BYTES = 64 << 10
"""Reads are noted in these units."""
MAGIC = b"HFTOUCH1"
ENTRIES_MAX = 1 << 17
"""8 GiB of a disk: a boot that reads more is a restore."""

_ENTRY = struct.Struct("<Q")
_BLOCK_BITS = 48

Touched = tuple[int, int]
"""(disk, number of the block)."""


def encode_entry(touched: Touched) -> bytes:
    """One entry, as it is appended while a machine boots."""
    disk, block = touched
    return _ENTRY.pack(disk << _BLOCK_BITS | block)


def encode_touched(touched: Iterable[Touched]) -> bytes:
    """The whole file."""
    return MAGIC + b"".join(map(encode_entry, touched))


def decode_touched(data: bytes) -> list[Touched]:
    """The entries in order, each once; of what is not such a file, and of a torn end, none."""
    if data[: len(MAGIC)] != MAGIC:
        return []
    whole = len(data) - len(MAGIC)
    body = data[len(MAGIC) : len(MAGIC) + whole - whole % _ENTRY.size]
    values = dict.fromkeys(value for (value,) in _ENTRY.iter_unpack(body))
    return [
        (value >> _BLOCK_BITS, value & ((1 << _BLOCK_BITS) - 1))
        for value in list(values)[:ENTRIES_MAX]
    ]
