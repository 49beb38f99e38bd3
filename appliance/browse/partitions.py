"""Partition tables: MBR with logical partitions, and GPT with its backup. UEFI 2.10, chapter 5."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume

_SIGNATURE = b"\x55\xaa"
_GPT = b"EFI PART"
_PROTECTIVE = 0xEE
_EXTENDED = (0x05, 0x0F, 0x85)
_LOGICAL_MAX = 128
_ENTRIES_MAX = 1024
_SECTORS_BYTES = (512, 4096)


class Partition(NamedTuple):
    """A partition by its number as Linux counts it, in bytes."""

    number: int
    offset: int
    length: int


def read_partitions(disk: Volume) -> list[Partition]:
    """The partitions of a disk; none where there is no table. Those that stick out are left out."""
    for sector_bytes in _SECTORS_BYTES:
        found = _read_gpt(disk, sector_bytes)
        if found is not None:
            return _inside(disk, found)
    if disk.size_bytes < 512:
        return []
    raw = disk.read(0, 512)
    if raw[510:] != _SIGNATURE or not _is_table(raw):
        return []
    return _inside(disk, list(_read_mbr(disk, raw)))


def _inside(disk: Volume, found: list[Partition]) -> list[Partition]:
    return [
        part._replace(length=min(part.length, disk.size_bytes - part.offset))
        for part in found
        if 0 < part.offset < disk.size_bytes and part.length > 0
    ]


def _is_table(raw: bytes) -> bool:
    """Whether it is a table and not the boot sector of a filesystem, which ends the same way."""
    entries = [raw[at : at + 16] for at in range(446, 510, 16)]
    return any(entry[4] for entry in entries) and all(entry[0] in (0, 0x80) for entry in entries)


def _read_mbr(disk: Volume, raw: bytes) -> Iterator[Partition]:
    extended = []
    for number, (kind, start, count) in enumerate(_entries(raw), start=1):
        if kind in _EXTENDED:
            extended.append(start)
        elif kind and count and kind != _PROTECTIVE:
            yield Partition(number, start * 512, count * 512)
    number = 5
    for base in extended[:1]:
        at, seen = base, set[int]()
        while at not in seen and len(seen) < _LOGICAL_MAX and (at + 1) * 512 <= disk.size_bytes:
            seen.add(at)
            raw = disk.read(at * 512, 512)
            if raw[510:] != _SIGNATURE:
                return
            (kind, start, count), (next_kind, following, _) = _entries(raw)[:2]
            if kind and count:
                yield Partition(number, (at + start) * 512, count * 512)
                number += 1
            if next_kind not in _EXTENDED:
                return
            at = base + following


def _entries(raw: bytes) -> list[tuple[int, int, int]]:
    """Kind, first sector and sectors of the four entries."""
    return [(raw[at + 4], *struct.unpack_from("<II", raw, at + 8)) for at in range(446, 510, 16)]


def _read_gpt(disk: Volume, sector_bytes: int) -> list[Partition] | None:
    last = disk.size_bytes // sector_bytes - 1
    for sector in (1, last):
        try:
            return _read_gpt_at(disk, sector, sector_bytes)
        except IntegrityError:
            continue
    return None


def _read_gpt_at(disk: Volume, sector: int, sector_bytes: int) -> list[Partition]:
    head = disk.read(sector * sector_bytes, 512)
    if head[:8] != _GPT:
        raise IntegrityError("no GPT")
    length = struct.unpack_from("<I", head, 12)[0]
    if not 92 <= length <= 512:
        raise IntegrityError("a GPT with an impossible header")
    if zlib.crc32(head[:16] + bytes(4) + head[20:length]) != struct.unpack_from("<I", head, 16)[0]:
        raise IntegrityError("a GPT with a damaged header")
    table, count, size, checksum = struct.unpack_from("<QIII", head, 72)
    if not (0 < count <= _ENTRIES_MAX and 128 <= size <= 4096):
        raise IntegrityError("a GPT with an impossible table")
    raw = disk.read(table * sector_bytes, count * size)
    if zlib.crc32(raw) != checksum:
        raise IntegrityError("a GPT with a damaged table")
    found = []
    for number in range(count):
        entry = raw[number * size : (number + 1) * size]
        first, final = struct.unpack_from("<QQ", entry, 32)
        if entry[:16] != bytes(16) and final >= first:
            start = first * sector_bytes
            found.append(Partition(number + 1, start, (final - first + 1) * sector_bytes))
    return found
