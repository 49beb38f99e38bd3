"""Writing maps: what comes back is what was said, what did not change is shared, the cost follows
the change.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from appliance.formats.page import (
    EXTENT_BYTES,
    FANOUT,
    FLAG_DATA,
    Entry,
    Reference,
    root_level,
)
from appliance.native import Ref
from appliance.store.extent_map import ExtentMap
from appliance.store.ingest import Ingest
from appliance.store.map_writer import MapWriter, PendingPiece
from tests.store.maps import (
    CountedPages,
    MapStore,
    Model,
    Written,
    fake_ref,
    mismatches,
    no_block_tags,
)
from tests.store.stores import KEYS, make_store

SIZES = [
    0,
    1,
    EXTENT_BYTES - 1,
    EXTENT_BYTES,
    EXTENT_BYTES + 1,
    FANOUT * EXTENT_BYTES,
    FANOUT * EXTENT_BYTES + 1,
    FANOUT**2 * EXTENT_BYTES - 512,
    FANOUT**2 * EXTENT_BYTES + 512,
    5 * FANOUT**2 * EXTENT_BYTES + 77,
]


@pytest.fixture
def maps(state: Path) -> MapStore:
    return MapStore(make_store(state).layout)


def random_model(size_bytes: int, count: int, chance: random.Random) -> Model:
    model = Model(size_bytes)
    for _ in range(count if model.extents else 0):
        model.put(chance.randrange(model.extents), chance)
    return model


def change(model: Model, count: int, chance: random.Random, size_bytes: int | None = None) -> Model:
    """Another generation of the disk: extents filled, overwritten and zeroed; perhaps resized."""
    changed = Model(model.size_bytes if size_bytes is None else size_bytes)
    for extent, leaf in model.leaves.items():
        if (extent + 1) * EXTENT_BYTES <= min(changed.size_bytes, model.size_bytes):
            changed.leaves[extent] = leaf
    for _ in range(count if changed.extents else 0):
        extent = chance.randrange(changed.extents)
        if chance.random() < 0.3 and changed.leaves:
            del changed.leaves[chance.choice(list(changed.leaves))]
        else:
            changed.put(extent, chance)
    return changed


def check(maps: MapStore, model: Model, written: Written, chance: random.Random) -> None:
    extent_map = maps.open(model, written)
    assert mismatches(extent_map, model.leaves, model) == []
    others = {chance.randrange(model.extents): None for _ in range(50 if model.extents else 0)}
    assert mismatches(extent_map, others, model) == []
    assert list(extent_map.data_extents()) == sorted(model.leaves)
    for extent, (tag, _) in model.leaves.items():
        assert extent_map.node(0, extent).tag == tag


# ---- against the model --------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_was_described_comes_back(maps: MapStore, size_bytes: int, seed: int) -> None:
    chance = random.Random(seed)
    model = random_model(size_bytes, 60, chance)
    written = maps.write(model)
    assert written.level == root_level(model.extents)
    assert (written.root is None) == (not model.leaves)
    check(maps, model, written, chance)


def test_random_generations_of_random_disks_come_back(maps: MapStore, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(4):
        model = random_model(chance.choice(SIZES), chance.randint(0, 80), chance)
        written = maps.write(model)
        for _ in range(4):
            size_bytes = model.size_bytes if chance.random() < 0.6 else chance.choice(SIZES)
            newer = change(model, chance.choice([0, 1, 5, 40]), chance, size_bytes)
            newer_written = maps.write(newer, base=model, of=written)
            check(maps, newer, newer_written, chance)
            check(maps, model, written, chance)
            model, written = newer, newer_written


def test_a_map_lives_without_the_base_being_read_again(maps: MapStore, seed: int) -> None:
    """Pages are shared by name: reading a generation needs no earlier point."""
    chance = random.Random(seed)
    model = random_model(SIZES[8], 100, chance)
    written = maps.write(model)
    for _ in range(5):
        newer = change(model, 3, chance)
        model, written = newer, maps.write(newer, base=model, of=written)
    check(maps, model, written, chance)


# ---- what is shared -----------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", SIZES)
def test_an_unchanged_disk_writes_no_page(maps: MapStore, size_bytes: int, seed: int) -> None:
    model = random_model(size_bytes, 60, random.Random(seed))
    written = maps.write(model)
    again = maps.write(model, base=model, of=written)
    assert (again.pages, again.root) == (0, written.root)


def test_an_unchanged_disk_told_extent_by_extent_writes_no_page(maps: MapStore, seed: int) -> None:
    """Without a list of changes every extent is read and found to be the base's."""
    model = random_model(SIZES[6], 60, random.Random(seed))
    written = maps.write(model)
    with Ingest(maps.layout, KEYS, maps.index) as ingest:
        pages = CountedPages(ingest)
        writer = MapWriter(pages, model.size_bytes, maps.open(model, written))
        for extent in range(model.extents):
            if extent in model.leaves:
                writer.reuse(0, extent)
            else:
                writer.add_zeros(0, extent)
        assert writer.root() == written.root
        assert pages.written == 0


