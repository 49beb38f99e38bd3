"""Reading the extent map of a disk: a tree of pages, loaded as needed (docs/format/page.md)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from appliance.base.errors import IntegrityError
from appliance.formats.page import (
    EXTENT_BYTES,
    FANOUT,
    FLAG_DATA,
    FLAG_ZERO,
    TAG_BYTES,
    BranchPage,
    Entry,
    LeafPage,
    PackedLeaf,
    Piece,
    Reference,
    block_count,
    decode_branch,
    decode_leaf,
    entry_count,
    extent_count,
)
from appliance.store.chunks import ChunkReader

_ZERO_ENTRY = Entry(FLAG_ZERO, None, b"")
# Branch pages kept per disk: 64 of level 1 cover 32 GiB; each takes about 40 KiB of memory.
_CACHED_BRANCHES = 64
# 4096 packed leaves cover 16 GiB of disk; each takes about 5 KiB.
_CACHED_LEAVES = 4096
# Whole leaves, about 16 KiB each: whoever reads a whole disk asks for each again and again, first
# to look 512 MiB ahead, then to read it.
_WHOLE_LEAVES = 160


def absolute(reference: Reference, container: bytes | None) -> Reference:
    """The reference with its container named; `container` is the one its page lies in."""
    return reference if reference.container is not None else reference._replace(container=container)


def extent_length(size_bytes: int, extent: int) -> int:
    """Bytes of extent number `extent` of a disk: 4 MiB but for the last."""
    return min(EXTENT_BYTES, size_bytes - extent * EXTENT_BYTES)


class ExtentMap:
    """The map of one disk of one point. Thread-safe."""

    def __init__(
        self, chunks: ChunkReader, size_bytes: int, level: int, root: Reference | None
    ) -> None:
        """`root` is None for a disk of zeros; `level` is that of the root page, at least 1."""
        self._chunks = chunks
        self.size_bytes = size_bytes
        self.level = level
        self.extents = extent_count(size_bytes)
        self._root = _ZERO_ENTRY if root is None else Entry(FLAG_DATA, root, b"")
        self._branches: OrderedDict[tuple[int, int], BranchPage] = OrderedDict()
        self._leaves: OrderedDict[int, PackedLeaf] = OrderedDict()
        self._whole_leaves: OrderedDict[int, LeafPage] = OrderedDict()
        self._lock = threading.Lock()

    def node(self, level: int, number: int) -> Entry:
        """The entry that covers extents number * 128^level and on.

        Its reference names its container. Level 0 entries carry the extent's tag.
        """
        if level >= self.level:
            return self._root if number == 0 and level == self.level else _ZERO_ENTRY
        page = self._branch(level + 1, number // FANOUT)
        return _ZERO_ENTRY if page is None else page.entries[number % FANOUT]

    def extent_length(self, extent: int) -> int:
        """Bytes of extent number `extent`: 4 MiB but for the last."""
        return extent_length(self.size_bytes, extent)

    def leaf(self, extent: int) -> LeafPage:
        """The pieces of one extent. Raises IntegrityError if a page on the way is damaged."""
        length = self.extent_length(extent)
        entry = self.node(0, extent)
        if entry.reference is None:
            no_tags = bytes(TAG_BYTES * block_count(length))
            return LeafPage((Piece(length, FLAG_ZERO, None),), no_tags)
        with self._lock:
            page = self._whole_leaves.pop(extent, None)
        if page is None:
            data = self._chunks.read_chunk(entry.reference)
            page = decode_leaf(data, length, entry.reference.container)
        with self._lock:
            self._whole_leaves[extent] = page
            while len(self._whole_leaves) > _WHOLE_LEAVES:
                self._whole_leaves.popitem(last=False)
        return page

    def piece_at(self, extent: int, offset: int) -> tuple[int, Piece]:
        """(start, piece) of the piece that holds byte `offset` of an extent.

        Raises IntegrityError if a page on the way is damaged.
        """
        entry = self.node(0, extent)
        if entry.reference is None:
            return 0, Piece(self.extent_length(extent), FLAG_ZERO, None)
        with self._lock:
            leaf = self._leaves.get(extent)
            if leaf is not None:
                self._leaves.move_to_end(extent)
        if leaf is None:
            data = self._chunks.read_chunk(entry.reference)
            leaf = PackedLeaf(data, self.extent_length(extent))
            with self._lock:
                self._leaves[extent] = leaf
                while len(self._leaves) > _CACHED_LEAVES:
                    self._leaves.popitem(last=False)
        start, piece = leaf.piece_at(offset)
        if piece.reference is not None:
            reference = absolute(piece.reference, entry.reference.container)
            piece = piece._replace(reference=reference)
        return start, piece

    def _branch(self, level: int, number: int) -> BranchPage | None:
        key = (level, number)
        with self._lock:
            page = self._branches.get(key)
            if page is not None:
                self._branches.move_to_end(key)
                return page
        entry = self.node(level, number)
        if entry.reference is None:
            return None
        page = self._read_branch(entry.reference, level, number)
        with self._lock:
            self._branches[key] = page
            while len(self._branches) > _CACHED_BRANCHES:
                self._branches.popitem(last=False)
        return page

    def _read_branch(self, reference: Reference, level: int, number: int) -> BranchPage:
        first = number * FANOUT**level
        covered = min(FANOUT**level, self.extents - first)
        data = self._chunks.read_chunk(reference)
        return decode_branch(data, level, entry_count(covered, level), reference.container)

    def data_extents(self) -> Iterator[int]:
        """The numbers of all extents that are not known to be zeros, in order.

        Zero subtrees cost nothing. All extents below a damaged page are given: reading them tells.
        """
        yield from self._data_below(self.level, 0)

    def _data_below(self, level: int, number: int) -> Iterator[int]:
        if self.node(level, number).reference is None:
            return
        if level == 0:
            yield number
            return
        try:
            page = self._branch(level, number)
        except IntegrityError:
            span = int(FANOUT**level)
            yield from range(number * span, min((number + 1) * span, self.extents))
            return
        assert page is not None
        for i in range(len(page.entries)):
            yield from self._data_below(level - 1, number * FANOUT + i)
