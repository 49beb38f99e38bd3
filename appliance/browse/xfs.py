"""Reads XFS, versions 4 and 5: inodes, extents, directories, links, attributes.

Follows "XFS Algorithms & Data Structures", third edition. A log that was not written back is
looked through (`xfs_replay`), so that the newest state is seen; where it cannot be, `note` says so.
"""

from __future__ import annotations

import stat
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse import xfs_attributes, xfs_directories
from appliance.browse.blocks import Volume
from appliance.browse.node import Extent, Node
from appliance.browse.xfs_log import Log, PatchedVolume
from appliance.browse.xfs_replay import replay

MAGIC = b"XFSB"
_INODE_MAGIC = b"IN"
_DEVICE, _LOCAL, _EXTENTS, _BTREE = 0, 1, 2, 3
_REALTIME = 1
_BIGTIME, _MANY_EXTENTS = 1 << 3, 1 << 4
_FTYPE_V4, _FTYPE = 0x200, 1
_SPARSE_INODES, _META_UUID, _BIGTIME_FEATURE, _REPAIR, _NREXT64 = 2, 4, 8, 0x10, 0x20
_INCOMPATIBLE_KNOWN = (
    _FTYPE | _SPARSE_INODES | _META_UUID | _BIGTIME_FEATURE | _REPAIR | _NREXT64 | 0x40 | 0x80
)
_BIGTIME_BASE_NS = (1 << 31) * 10**9
_TREE_DEPTH_MAX = 9
_LINK_MAX = 1024
_NODES_CACHED = 4096


class Run(NamedTuple):
    """Blocks of a fork: first block in the file, how many, and the first on the volume."""

    first: int
    length: int
    block: int


class Inode(NamedTuple):
    """An inode and its two forks as they lie in it."""

    node: Node
    format: int
    data: bytes
    attribute_format: int
    attributes: bytes
    extent_count: int
    attribute_extent_count: int
    is_realtime: bool