def test_one_changed_extent_writes_one_page_for_each_level(maps: MapStore, seed: int) -> None:
    chance = random.Random(seed)
    model = random_model(SIZES[9], 100, chance)
    written = maps.write(model)
    newer = Model(model.size_bytes, dict(model.leaves))
    newer.put(next(iter(model.leaves)), chance)
    assert maps.write(newer, base=model, of=written).pages == written.level + 1


def test_a_disk_that_became_zeros_needs_no_page(maps: MapStore, seed: int) -> None:
    model = random_model(SIZES[8], 100, random.Random(seed))
    written = maps.write(model)
    empty = maps.write(Model(model.size_bytes), base=model, of=written)
    assert (empty.pages, empty.root) == (0, None)


def test_a_disk_that_grew_shares_the_pages_of_what_it_was(maps: MapStore, seed: int) -> None:
    chance = random.Random(seed)
    model = Model(FANOUT * EXTENT_BYTES)
    for extent in range(FANOUT):
        model.put(extent, chance)
    written = maps.write(model)
    grown = Model(2 * FANOUT * EXTENT_BYTES, dict(model.leaves))
    grown.put(FANOUT + 5, chance)
    bigger = maps.write(grown, base=model, of=written)
    assert bigger.pages == 3  # a leaf, its branch, the new root
    check(maps, grown, bigger, chance)
    shrunk = maps.write(model, base=grown, of=bigger)
    assert (shrunk.pages, shrunk.root) == (0, written.root)


def test_the_last_extent_of_a_resized_disk_is_not_the_base_s(maps: MapStore, seed: int) -> None:
    chance = random.Random(seed)
    model = random_model(5 * EXTENT_BYTES + 100, 20, chance)
    written = maps.write(model)
    with Ingest(maps.layout, KEYS, maps.index) as ingest:
        larger = MapWriter(CountedPages(ingest), 6 * EXTENT_BYTES, maps.open(model, written))
        assert [larger.can_reuse(0, extent) for extent in range(6)] == [True] * 5 + [False]
        assert not larger.can_reuse(1, 0)
        assert larger.base_tag(5) is None


def test_an_extent_with_a_gap_has_no_tag_to_compare_with(maps: MapStore) -> None:
    model = Model(3 * EXTENT_BYTES)
    model.leaves[0] = (bytes(16), ((EXTENT_BYTES, 2, b""),))
    model.leaves[1] = (b"t" * 16, ((EXTENT_BYTES, FLAG_DATA, b"i" * 32),))
    written = maps.write(model)
    with Ingest(maps.layout, KEYS, maps.index) as ingest:
        writer = MapWriter(CountedPages(ingest), model.size_bytes, maps.open(model, written))
        assert [writer.base_tag(extent) for extent in range(3)] == [None, b"t" * 16, None]
        alone = MapWriter(CountedPages(ingest), model.size_bytes, None)
        assert alone.base_tag(1) is None


# ---- nothing durable names what is not ----------------------------------------------------------


def test_a_leaf_waits_until_its_container_is_durable(maps: MapStore) -> None:
    with Ingest(maps.layout, KEYS, maps.index) as ingest:
        pages = CountedPages(ingest)
        writer = MapWriter(pages, EXTENT_BYTES, None)
        slot = maps.index.native.open_slot()
        piece = PendingPiece(EXTENT_BYTES, FLAG_DATA, Ref(b"i" * 32, slot, 0, EXTENT_BYTES, 1))
        writer.add_leaf(0, b"t" * 16, no_block_tags(EXTENT_BYTES), [piece])
        writer.settle()
        assert (pages.written, writer.pending_leaves()) == (0, 1)
        assert not ingest.is_used(b"n" * 32)
        maps.index.native.name_slot(slot, b"n" * 32)
        writer.settle()
        assert (pages.written, writer.pending_leaves()) == (2, 0)
        assert ingest.is_used(b"n" * 32)
        pages.seal()
        assert writer.root() is not None


