"""Reads ext2, ext3 and ext4: inodes, directories, extents, attributes, inline data.

Follows the kernel's documentation of the format (Documentation/filesystems/ext4). A journal that
was not written back is looked through (`ext_journal`), so that the newest state is seen.
"""

from __future__ import annotations

import bisect
import stat
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse import ext_attributes, ext_journal
from appliance.browse.blocks import Volume
from appliance.browse.node import Extent, Node

MAGIC = 0xEF53
_SUPER_OFFSET = 1024
_RECOVER, _JOURNAL_DEVICE, _META_GROUPS, _64BIT = 0x4, 0x8, 0x10, 0x80
_KNOWN = 0x2 | _RECOVER | _META_GROUPS | 0x40 | _64BIT | 0x100 | 0x200 | 0x400 | 0x2000
_INCOMPATIBLE_KNOWN = _KNOWN | 0x4000 | 0x8000 | 0x10000 | 0x20000
_ENCRYPTED, _EXTENTS, _INLINE = 0x800, 0x80000, 0x10000000
_LINK_INLINE_MAX = 60
_EXTENT_MAGIC = 0xF30A
_EXTENT_DEPTH_MAX = 5
_UNWRITTEN = 32768
_NODES_CACHED = 4096
_PIECE_BYTES = 1 << 20


class _Inode(NamedTuple):
    raw: bytes
    node: Node
    flags: int
    pointers: bytes  # the 60 bytes of i_block
    attribute_block: int


