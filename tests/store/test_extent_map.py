"""Reading maps: pages as needed, garbage in pages, damage on the way, threads."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from appliance.base.errors import IntegrityError
from appliance.base.progress import Progress
from appliance.formats.page import (
    EXTENT_BYTES,
    FANOUT,
    FLAG_DATA,
    FLAG_ZERO,
    BranchPage,
    Entry,
    Piece,
    Reference,
    encode,
)
from appliance.store.chunk_index import ChunkIndex
from appliance.store.extent_map import ExtentMap, absolute, extent_length
from appliance.store.ingest import Ingest
from appliance.store.store import Store
from tests.formats.examples import leaf_of
from tests.store.maps import MapStore, Model, mismatches, read_pieces
from tests.store.stores import KEYS, make_store

LOST = Reference(b"l" * 32, b"l" * 32, 0)
DISK_BYTES = 3 * FANOUT * EXTENT_BYTES + 1000


@pytest.fixture
def store(state: Path) -> Store:
    return make_store(state)


@pytest.fixture
def maps(store: Store) -> MapStore:
    return MapStore(store.layout)


def filled(size_bytes: int, count: int, seed: int) -> Model:
    chance = random.Random(seed)
    model = Model(size_bytes)
    for _ in range(count):
        model.put(chance.randrange(model.extents), chance)
    return model


class CountedReads:
    """A chunk reader that counts the pages it gives."""

    def __init__(self, extent_map: ExtentMap, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._real = extent_map._chunks.read_chunk
        monkeypatch.setattr(extent_map._chunks, "read_chunk", self._read)

    def _read(self, reference: Reference) -> bytes:
        self.count += 1
        return self._real(reference)


# ---- what is read -------------------------------------------------------------------------------


def test_leaves_that_were_looked_at_ahead_are_read_once(
    maps: MapStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    model = filled(FANOUT * EXTENT_BYTES, 40, seed)
    extent_map = maps.open(model, maps.write(model))
    ahead = {extent: extent_map.leaf(extent) for extent in extent_map.data_extents()}
    reads = CountedReads(extent_map, monkeypatch)
    assert {extent: extent_map.leaf(extent) for extent in ahead} == ahead
    assert reads.count == 0


def test_a_disk_of_zeros_reads_no_page(store: Store) -> None:
    extent_map = ExtentMap(store.chunks, DISK_BYTES, 2, None)
    assert list(extent_map.data_extents()) == []
    assert read_pieces(extent_map, 0) == ((EXTENT_BYTES, FLAG_ZERO, b""),)
    assert read_pieces(extent_map, extent_map.extents - 1) == ((1000, FLAG_ZERO, b""),)
    assert extent_map.node(2, 0).reference is None


def test_pages_are_read_once_and_only_on_the_way(
    maps: MapStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    model = filled(DISK_BYTES, 300, seed)
    extent_map = maps.open(model, maps.write(model))
    reads = CountedReads(extent_map, monkeypatch)
    wanted = sorted(model.leaves)[:3]
    extent_map.piece_at(wanted[0], 0)
    assert reads.count == 3  # root, branch, leaf
    extent_map.piece_at(wanted[0], 9)
    assert reads.count == 3
    extent_map.piece_at(wanted[1], 0)
    assert reads.count == 4
    assert list(extent_map.data_extents()) == sorted(model.leaves)
    branches = {extent // FANOUT for extent in model.leaves}
    assert reads.count == 4 + len(branches) - 1  # those that were not needed before


def test_memory_is_bounded_however_much_is_read(
    maps: MapStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("appliance.store.extent_map._CACHED_LEAVES", 100)
    model = filled(5 * FANOUT * EXTENT_BYTES, 300, seed)
    extent_map = maps.open(model, maps.write(model))
    for extent in list(model.leaves) * 2:
        extent_map.piece_at(extent, 0)
    assert len(model.leaves) > 100
    assert len(extent_map._leaves) == 100
    assert len(extent_map._branches) <= 64


def test_threads_read_the_same_map(maps: MapStore, seed: int) -> None:
    model = filled(DISK_BYTES, 200, seed)
    extent_map = maps.open(model, maps.write(model))
    wrong: list[int] = []

    def read(order: int) -> None:
        extents = list(model.leaves)
        random.Random(order).shuffle(extents)
        wrong.extend(mismatches(extent_map, dict.fromkeys(extents), model))
        wrong.append(0 if list(extent_map.data_extents()) == sorted(model.leaves) else -1)

    threads = [threading.Thread(target=read, args=(order,)) for order in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 8


def test_the_last_extent_is_shorter() -> None:
    assert extent_length(EXTENT_BYTES + 5, 0) == EXTENT_BYTES
    assert extent_length(EXTENT_BYTES + 5, 1) == 5
    assert extent_length(EXTENT_BYTES, 0) == EXTENT_BYTES


def test_a_reference_without_container_means_that_of_its_page() -> None:
    own, other = Reference(b"i" * 32, None, 3), Reference(b"i" * 32, b"o" * 32, 3)
    assert absolute(own, b"p" * 32) == Reference(b"i" * 32, b"p" * 32, 3)
    assert absolute(other, b"p" * 32) == other


# ---- pages that say what they may not -----------------------------------------------------------


def put_page(store: Store, data: bytes) -> Reference:
    """Store any bytes as a page, sealed and named as they should be."""
    index = ChunkIndex(store.layout, KEYS, Progress())
    with Ingest(store.layout, KEYS, index) as ingest:
        stream = ingest.page_stream()
        ref = stream.ingest_chunk(data)
        stream.seal()
        ingest.drain()
    index.spill()
    return Reference(ref.chunk_id, index.name_of(ref.slot), ref.ordinal)


LEAF = leaf_of(Piece(EXTENT_BYTES, FLAG_DATA, Reference(b"i" * 32, b"c" * 32, 0)))


def branch(level: int, child: Reference, entries: int) -> bytes:
    tag = b"t" * 16 if level == 1 else b""
    return encode(BranchPage(level, (Entry(FLAG_DATA, child, tag),) * entries))


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"x" * 5000,
        encode(LEAF),
        encode(LEAF)[:-1],
        branch(1, Reference(b"i" * 32, None, 0), 2),
        branch(1, Reference(b"i" * 32, None, 0), 4),
        branch(2, Reference(b"i" * 32, None, 0), 3),
    ],
    ids=["short", "garbage", "a leaf", "a cut leaf", "too few", "too many", "another level"],
)
def test_a_root_that_is_no_root_of_this_disk_is_refused(store: Store, data: bytes) -> None:
    extent_map = ExtentMap(store.chunks, 3 * EXTENT_BYTES, 1, put_page(store, data))
    with pytest.raises(IntegrityError, match="page"):
        extent_map.leaf(0)
    assert list(extent_map.data_extents()) == [0, 1, 2]


@pytest.mark.parametrize("length", [1, EXTENT_BYTES - 1, EXTENT_BYTES + 1, 2**32 - 1])
def test_a_leaf_that_does_not_fill_its_extent_is_refused(store: Store, length: int) -> None:
    piece = LEAF.pieces[0]._replace(length=min(length, EXTENT_BYTES))
    pieces = (piece,) if length <= EXTENT_BYTES else (piece, piece._replace(length=1))
    leaf = put_page(store, encode(leaf_of(*pieces)))
    root = put_page(store, branch(1, leaf, 3))
    with pytest.raises(IntegrityError, match=r"the extent|do not fit"):
        ExtentMap(store.chunks, 3 * EXTENT_BYTES, 1, root).leaf(1)


def test_a_leaf_in_the_place_of_a_branch_is_refused(store: Store) -> None:
    leaf = put_page(store, encode(LEAF))
    root = put_page(store, branch(2, leaf, 2))
    extent_map = ExtentMap(store.chunks, 200 * EXTENT_BYTES, 2, root)
    with pytest.raises(IntegrityError, match="level 0, not 1"):
        extent_map.leaf(150)
    assert list(extent_map.data_extents()) == list(range(200))


def test_mutated_pages_are_refused_or_read_and_nothing_else(store: Store, seed: int) -> None:
    """Pages behind the tag: sealed and named as they should be, with any content."""
    chance = random.Random(seed)
    model = Model(3 * EXTENT_BYTES)
    model.put(1, chance)
    whole = MapStore(store.layout).write(model)
    assert whole.root is not None
    original = store.chunks.read_chunk(whole.root)
    refused = 0
    for _ in range(60):
        mutant = bytearray(original)
        for _ in range(chance.randint(1, 3)):
            mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)
        extent_map = ExtentMap(store.chunks, model.size_bytes, 1, put_page(store, bytes(mutant)))
        for extent in range(3):
            try:
                leaf = extent_map.leaf(extent)
                assert sum(piece.length for piece in leaf.pieces) == EXTENT_BYTES
            except IntegrityError:
                refused += 1
    assert refused > 20


# ---- damage on the way --------------------------------------------------------------------------


def test_a_lost_page_hides_only_what_is_below_it(maps: MapStore, store: Store) -> None:
    chance = random.Random(1)
    model = Model(3 * FANOUT * EXTENT_BYTES)
    for extent in (0, 1, 2 * FANOUT):
        model.put(extent, chance)
    written = maps.write(model)
    extent_map = maps.open(model, written)
    # Another root, whose second entry leads nowhere.
    entries = list(extent_map._read_branch(extent_map.node(2, 0).reference or LOST, 2, 0).entries)
    entries[1] = Entry(FLAG_DATA, LOST, b"")
    root = put_page(store, encode(BranchPage(2, tuple(entries))))
    hurt = ExtentMap(Store(store.layout.state, KEYS).chunks, model.size_bytes, 2, root)
    assert mismatches(hurt, model.leaves, model) == []
    with pytest.raises(IntegrityError, match="is lost"):
        hurt.leaf(FANOUT + 3)
    below = list(range(FANOUT, 2 * FANOUT))
    assert list(hurt.data_extents()) == [0, 1, *below, 2 * FANOUT]


def test_a_page_whose_hint_is_wrong_is_found_through_the_index(
    maps: MapStore, store: Store, seed: int
) -> None:
    model = filled(FANOUT * EXTENT_BYTES, 20, seed)
    written = maps.write(model)
    assert written.root is not None
    for hint in (
        written.root._replace(ordinal=written.root.ordinal ^ 1),
        written.root._replace(ordinal=2**32 - 1),
        written.root._replace(container=b"x" * 32),
    ):
        fresh = Store(store.layout.state, KEYS).chunks
        extent_map = ExtentMap(fresh, model.size_bytes, written.level, hint)
        assert mismatches(extent_map, model.leaves, model) == []
