"""Extent maps for tests: disks described by a model, written with chunks that need not exist."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.base.progress import Progress
from appliance.formats.page import (
    EXTENT_BYTES,
    FANOUT,
    FLAG_DATA,
    FLAG_GAP,
    FLAG_ZERO,
    TAG_BYTES,
    Reference,
    block_count,
    extent_count,
)
from appliance.native import Ref
from appliance.store.chunk_index import ChunkIndex
from appliance.store.extent_map import ExtentMap, extent_length
from appliance.store.ingest import Ingest
from appliance.store.layout import Layout
from appliance.store.map_writer import MapWriter, PageStream, PendingPiece
from appliance.store.store import Store
from tests.store.stores import KEYS

# (length, flag, chunk id) of each piece of an extent
Pieces = tuple[tuple[int, int, bytes], ...]
CONTAINERS = 5


@dataclass
class Model:
    """What a disk holds: extents that are not here are zeros."""

    size_bytes: int
    leaves: dict[int, tuple[bytes, Pieces]] = field(default_factory=dict)

    @property
    def extents(self) -> int:
        return extent_count(self.size_bytes)

    def put(self, extent: int, chance: random.Random) -> None:
        """Fill an extent with pieces of all kinds."""
        rest = extent_length(self.size_bytes, extent)
        pieces: list[tuple[int, int, bytes]] = []
        while rest:
            length = min(rest, chance.randint(1, EXTENT_BYTES))
            flag = chance.choice([FLAG_DATA] * 8 + [FLAG_ZERO, FLAG_GAP])
            pieces.append((length, flag, chance.randbytes(32) if flag == FLAG_DATA else b""))
            rest -= length
        has_gap = any(flag == FLAG_GAP for _, flag, _ in pieces)
        tag = bytes(16) if has_gap else chance.randbytes(15) + b"\1"
        self.leaves[extent] = (tag, tuple(pieces))

    def pieces(self, extent: int) -> Pieces:
        """What reading the extent's leaf should give."""
        length = extent_length(self.size_bytes, extent)
        _, pieces = self.leaves.get(extent, (b"", ((length, FLAG_ZERO, b""),)))
        return pieces


class CountedPages(PageStream):
    """Counts the pages that are written."""

    written = 0

    def write(self, data: bytes) -> Ref:
        self.written += 1
        return super().write(data)


def fake_ref(index: ChunkIndex, chunk_id: bytes, length: int) -> Ref:
    """A chunk that lies in one of a few durable containers that nobody wrote."""
    slot = index.native.slot_of(bytes([chunk_id[0] % CONTAINERS + 1]) * 32)
    return Ref(chunk_id, slot, chunk_id[1], length, 1)


def no_block_tags(length: int) -> bytes:
    """The block tags of an extent of which they are not known."""
    return bytes(TAG_BYTES * block_count(length))


def describe(writer: MapWriter, extent: int, tag: bytes, pieces: Pieces) -> None:
    index = writer._index
    pending = [
        PendingPiece(length, flag, fake_ref(index, chunk_id, length) if flag == FLAG_DATA else None)
        for length, flag, chunk_id in pieces
    ]
    writer.add_leaf(extent, tag, no_block_tags(sum(length for length, _, _ in pieces)), pending)


class Description:
    """Tells a writer what a model holds, top down, as a backup with a list of changes does."""

    def __init__(self, writer: MapWriter, model: Model, base: Model | None) -> None:
        self._writer = writer
        self._leaves = model.leaves
        self._data = sorted(model.leaves)
        changed = set(model.leaves) | set(base.leaves) if base else set()
        self._changed = sorted(
            extent
            for extent in changed
            if base is None or base.leaves.get(extent) != model.leaves.get(extent)
        )
        self._may_reuse = base is not None

    def tell(self) -> None:
        if self._writer.extents:
            self._walk(self._writer.level, 0, self._data, self._changed)
        self._writer.settle()

    def _walk(self, level: int, number: int, data: list[int], changed: list[int]) -> None:
        if self._may_reuse and not changed and self._writer.can_reuse(level, number):
            self._writer.reuse(level, number)
        elif not data:
            self._writer.add_zeros(level, number)
        elif level == 0:
            describe(self._writer, number, *self._leaves[number])
        else:
            span = int(FANOUT ** (level - 1))
            for child in range(self._writer.entries_of(level, number)):
                first = (number * FANOUT + child) * span
                mine, theirs = within(data, first, span), within(changed, first, span)
                self._walk(level - 1, number * FANOUT + child, mine, theirs)


def within(extents: list[int], first: int, span: int) -> list[int]:
    # A few at each level: the lists shrink as the walk descends.
    return [extent for extent in extents if first <= extent < first + span] if extents else []


@dataclass(frozen=True)
class Written:
    """A map that was written."""

    level: int
    root: Reference | None
    pages: int


class MapStore:
    """A store into which maps are written."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.index = ChunkIndex(layout, KEYS, Progress())

    def write(self, model: Model, base: Model | None = None, of: Written | None = None) -> Written:
        """Write the map of `model`; with `base` and its map, share what did not change."""
        base_map = self.open(base, of) if base is not None and of is not None else None
        with Ingest(self.layout, KEYS, self.index) as ingest:
            pages = CountedPages(ingest)
            writer = MapWriter(pages, model.size_bytes, base_map)
            Description(writer, model, base).tell()
            pages.seal()
            written = Written(writer.level, writer.root(), pages.written)
        self.index.spill()
        return written

    def open(self, model: Model, written: Written) -> ExtentMap:
        """A map as another process would open it: nothing is cached."""
        chunks = Store(self.layout.state, KEYS).chunks
        return ExtentMap(chunks, model.size_bytes, written.level, written.root)


def read_pieces(extent_map: ExtentMap, extent: int) -> Pieces:
    return tuple(
        (piece.length, piece.flag, piece.reference.chunk_id if piece.reference else b"")
        for piece in extent_map.leaf(extent).pieces
    )


def mismatches(extent_map: ExtentMap, leaves: Mapping[int, object], model: Model) -> list[int]:
    """The extents among `leaves` that the map tells differently from the model."""
    return [extent for extent in leaves if read_pieces(extent_map, extent) != model.pieces(extent)]