class Ext:
    """One ext2, ext3 or ext4 filesystem."""

    is_case_blind = False
    root = 2

    def __init__(self, volume: Volume) -> None:
        """Raises IntegrityError if it is none, or one with a feature that changes its meaning."""
        self._volume = volume
        self._read_super(volume.read(_SUPER_OFFSET, 1024))
        self._overlay: Mapping[int, int] = {}
        self._escaped: frozenset[int] = frozenset()
        self._inodes: OrderedDict[int, _Inode] = OrderedDict()
        self.note = ""
        if self._incompatible & _RECOVER and self._journal_inode:
            self._look_through_journal()

    def _read_super(self, raw: bytes) -> None:
        if struct.unpack_from("<H", raw, 0x38)[0] != MAGIC:
            raise IntegrityError("no ext filesystem")
        (self._inode_count,) = struct.unpack_from("<I", raw, 0)
        self._first_block, log_size = struct.unpack_from("<II", raw, 0x14)
        self._group_blocks, _, self._group_inodes = struct.unpack_from("<III", raw, 0x20)
        revision = struct.unpack_from("<I", raw, 0x4C)[0]
        self._inode_bytes = struct.unpack_from("<H", raw, 0x58)[0] if revision else 128
        compatible, self._incompatible, read_only = struct.unpack_from("<III", raw, 0x5C)
        self._is_sparse = bool(read_only & 1)
        self._sparse2 = bool(compatible & 0x200)
        self._backups = struct.unpack_from("<II", raw, 0x24C)
        self.label = raw[0x78:0x88].split(b"\0")[0].decode("utf-8", "replace")
        self._journal_inode = struct.unpack_from("<I", raw, 0xE0)[0]
        wide = bool(self._incompatible & _64BIT)
        self._descriptor_bytes = struct.unpack_from("<H", raw, 0xFE)[0] if wide else 32
        self._first_meta = struct.unpack_from("<I", raw, 0x104)[0]
        self.kind = "ext4" if self._incompatible & 0x2C0 else "ext3" if compatible & 4 else "ext2"
        unknown = self._incompatible & ~_INCOMPATIBLE_KNOWN
        if unknown:
            raise IntegrityError(f"an ext filesystem with features 0x{unknown:x} we cannot read")
        if log_size > 6 or not 128 <= self._inode_bytes <= 1024 << log_size:
            raise IntegrityError("an ext filesystem with impossible sizes")
        self.block_bytes = 1024 << log_size
        if not (self._group_blocks and self._group_inodes and 32 <= self._descriptor_bytes <= 1024):
            raise IntegrityError("an ext filesystem with impossible groups")

    # ---- blocks ----

    def read_block(self, number: int) -> bytes:
        """A block of metadata, as the journal left it."""
        return self._read(number * self.block_bytes, self.block_bytes)

    def _read(self, offset: int, length: int) -> bytes:
        """Metadata within one block."""
        number, within = divmod(offset, self.block_bytes)
        if number not in self._overlay:
            return self._volume.read(offset, length)
        block = self._volume.read(self._overlay[number] * self.block_bytes, self.block_bytes)
        if number in self._escaped:
            block = ext_journal.MAGIC_BYTES + block[4:]
        return block[within : within + length]

    def _look_through_journal(self) -> None:
        places: list[int] = []
        for offset, length, at in self._map(self._inode(self._journal_inode)):
            if offset != len(places) * self.block_bytes:
                raise IntegrityError("the journal has holes")
            places += range(at // self.block_bytes, (at + length) // self.block_bytes)
            if len(places) > ext_journal.BLOCKS_MAX:
                raise IntegrityError("the journal is too large")
        replay = ext_journal.replay(lambda at: self.read_block(places[at]), len(places))
        self._overlay = {block: places[at] for block, at in replay.blocks.items()}
        self._overlaid = sorted(self._overlay)
        self._escaped = replay.escaped
        self._inodes.clear()
        self._read_super(self._read_super_bytes())

    def _read_super_bytes(self) -> bytes:
        return self._read(_SUPER_OFFSET, 1024)

    # ---- inodes ----

    def _table_of(self, group: int) -> int:
        each = self.block_bytes // self._descriptor_bytes
        index, within = divmod(group, each)
        # The super block is in block 1 where blocks are small, whatever the first block is.
        block = _SUPER_OFFSET // self.block_bytes + 1 + index
        if self._incompatible & _META_GROUPS and index >= self._first_meta:
            first = index * each
            block = max(self._first_block, _SUPER_OFFSET // self.block_bytes if first == 0 else 0)
            block += first * self._group_blocks + self._has_super(first)
        at = block * self.block_bytes + within * self._descriptor_bytes
        raw = self._read(at, self._descriptor_bytes)
        low = struct.unpack_from("<I", raw, 8)[0]
        high = struct.unpack_from("<I", raw, 0x28)[0] if self._descriptor_bytes >= 64 else 0
        return int(low | high << 32)

    def _has_super(self, group: int) -> bool:
        if self._sparse2:
            return group == 0 or group in self._backups
        if group <= 1 or not self._is_sparse:
            return True
        for base in (3, 5, 7):
            power = base
            while power < group:
                power *= base
            if power == group:
                return True
        return False

    def _inode(self, number: int) -> _Inode:
        found = self._inodes.get(number)
        if found is not None:
            return found
        if not 1 <= number <= self._inode_count:
            raise IntegrityError(f"there is no inode {number}")
        group, within = divmod(number - 1, self._group_inodes)
        at = self._table_of(group) * self.block_bytes + within * self._inode_bytes
        raw = self._read(at, self._inode_bytes)
        inode = self._parse_inode(number, raw)
        self._inodes[number] = inode
        if len(self._inodes) > _NODES_CACHED:
            self._inodes.popitem(last=False)
        return inode

    def _parse_inode(self, number: int, raw: bytes) -> _Inode:
        mode, uid, low = struct.unpack_from("<HHI", raw, 0)
        gid, links = struct.unpack_from("<HH", raw, 24)
        flags = struct.unpack_from("<I", raw, 32)[0]
        acl, high = struct.unpack_from("<II", raw, 104)
        acl_high, uid_high, gid_high = struct.unpack_from("<HHH", raw, 118)
        block = raw[40:100]
        size = low | (high << 32 if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else 0)
        device = None
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            device = _parse_device(block)
        node = Node(
            *(number, mode, uid | uid_high << 16, gid | gid_high << 16, links, size),
            mtime_ns=_time(raw, 16, 136),
            atime_ns=_time(raw, 8, 140),
            ctime_ns=_time(raw, 12, 132),
            birth_ns=_time(raw, 144, 148) if _has_field(raw, 152) else None,
            device=device,
        )
        return _Inode(raw, node, flags, block, acl | acl_high << 32)

    def node(self, number: int) -> Node:
        """The file with this number. Raises IntegrityError for one that is not in use."""
        node = self._inode(number).node
        if node.mode == 0 or node.links == 0:
            raise IntegrityError(f"inode {number} is not in use")
        return node

    # ---- content ----

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies; None for content within the inode, or in the journal."""
        inode = self._inode(number)
        self._refuse_encrypted(inode)
        if inode.flags & _INLINE:
            return None
        if self._overlay:
            found = list(self._clipped(inode))
            return None if any(map(self._is_overlaid, found)) else iter(found)
        return self._clipped(inode)

    def _is_overlaid(self, extent: Extent) -> bool:
        first = extent.at // self.block_bytes
        last = (extent.at + extent.length - 1) // self.block_bytes
        at = bisect.bisect_left(self._overlaid, first)
        return at < len(self._overlaid) and self._overlaid[at] <= last

    def _refuse_encrypted(self, inode: _Inode) -> None:
        if inode.flags & _ENCRYPTED:
            raise IntegrityError("encrypted by the machine itself (fscrypt)")

    def _clipped(self, inode: _Inode) -> Iterator[Extent]:
        """Extents up to the size: what was allocated beyond it is nothing."""
        size = inode.node.size_bytes
        for offset, length, at in self._map(inode):
            if offset >= size:
                return
            yield Extent(offset, min(length, size - offset), at)

    def content(self, number: int) -> Iterator[bytes]:
        """The content in pieces."""
        inode = self._inode(number)
        self._refuse_encrypted(inode)
        size = inode.node.size_bytes
        if inode.flags & _INLINE:
            yield self._inline(inode)[:size]
            return
        at = 0
        for offset, length, place in self._clipped(inode):
            while at < offset:
                count = min(_PIECE_BYTES, offset - at)
                yield bytes(count)
                at += count
            for start in range(place, place + length, self.block_bytes):
                count = min(self.block_bytes, place + length - start)
                yield self._read(start, count)
                at += count
        while at < size:
            count = min(_PIECE_BYTES, size - at)
            yield bytes(count)
            at += count

    def _inline(self, inode: _Inode) -> bytes:
        rest = ext_attributes.raw_in_inode(inode.raw).get("system.data", b"")
        return inode.pointers + rest

    def _map(self, inode: _Inode) -> Iterator[Extent]:
        """Joined extents in rising order; unwritten ones are left out."""
        joined: Extent | None = None
        for first, count, block in self._runs(inode):
            offset, length, at = (part * self.block_bytes for part in (first, count, block))
            if joined and (offset, at) == (
                joined.offset + joined.length,
                joined.at + joined.length,
            ):
                joined = joined._replace(length=joined.length + length)
                continue
            if joined:
                if offset < joined.offset + joined.length:
                    raise IntegrityError(f"inode {inode.node.number} has extents out of order")
                yield joined
            joined = Extent(offset, length, at)
        if joined:
            yield joined

    def _runs(self, inode: _Inode) -> Iterator[tuple[int, int, int]]:
        if inode.flags & _EXTENTS:
            depth = struct.unpack_from("<H", inode.pointers, 6)[0]
            yield from self._extent_runs(inode.pointers, min(depth, _EXTENT_DEPTH_MAX))
            return
        per = self.block_bytes // 4
        pointers = struct.unpack("<15I", inode.pointers)
        for index, block in enumerate(pointers[:12]):
            if block:
                yield index, 1, block
        first = 12
        for level, block in enumerate(pointers[12:], start=1):
            if block and first * self.block_bytes < inode.node.size_bytes:
                yield from self._indirect_runs(block, level, first)
            first += per**level

    def _extent_runs(self, raw: bytes, depth_max: int) -> Iterator[tuple[int, int, int]]:
        magic, count, _, depth = struct.unpack_from("<HHHH", raw, 0)
        if magic != _EXTENT_MAGIC or depth > depth_max or 12 + count * 12 > len(raw):
            raise IntegrityError("an extent tree is damaged")
        for at in range(12, 12 + count * 12, 12):
            if depth == 0:
                first, length, high, low = struct.unpack_from("<IHHI", raw, at)
                if length <= _UNWRITTEN:
                    yield first, length, low | high << 32
            else:
                _, low, high = struct.unpack_from("<IIH", raw, at)
                yield from self._extent_runs(self.read_block(low | high << 32), depth - 1)

    def _indirect_runs(self, block: int, level: int, first: int) -> Iterator[tuple[int, int, int]]:
        per = self.block_bytes // 4
        for index, below in enumerate(struct.unpack(f"<{per}I", self.read_block(block))):
            if below and level == 1:
                yield first + index, 1, below
            elif below:
                yield from self._indirect_runs(below, level - 1, first + index * per ** (level - 1))

    # ---- directories, links, attributes ----

    def entries(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names and inode numbers in a directory."""
        inode = self._inode(number)
        if not inode.node.is_directory:
            raise IntegrityError(f"inode {number} is no directory")
        if inode.flags & _INLINE:
            # The first four bytes are the parent's number, there is neither `.` nor `..`.
            yield from _entries(inode.pointers[4:])
            yield from _entries(ext_attributes.raw_in_inode(inode.raw).get("system.data", b""))
            return
        for _, length, at in self._clipped(inode):
            for start in range(at, at + length, self.block_bytes):
                yield from _entries(self._read(start, min(self.block_bytes, at + length - start)))

    def link_target(self, number: int) -> bytes:
        """Where a link points to."""
        inode = self._inode(number)
        self._refuse_encrypted(inode)
        size = inode.node.size_bytes
        if inode.flags & _INLINE:
            return self._inline(inode)[:size]
        if size < _LINK_INLINE_MAX:
            return inode.pointers[:size]
        return b"".join(self.content(number)) if size <= self.block_bytes else b""

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """Extended attributes and ACLs as Linux gives them."""
        inode = self._inode(number)
        found = dict(ext_attributes.in_inode(inode.raw, self._large_value))
        if inode.attribute_block:
            block = self.read_block(inode.attribute_block)
            found |= ext_attributes.in_block(block, self._large_value)
        found.pop("system.data", None)
        return found

    def _large_value(self, number: int, length: int) -> bytes:
        """A value that has an inode of its own."""
        if length > 1 << 16:
            raise IntegrityError("an attribute is larger than Linux allows")
        return b"".join(self.content(number))[:length]


def _entries(block: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + 8 <= len(block):
        number, length, name_length = struct.unpack_from("<IHB", block, at)
        if length in (0, 65535) and len(block) == 65536:
            length = 65536
        if length < 8 or length % 4 or at + length > len(block):
            raise IntegrityError("a directory is damaged")
        name = block[at + 8 : at + 8 + name_length]
        if number and name not in (b".", b"..") and name_length + 8 <= length:
            yield name, number
        at += length


def _has_field(raw: bytes, end: int) -> bool:
    if len(raw) < 132:
        return False
    extra = int(struct.unpack_from("<H", raw, 128)[0])
    return 128 + extra >= end and len(raw) >= end


def _time(raw: bytes, at: int, extra_at: int) -> int:
    seconds = int(struct.unpack_from("<i", raw, at)[0])
    if not _has_field(raw, extra_at + 4):
        return seconds * 10**9
    extra = int(struct.unpack_from("<I", raw, extra_at)[0])
    return (seconds + ((extra & 3) << 32)) * 10**9 + (extra >> 2)


def _parse_device(block: bytes) -> tuple[int, int]:
    old, new = struct.unpack_from("<II", block, 0)
    if old:
        return old >> 8 & 0xFF, old & 0xFF
    return new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00
