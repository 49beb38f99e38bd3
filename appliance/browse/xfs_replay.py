"""The log of an XFS, looked through: what was committed and not yet written back.

Nothing is written. The result is sectors as recovery would leave them: buffers are patched by the
ranges that were logged, inodes are encoded anew from what was logged of them. Intents (frees and
the like that recovery would finish) change nothing that a reader looks at. Follows "XFS Algorithms
& Data Structures", third edition, and Linux's fs/xfs/libxfs/xfs_log_format.h. Logs of big-endian
machines are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance.base.errors import IntegrityError

SECTOR = 512
_RECORD_MAGIC = 0xFEEDBABE
_HEADER_WORDS = 64  # sectors whose first words one header sector keeps
_START, _COMMIT, _WAS_CONTINUED, _UNMOUNT = 1, 2, 8, 32
_INODE, _BUFFER = 0x123B, 0x123C
_CANCEL, _INODE_BUFFER = 0x2, 0x1
_CHUNK = 128
# What was logged of an inode besides its core.
_CONTENT, _ROOT, _DEVICE, _ATTRIBUTES = 0x006, 0x008, 0x010, 0x1C0
_RECORDS_MAX = 1 << 17
_BIGTIME, _MANY_EXTENTS = 1 << 3, 1 << 4
_TIME, _BIG_TIME = "ii", "Q"
ReadSectors = Callable[[int, int], bytes]


class Patch(NamedTuple):
    """Bytes at a place of the volume."""

    at: int
    data: bytes


class LogReader:
    """Records of a log in order. `read(sector, count)` reads the log itself."""

    def __init__(self, read: ReadSectors, sectors: int) -> None:
        self._read = read
        self._sectors = sectors

    def ring(self, at: int, count: int) -> bytes:
        """Sectors from `at`, round the end."""
        at %= self._sectors
        first = min(count, self._sectors - at)
        data = self._read(at, first)
        return data if first == count else data + self._read(0, count - first)

    def records(self, head: int, tail: int) -> Iterator[bytes]:
        """The content of each record from `tail` to `head`, both in sectors."""
        at, seen = tail, 0
        while at != head and seen < _RECORDS_MAX:
            seen += 1
            header = self.ring(at, 1)
            if struct.unpack_from(">I", header, 0)[0] != _RECORD_MAGIC:
                return  # a record that was under way
            version, length = struct.unpack_from(">II", header, 8)
            size = struct.unpack_from(">I", header, 320)[0] if version & 2 else 0
            headers = max(1, -(-size // (_HEADER_WORDS * SECTOR)))
            sectors = -(-length // SECTOR)
            if headers > 64 or sectors > self._sectors:
                raise IntegrityError("the log is damaged")
            heads = self.ring(at, headers)
            data = bytearray(self.ring(at + headers, sectors))
            for number in range(sectors):
                page, word = divmod(number, _HEADER_WORDS)
                # The first header has them behind its own fields, the others behind their cycle.
                place = 44 + word * 4 if page == 0 else page * SECTOR + 4 + word * 4
                data[number * SECTOR : number * SECTOR + 4] = heads[place : place + 4]
            yield bytes(data[:length])
            at = (at + headers + sectors) % self._sectors


def replay(
    records: Iterator[bytes], inode_place: Callable[[int], int], inode_bytes: int
) -> Iterator[Patch]:
    """What the committed transactions of the records change, in order.

    `inode_place` gives the byte of an inode on the volume.
    """
    committed = list(_transactions(records))
    cancelled = {}
    for number, regions in enumerate(committed):
        for items in _items(regions):
            place = _buffer(items[0])
            if place is not None and place[1] & _CANCEL:
                cancelled[place[0]] = number
    for number, regions in enumerate(committed):
        for items in _items(regions):
            kind = struct.unpack_from("<H", items[0], 0)[0]
            if kind == _BUFFER:
                sector, flags = _buffer(items[0]) or (0, _CANCEL)
                if not flags & (_CANCEL | _INODE_BUFFER) and cancelled.get(sector, -1) < number:
                    yield from _buffer_patches(items)
            elif kind == _INODE:
                yield from _inode_patches(items, inode_place, inode_bytes)


def _transactions(records: Iterator[bytes]) -> Iterator[list[bytes]]:
    open_ones: dict[int, list[bytearray]] = {}
    for data in records:
        at = 0
        while at + 12 <= len(data):
            number, length, _, flags = struct.unpack_from(">IIBB", data, at)
            body = data[at + 12 : at + 12 + length]
            at += 12 + length
            if len(body) != length:
                raise IntegrityError("the log is damaged")
            regions = open_ones.setdefault(number, [])
            if flags & _START:
                regions.clear()
            elif flags & _COMMIT:
                yield [bytes(region) for region in open_ones.pop(number)]
            elif flags & _WAS_CONTINUED and regions:
                regions[-1] += body
            elif not flags & _UNMOUNT:
                regions.append(bytearray(body))


def _items(regions: list[bytes]) -> Iterator[list[bytes]]:
    """The items of a transaction: a description and the regions that it counts."""
    at = 0
    while at < len(regions):
        if regions[at][:4] in (b"NART", b"TRAN"):  # the head of the transaction
            at += 1
            continue
        if len(regions[at]) < 4:
            raise IntegrityError("the log is damaged")
        count = max(1, struct.unpack_from("<H", regions[at], 2)[0])
        yield regions[at : at + count]
        at += count


def _buffer(description: bytes) -> tuple[int, int] | None:
    """Sector and flags of a buffer, or None for another item."""
    if struct.unpack_from("<H", description, 0)[0] != _BUFFER:
        return None
    flags = struct.unpack_from("<H", description, 4)[0]
    return int(struct.unpack_from("<q", description, 8)[0]), int(flags)


def _buffer_patches(items: list[bytes]) -> Iterator[Patch]:
    sector = struct.unpack_from("<q", items[0], 8)[0]
    words = struct.unpack_from("<I", items[0], 16)[0]
    bits = int.from_bytes(items[0][20 : 20 + words * 4], "little")
    chunk, number = 0, 1
    while bits >> chunk and number < len(items):
        if not bits >> chunk & 1:
            chunk += 1
            continue
        start = chunk
        while bits >> chunk & 1:
            chunk += 1
        data = items[number][: (chunk - start) * _CHUNK]
        # A run may have been logged as several regions.
        while len(data) < (chunk - start) * _CHUNK and number + 1 < len(items):
            number += 1
            data += items[number]
        number += 1
        yield Patch(sector * SECTOR + start * _CHUNK, data[: (chunk - start) * _CHUNK])


def _inode_patches(
    items: list[bytes], inode_place: Callable[[int], int], inode_bytes: int
) -> Iterator[Patch]:
    fields = struct.unpack_from("<I", items[0], 4)[0]
    at = inode_place(struct.unpack_from("<Q", items[0], 16)[0])
    core = items[1]
    if core[:2] != b"NI":
        raise IntegrityError("the log is damaged")
    yield Patch(at, _encode_core(core))
    start, fork_offset = (176 if core[4] >= 3 else 100), core[82] * 8
    rest = 2
    if fields & (_CONTENT | _ROOT) and rest < len(items):
        data, rest = items[rest], rest + 1
        if fields & _ROOT:
            room = fork_offset or inode_bytes - start
            data = _tree_root(data, room, is_v5=core[4] >= 3)
        yield Patch(at + start, data)
    if fields & _DEVICE:
        yield Patch(at + start, struct.pack(">I", struct.unpack_from("<I", items[0], 24)[0]))
    if fields & _ATTRIBUTES and rest < len(items) and fork_offset:
        yield Patch(at + start + fork_offset, items[rest])


def _encode_core(core: bytes) -> bytes:
    """A logged inode, little-endian, as it lies on the disk, big-endian."""
    is_v3 = core[4] >= 3
    flags2 = struct.unpack_from("<Q", core, 120)[0] if is_v3 else 0
    time = _BIG_TIME if flags2 & _BIGTIME else _TIME
    extents = "Q" if flags2 & _MANY_EXTENTS else "6sH"
    layout = f"HHBBHIIIHH{extents}{time * 3}QQIIHBBIHHI"
    if is_v3:
        layout += f"IIQQQI12s{time}Q16s"
    return struct.pack(">" + layout, *struct.unpack_from("<" + layout, core, 0))


def _tree_root(data: bytes, room: int, *, is_v5: bool) -> bytes:
    """The root of a tree of extents as memory has it, in the form of the disk."""
    header = 72 if is_v5 else 24
    level, count = struct.unpack_from(">HH", data, 4)
    there = (len(data) - header) // 16
    here = (room - 4) // 16
    if count > min(there, here):
        raise IntegrityError("the log is damaged")
    keys = data[header : header + count * 8]
    pointers = data[header + there * 8 : header + there * 8 + count * 8]
    return struct.pack(">HH", level, count) + keys.ljust(here * 8, b"\0") + pointers
