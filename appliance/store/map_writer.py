"""Writing the extent map of a disk: bottom up, as extents arrive, in any order.

A page is written when all its entries are known and the containers they name are durable; a page
whose entries all equal the base's is not written but named again, so that a shared subtree costs
nothing. Pages of one point share a stream; a page names chunks of its own container without knowing
that container's name.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.formats.page import (
    EXTENT_BYTES,
    FANOUT,
    FLAG_DATA,
    FLAG_ZERO,
    BranchPage,
    Entry,
    LeafPage,
    Piece,
    Reference,
    encode,
    entry_count,
    extent_count,
    root_level,
)
from appliance.native import Ref
from appliance.store.extent_map import ExtentMap
from appliance.store.ingest import Ingest

_NO_TAG = bytes(16)
# More than a branch page takes: 128 entries and as many container names are 11 KiB.
_PAGE_ROOM_BYTES = 64 << 10


class PendingPiece(NamedTuple):
    """A piece of an extent: zeros, a gap, a piece of the base, or a chunk of this backup.

    The latter's container may be open still.
    """

    length: int
    flag: int
    ref: Ref | Reference | None


class _Child(NamedTuple):
    """An entry in the making: where a page is, by container name or by the slot of an open one."""

    flag: int
    chunk_id: bytes
    container: bytes | None
    slot: int
    ordinal: int
    tag: bytes


class _PendingLeaf(NamedTuple):
    extent: int
    tag: bytes
    block_tags: bytes
    pieces: Sequence[PendingPiece]


@dataclass
class _Node:
    """A branch page in the making."""

    children: list[_Child | None]
    missing: int
    is_changed: bool = False


_ZERO = _Child(FLAG_ZERO, b"", None, -1, 0, _NO_TAG)


class PageStream:
    """The stream of pages of one point, shared by its disks."""

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        self.lock = threading.RLock()
        self._stream = ingest.page_stream()

    def make_room(self) -> int:
        """The slot that the next page will lie in; earlier page containers are durable then."""
        if not self._stream.has_room(_PAGE_ROOM_BYTES):
            self.seal()
        return self._stream.open_slot

    def write(self, data: bytes) -> Ref:
        """Store a page; one that names its own container needs `make_room` first."""
        ref = self._stream.ingest_chunk(data)
        self.ingest.mark_used(ref.slot)
        return ref

    def seal(self) -> None:
        """Make all pages so far durable."""
        self._stream.seal()
        self.ingest.drain()


class MapWriter:
    """Builds the map of one disk. Thread-safe."""

    def __init__(self, pages: PageStream, size_bytes: int, base: ExtentMap | None) -> None:
        self._pages = pages
        self._index = pages.ingest.index
        self._lock = pages.lock
        self._base = base
        self.size_bytes = size_bytes
        self.extents = extent_count(size_bytes)
        self.level = root_level(self.extents)
        self._nodes: dict[tuple[int, int], _Node] = {}
        self._leaves: list[_PendingLeaf] = []
        self._root: _Child | None = _ZERO if self.extents == 0 else None

    # ---- what the backup says ----

    def can_reuse(self, level: int, number: int) -> bool:
        """Whether the base has a node here that covers the same bytes of the disk."""
        if self._base is None or level > self._base.level:
            return False
        whole = min(self._base.size_bytes, self.size_bytes) // EXTENT_BYTES
        covers_same = (
            self._base.size_bytes == self.size_bytes or (number + 1) * int(FANOUT**level) <= whole
        )
        return covers_same and self._base_entry(level, number) is not None

    def base_tag(self, extent: int) -> bytes | None:
        """The tag to compare an extent with; None if it must be stored whatever it holds."""
        entry = self._base_entry(0, extent) if self.can_reuse(0, extent) else None
        return entry.tag if entry and entry.tag and entry.tag != _NO_TAG else None

    def base_leaf(self, extent: int) -> LeafPage:
        """The base's pieces of an extent that has a `base_tag`. Raises IntegrityError."""
        assert self._base is not None
        return self._base.leaf(extent)

    def reuse(self, level: int, number: int) -> None:
        """Take the base's node over as it is. Ask `can_reuse` first."""
        with self._lock:
            self._fill(level, number, self._base_child(level, number), is_changed=False)

    def add_zeros(self, level: int, number: int) -> None:
        """All bytes below this node are zeros."""
        with self._lock:
            same = (
                self.can_reuse(level, number) and self._base_child(level, number).flag == FLAG_ZERO
            )
            self._fill(level, number, _ZERO, is_changed=not same)

    def add_leaf(
        self, extent: int, tag: bytes, block_tags: bytes, pieces: Sequence[PendingPiece]
    ) -> None:
        """This extent consists of `pieces`; the tags are zero when it has a gap."""
        with self._lock:
            self._leaves.append(_PendingLeaf(extent, tag, block_tags, pieces))

    def pending_leaves(self) -> int:
        """How many leaves wait for containers to become durable."""
        return len(self._leaves)

    def settle(self) -> None:
        """Write the pages whose containers are durable by now. Raises what sealing raised."""
        self._pages.ingest.raise_failure()
        with self._lock:
            waiting, self._leaves = self._leaves, []
            names: dict[int, bytes] = {}
            for leaf in waiting:
                if self._is_durable(leaf, names):
                    self._write_leaf(leaf, names)
                else:
                    self._leaves.append(leaf)

    def root(self) -> Reference | None:
        """The root page, or None for a disk of zeros. Everything is added and sealed by now."""
        assert self._root is not None
        assert not self._leaves
        if self._root.flag == FLAG_ZERO:
            return None
        return self._reference(self._root, own_slot=-1)

    # ---- the tree ----

    def _base_entry(self, level: int, number: int) -> Entry | None:
        """The base's node; None when a page on the way is damaged: nothing to compare with."""
        assert self._base is not None
        try:
            return self._base.node(level, number)
        except IntegrityError:
            return None

    def _base_child(self, level: int, number: int) -> _Child:
        entry = self._base_entry(level, number)
        if entry is None or entry.reference is None:
            return _ZERO
        chunk_id, container, ordinal = entry.reference
        return _Child(FLAG_DATA, chunk_id, container, -1, ordinal, entry.tag)

    def _is_durable(self, leaf: _PendingLeaf, names: dict[int, bytes]) -> bool:
        for piece in leaf.pieces:
            if not isinstance(piece.ref, Ref) or piece.ref.slot in names:
                continue
            name = self._index.name_of(piece.ref.slot)
            if name is None:
                return False
            names[piece.ref.slot] = name
            self._pages.ingest.mark_used(piece.ref.slot)
        return True

    def _write_leaf(self, leaf: _PendingLeaf, names: dict[int, bytes]) -> None:
        pieces = tuple(
            Piece(length, flag, Reference(ref.chunk_id, names[ref.slot], ref.ordinal))
            if isinstance(ref, Ref)
            else Piece(length, flag, ref)
            for length, flag, ref in leaf.pieces
        )
        ref = self._pages.write(encode(LeafPage(pieces, leaf.block_tags)))
        self._fill(0, leaf.extent, self._child(ref, leaf.tag), is_changed=True)

    @staticmethod
    def _child(ref: Ref, tag: bytes) -> _Child:
        return _Child(FLAG_DATA, ref.chunk_id, None, ref.slot, ref.ordinal, tag)

    def _fill(self, level: int, number: int, child: _Child, *, is_changed: bool) -> None:
        if level == self.level:
            self._root = child
            return
        key = (level + 1, number // FANOUT)
        node = self._nodes.get(key)
        if node is None:
            count = self.entries_of(*key)
            node = self._nodes[key] = _Node([None] * count, count)
        assert node.children[number % FANOUT] is None
        node.children[number % FANOUT] = child
        node.missing -= 1
        node.is_changed |= is_changed
        if node.missing == 0:
            del self._nodes[key]
            self._close_node(*key, node)

    def entries_of(self, level: int, number: int) -> int:
        """How many entries the branch page `number` of `level` has."""
        covered = min(FANOUT**level, self.extents - number * FANOUT**level)
        return entry_count(covered, level)

    def _close_node(self, level: int, number: int, node: _Node) -> None:
        children = [child for child in node.children if child is not None]
        if not node.is_changed and self.can_reuse(level, number):
            self._fill(level, number, self._base_child(level, number), is_changed=False)
        elif all(child.flag == FLAG_ZERO for child in children):
            self._fill(level, number, _ZERO, is_changed=True)
        else:
            own_slot = self._pages.make_room()
            entries = tuple(self._entry(child, level, own_slot) for child in children)
            ref = self._pages.write(encode(BranchPage(level, entries)))
            self._fill(level, number, self._child(ref, b""), is_changed=True)

    def _entry(self, child: _Child, level: int, own_slot: int) -> Entry:
        tag = (child.tag or _NO_TAG) if level == 1 else b""
        if child.flag == FLAG_ZERO:
            return Entry(FLAG_ZERO, None, tag)
        return Entry(FLAG_DATA, self._reference(child, own_slot), tag)

    def _reference(self, child: _Child, own_slot: int) -> Reference:
        container = child.container
        if container is None and child.slot != own_slot:
            container = self._index.name_of(child.slot)
            if container is None:  # a page container that is on its way to the disk
                self._pages.ingest.drain()
                container = self._index.name_of(child.slot)
            assert container is not None
        return Reference(child.chunk_id, container, child.ordinal)