def test_pages_that_fill_several_containers_come_back(
    maps: MapStore, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each container of pages is durable before a page in the next one names it."""
    chance = random.Random(seed)
    calls = iter(range(10**9))
    monkeypatch.setattr(
        "appliance.store.ingest.Stream.has_room", lambda stream, size_bytes: next(calls) % 4 != 3
    )
    model = random_model(SIZES[9], 300, chance)
    written = maps.write(model)
    assert len(list(maps.layout.containers.glob("??/*"))) > 10
    check(maps, model, written, chance)


# ---- what it costs ------------------------------------------------------------------------------


class FullDisk:
    """The map of a disk that is full of data, made up as it is asked for: no page exists."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.extents = size_bytes // EXTENT_BYTES
        self.level = root_level(self.extents)

    def node(self, level: int, number: int) -> Entry:
        chunk_id = bytes([level]) + number.to_bytes(31, "big")
        tag = b"t" * 16 if level == 0 else b""
        return Entry(FLAG_DATA, Reference(chunk_id, b"\1" * 32, 0), tag)


class Change:
    """1 % of a full disk changed, in runs of about `run_extents`; the rest is the base's."""

    def __init__(self, writer: MapWriter, changed: set[int]) -> None:
        self._writer = writer
        self._changed = changed
        self._above: list[set[int]] = [changed]
        for _ in range(writer.level):
            self._above.append({number // FANOUT for number in self._above[-1]})

    def tell(self) -> Iterator[int]:
        """Yields every changed extent after it was added."""
        yield from self._walk(self._writer.level, 0)

    def touched(self) -> int:
        """Pages that contain or are above a change: none else may be written."""
        return sum(map(len, self._above))

    def _walk(self, level: int, number: int) -> Iterator[int]:
        if number not in self._above[level]:
            self._writer.reuse(level, number)
        elif level == 0:
            chunk_id = number.to_bytes(32, "little")
            ref = fake_ref(self._writer._index, chunk_id, EXTENT_BYTES)
            piece = PendingPiece(EXTENT_BYTES, FLAG_DATA, ref)
            self._writer.add_leaf(number, b"n" * 16, no_block_tags(EXTENT_BYTES), [piece])
            yield number
        else:
            for child in range(self._writer.entries_of(level, number)):
                yield from self._walk(level - 1, number * FANOUT + child)


def choose(extents: int, run_extents: int, chance: random.Random) -> set[int]:
    changed: set[int] = set()
    while len(changed) < extents // 100:
        first = chance.randrange(extents - run_extents)
        changed.update(range(first, first + run_extents))
    return changed


@pytest.mark.parametrize(("run_extents", "leaves_share"), [(1, 0.4), (16, 0.75)])
def test_the_cost_of_one_percent_follows_the_change(
    maps: MapStore, seed: int, run_extents: int, leaves_share: float
) -> None:
    """Three full disks up to 4 TiB: pages as few as there can be, time in proportion."""
    chance = random.Random(seed)
    curve: list[tuple[int, int, int, float]] = []
    for size_gib in (256, 1024, 4096):
        base = FullDisk(size_gib << 30)
        changed = choose(base.extents, run_extents, chance)
        began_s = time.process_time()
        with Ingest(maps.layout, KEYS, maps.index) as ingest:
            pages = CountedPages(ingest)
            writer = MapWriter(pages, base.size_bytes, cast(ExtentMap, base))
            description = Change(writer, changed)
            for count, _ in enumerate(description.tell()):
                if count % 64 == 0:
                    writer.settle()
            writer.settle()
            pages.seal()
            root = writer.root()
        seconds = time.process_time() - began_s
        assert pages.written == description.touched()
        curve.append((size_gib, len(changed), pages.written, seconds))
        print(f"{size_gib} GiB: {len(changed)} changed, {pages.written} pages, {seconds:.2f} s")
        open_quickly(maps, base.size_bytes, writer.level, root, chance.choice(sorted(changed)))
    for (_, few, pages_few, _), (_, many, pages_many, _) in itertools.pairwise(curve):
        growth = many / few
        assert few / pages_few > leaves_share
        assert many / pages_many > leaves_share
        assert 0.9 * growth < pages_many / pages_few < 1.1 * growth
    (_, few, _, short_s), *_, (_, many, _, long_s) = curve
    assert long_s / short_s < 4 * many / few  # the square of it would be four times as much again


def open_quickly(
    maps: MapStore, size_bytes: int, level: int, root: Reference | None, extent: int
) -> None:
    """Open the map as a fresh process would, and read the leaf of a changed extent."""
    model = Model(size_bytes)
    began_s = time.process_time()  # of ours: others may be busy
    leaf = maps.open(model, Written(level, root, 0)).leaf(extent)
    seconds = time.process_time() - began_s
    assert leaf.pieces[0].reference is not None
    assert leaf.pieces[0].reference.chunk_id == extent.to_bytes(32, "little")
    print(f"opened and read in {1000 * seconds:.1f} ms")
    assert seconds < 1