class Xfs:
    """One XFS filesystem."""

    kind = "xfs"
    is_case_blind = False

    def __init__(self, volume: Volume) -> None:
        """Raises IntegrityError if it is none, or one with a feature that changes its meaning."""
        self._volume: Volume | PatchedVolume = volume
        raw = volume.read(0, 512)
        if raw[:4] != MAGIC:
            raise IntegrityError("no XFS filesystem")
        self.block_bytes = struct.unpack_from(">I", raw, 4)[0]
        self.root = struct.unpack_from(">Q", raw, 56)[0]
        self._group_blocks, self._groups = struct.unpack_from(">II", raw, 84)
        version, sector, self._inode_bytes = struct.unpack_from(">HHH", raw, 100)
        self.label = raw[108:120].split(b"\0")[0].decode("utf-8", "replace")
        self._inode_log, self._group_log = raw[123], raw[124]
        directory_log = raw[192]
        features2 = struct.unpack_from(">I", raw, 200)[0]
        self.is_v5 = version & 0xF == 5
        incompatible = struct.unpack_from(">I", raw, 216)[0] if self.is_v5 else 0
        if incompatible & ~_INCOMPATIBLE_KNOWN:
            raise IntegrityError(f"an XFS with features 0x{incompatible:x} we cannot read")
        if version & 0xF not in (4, 5):
            raise IntegrityError(f"an XFS of version {version & 0xF}")
        self.has_kinds = bool(incompatible & _FTYPE if self.is_v5 else features2 & _FTYPE_V4)
        if (
            self.block_bytes not in (1 << power for power in range(9, 17))
            or self._inode_bytes not in (256, 512, 1024, 2048)
            or directory_log > 8
            or sector < 512
            or not self._group_blocks
            or self._group_log > 31
        ):
            raise IntegrityError("an XFS with impossible sizes")
        self.directory_bytes = self.block_bytes << directory_log
        self._inodes: OrderedDict[int, Inode] = OrderedDict()
        self.note = self._look_through_log(volume, raw)

    def _look_through_log(self, volume: Volume, super_block: bytes) -> str:
        """See the newest state; gives a note where that cannot be."""
        try:
            log = Log(volume, super_block, self._offset_of)
            if log.is_clean:
                return ""
            records = log.reader.records(log.head, log.tail)
            patches = replay(records, self._inode_place, self._inode_bytes)
            self._volume = PatchedVolume(volume, patches)
        except (IntegrityError, struct.error, IndexError) as error:
            self._volume = volume
            return (
                f"was in use when it was copied, and its log cannot be looked through ({error}): "
                "changes of the last half minute may be missing here"
            )
        return ""

    # ---- places ----

    def _offset_of(self, block: int) -> int:
        """The byte on the volume of a filesystem block."""
        group, within = block >> self._group_log, block & (1 << self._group_log) - 1
        if group >= self._groups or within >= self._group_blocks:
            raise IntegrityError("something points outside its filesystem")
        return int((group * self._group_blocks + within) * self.block_bytes)

    def read_blocks(self, block: int, count: int = 1) -> bytes:
        """Metadata."""
        return self._volume.read(self._offset_of(block), count * self.block_bytes)

    # ---- inodes ----

    def _inode_place(self, number: int) -> int:
        block, slot = number >> self._inode_log, number & (1 << self._inode_log) - 1
        return self._offset_of(block) + slot * int(self._inode_bytes)

    def inode(self, number: int) -> Inode:
        """An inode. Raises IntegrityError for one that is not in use."""
        found = self._inodes.get(number)
        if found is None:
            at = self._inode_place(number)
            found = self._parse_inode(number, self._volume.read(at, self._inode_bytes))
            self._inodes[number] = found
            if len(self._inodes) > _NODES_CACHED:
                self._inodes.popitem(last=False)
        return found

    def _parse_inode(self, number: int, raw: bytes) -> Inode:
        magic, mode, version, kind = struct.unpack_from(">2sHBB", raw, 0)
        if magic != _INODE_MAGIC or mode == 0:
            raise IntegrityError(f"inode {number} is not in use")
        old_links, uid, gid, links = struct.unpack_from(">HIII", raw, 6)
        size = struct.unpack_from(">Q", raw, 56)[0]
        extents, attribute_extents, offset, attribute_kind = struct.unpack_from(">IHBB", raw, 76)
        flags2 = struct.unpack_from(">Q", raw, 120)[0] if version >= 3 else 0
        if flags2 & _MANY_EXTENTS:
            extents = struct.unpack_from(">Q", raw, 24)[0]
            attribute_extents = struct.unpack_from(">I", raw, 76)[0]
        start = 176 if version >= 3 else 100
        split = start + offset * 8 if offset else len(raw)
        is_big = bool(flags2 & _BIGTIME)
        data = raw[start:split]
        node = Node(
            *(number, mode, uid, gid, links if version > 1 else old_links, size),
            mtime_ns=_time(raw, 40, is_big=is_big),
            atime_ns=_time(raw, 32, is_big=is_big),
            ctime_ns=_time(raw, 48, is_big=is_big),
            birth_ns=_time(raw, 144, is_big=is_big) if version >= 3 else None,
            device=_parse_device(data) if kind == _DEVICE and _is_device(mode) else None,
        )
        return Inode(
            *(node, kind, data, attribute_kind, raw[split:] if offset else b""),
            *(extents, attribute_extents),
            is_realtime=bool(struct.unpack_from(">H", raw, 90)[0] & _REALTIME),
        )

    def node(self, number: int) -> Node:
        """The file with this number."""
        return self.inode(number).node

    # ---- forks ----

    def runs(self, kind: int, fork: bytes, count: int) -> Iterator[Run]:
        """The runs of a fork in rising order; unwritten ones are left out."""
        if kind == _EXTENTS:
            yield from _records(fork, count)
        elif kind == _BTREE:
            level, records = struct.unpack_from(">HH", fork, 0)
            room = (len(fork) - 4) // 16
            if not 1 <= level <= _TREE_DEPTH_MAX or records > room:
                raise IntegrityError("a tree of extents is damaged")
            for block in struct.unpack_from(f">{records}Q", fork, 4 + room * 8):
                yield from self._tree_runs(block, level - 1)
        elif kind != _LOCAL:
            raise IntegrityError("a fork of no known form")

    def _tree_runs(self, block: int, level: int) -> Iterator[Run]:
        raw = self.read_blocks(block)
        header = 72 if self.is_v5 else 24
        magic, found, records = struct.unpack_from(">4sHH", raw, 0)
        room = (len(raw) - header) // 16
        if magic not in (b"BMAP", b"BMA3") or found != level or records > room:
            raise IntegrityError("a tree of extents is damaged")
        if level == 0:
            yield from _records(raw[header:], records)
            return
        for below in struct.unpack_from(f">{records}Q", raw, header + room * 8):
            yield from self._tree_runs(below, level - 1)

    def data_runs(self, inode: Inode) -> Iterator[Run]:
        """The runs of the content."""
        return self.runs(inode.format, inode.data, inode.extent_count)

    # ---- what readers give ----

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies."""
        inode = self.inode(number)
        if inode.is_realtime:
            raise IntegrityError("its content is on the realtime device, which we cannot read")
        return self._extents(inode)

    def _extents(self, inode: Inode) -> Iterator[Extent]:
        size, last = inode.node.size_bytes, 0
        for first, count, block in self.data_runs(inode):
            offset = first * self.block_bytes
            if offset < last:
                raise IntegrityError(f"inode {inode.node.number} has extents out of order")
            if offset >= size:
                return
            length = min(count * self.block_bytes, size - offset)
            last = offset + length
            at = self._offset_of(block)
            self._offset_of(block + count - 1)
            yield Extent(offset, length, at)

    def content(self, number: int) -> Iterator[bytes]:
        """Never asked for: all content has a place."""
        raise IntegrityError(f"inode {number} has no content of its own")

    def entries(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names and inode numbers in a directory."""
        inode = self.inode(number)
        if not inode.node.is_directory:
            raise IntegrityError(f"inode {number} is no directory")
        if inode.format == _LOCAL:
            return xfs_directories.short_entries(inode.data, has_kinds=self.has_kinds)
        return xfs_directories.entries(self, self.data_runs(inode))

    def link_target(self, number: int) -> bytes:
        """Where a link points to."""
        inode = self.inode(number)
        size = inode.node.size_bytes
        if size > _LINK_MAX:
            raise IntegrityError("a link is longer than XFS allows")
        if inode.format == _LOCAL:
            return inode.data[:size]
        parts = []
        for _, count, block in self.data_runs(inode):
            for number_of in range(block, block + count):
                raw = self.read_blocks(number_of)
                parts.append(xfs_attributes.payload(raw) if self.is_v5 else raw)
        return b"".join(parts)[:size]

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """Extended attributes and ACLs as Linux gives them."""
        inode = self.inode(number)
        if not inode.attributes:
            return {}
        if inode.attribute_format == _LOCAL:
            return xfs_attributes.short_attributes(inode.attributes)
        count = inode.attribute_extent_count
        runs = list(self.runs(inode.attribute_format, inode.attributes, count))
        return xfs_attributes.read_attributes(self, runs) if runs else {}


def _records(raw: bytes, count: int) -> Iterator[Run]:
    if count * 16 > len(raw):
        raise IntegrityError("more extents than there is room for")
    for at in range(0, count * 16, 16):
        high, low = struct.unpack_from(">QQ", raw, at)
        first = high >> 9 & (1 << 54) - 1
        block = (high & 0x1FF) << 43 | low >> 21
        if not high >> 63:
            yield Run(first, low & (1 << 21) - 1, block)


def _time(raw: bytes, at: int, *, is_big: bool) -> int:
    if is_big:
        return int(struct.unpack_from(">Q", raw, at)[0]) - _BIGTIME_BASE_NS
    seconds, nanoseconds = struct.unpack_from(">ii", raw, at)
    return int(seconds) * 10**9 + int(nanoseconds)


def _is_device(mode: int) -> bool:
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)


def _parse_device(data: bytes) -> tuple[int, int]:
    number = struct.unpack_from(">I", data, 0)[0]
    return number >> 18 & 0x3FFF, number & 0x3FFFF
