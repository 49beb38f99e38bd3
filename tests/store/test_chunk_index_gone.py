"""Containers that go cost the index little, and damage inside its files heals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.store import chunk_index
from appliance.store.containers import Container
from appliance.store.layout import Layout
from tests.store.stores import (
    add_container,
    chunks_of,
    load_index,
    make_store,
    missing,
    settle_folders,
)

PAGE_BYTES = 4096
CONTAINERS = 20


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


def fill(layout: Layout) -> dict[bytes, list[bytes]]:
    """Containers of thirty chunks each, in one run."""
    filled = {}
    index = load_index(layout)
    for number in range(CONTAINERS):
        chunks = chunks_of(number, 30)
        name, _ = add_container(layout, index, chunks, is_spilled=False)
        filled[name] = chunks
    index.spill()
    settle_folders(layout)
    load_index(layout)
    return filled


def listed_runs(layout: Layout) -> dict[str, bytes]:
    names = json.loads((layout.index / "current.json").read_bytes())["runs"]
    return {name: (layout.index / name).read_bytes() for name in names}


def gone_file(layout: Layout) -> Path | None:
    name = json.loads((layout.index / "current.json").read_bytes())["gone"]
    return layout.index / name if name else None


def drop_first(layout: Layout, filled: dict[bytes, list[bytes]], count: int) -> list[bytes]:
    """Unlink and drop so many containers; gives their chunks."""
    names = list(filled)[:count]
    for name in names:
        layout.container(name).unlink()
    load_index(layout).drop(set(names))
    return [chunk for name in names for chunk in filled.pop(name)]


def all_chunks(filled: dict[bytes, list[bytes]]) -> list[bytes]:
    return [chunk for chunks in filled.values() for chunk in chunks]


# ---- dropping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_settled", [False, True])
def test_dropping_a_few_containers_rewrites_no_run(layout: Layout, is_settled: bool) -> None:
    filled = fill(layout)
    runs = listed_runs(layout)
    dropped = drop_first(layout, filled, 2)
    assert listed_runs(layout) == runs
    if is_settled:
        settle_folders(layout)
        load_index(layout)
    for _ in range(2):
        index = load_index(layout)
        assert (missing(index, dropped), missing(index, all_chunks(filled))) == (len(dropped), 0)
    assert listed_runs(layout) == runs


def test_when_many_are_gone_the_runs_are_merged_without_them(layout: Layout) -> None:
    filled = fill(layout)
    drop_first(layout, filled, 2)
    assert gone_file(layout) is not None
    entries = load_index(layout).native.run_entries(0)
    drop_first(layout, filled, 1)
    assert gone_file(layout) is None
    index = load_index(layout)
    assert index.native.run_entries(0) == entries - 3 * 30
    assert missing(index, all_chunks(filled)) == 0


def test_what_is_stored_again_after_a_drop_is_found(layout: Layout) -> None:
    filled = fill(layout)
    dropped = drop_first(layout, filled, 2)
    name, _ = add_container(layout, load_index(layout), dropped)
    index = load_index(layout)
    assert missing(index, dropped + all_chunks(filled)) == 0
    assert index.native.slot_name(index.native.slot_of(name)) == name


def test_dropping_what_no_run_names_writes_nothing(layout: Layout) -> None:
    fill(layout)
    before = (layout.index / "current.json").read_bytes()
    load_index(layout).drop({b"\x01" * 32})
    assert (layout.index / "current.json").read_bytes() == before


def test_a_container_that_returns_after_it_was_gone_is_known_again(
    layout: Layout, tmp_path: Path
) -> None:
    filled = fill(layout)
    name = next(iter(filled))
    shutil.copy(layout.container(name), tmp_path / "kept")
    dropped = drop_first(layout, dict(filled), 1)
    settle_folders(layout)
    assert missing(load_index(layout), dropped) == len(dropped)
    shutil.move(tmp_path / "kept", layout.container(name))
    for _ in range(2):
        assert missing(load_index(layout), all_chunks(filled)) == 0
    assert gone_file(layout) is None


def damage_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        damage_a_byte,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"x" * 333),
    ],
    ids=["lost", "flipped", "emptied", "cut", "foreign"],
)
def test_a_damaged_list_of_the_gone_brings_nobody_back(
    layout: Layout, damage: Callable[[Path], object]
) -> None:
    filled = fill(layout)
    dropped = drop_first(layout, filled, 2)
    settle_folders(layout)
    load_index(layout)
    path = gone_file(layout)
    assert path is not None
    damage(path)
    for _ in range(2):
        index = load_index(layout)
        assert (missing(index, dropped), missing(index, all_chunks(filled))) == (len(dropped), 0)
    assert gone_file(layout) not in (None, path)


# ---- damage inside a run ------------------------------------------------------------------------


def flip_page(layout: Layout, name: str, page: int) -> None:
    path = layout.index / name
    data = bytearray(path.read_bytes())
    data[PAGE_BYTES * (1 + page) + 100] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_page_heals_at_the_next_start(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = fill(layout)
    old = chunks_of(99, 20)
    kept, _ = add_container(layout, load_index(layout), old)
    settle_folders(layout)
    load_index(layout)
    flip_page(layout, next(iter(listed_runs(layout))), 0)
    index = load_index(layout)
    assert missing(index, all_chunks(filled)) > 0
    index.spill()
    learned: list[bytes] = []

    class Watched(Container):
        def __init__(self, layout: Layout, keys: object, name: bytes) -> None:
            learned.append(name)
            super().__init__(layout, keys, name)  # type: ignore[arg-type]

    monkeypatch.setattr(chunk_index, "Container", Watched)
    assert missing(load_index(layout), all_chunks(filled) + old) == 0
    assert set(learned) == set(filled)  # the other run was sound: `kept` is not read again
    assert kept not in learned


def test_a_damaged_page_that_is_met_while_merging_heals_at_once(layout: Layout) -> None:
    filled = fill(layout)
    flip_page(layout, next(iter(listed_runs(layout))), 1)
    more = chunks_of(99, 1000)
    add_container(layout, load_index(layout), more)
    index = load_index(layout)  # merges both runs
    assert missing(index, all_chunks(filled) + more) == 0
    assert not any(index.native.is_damaged(run) for run in range(index.native.runs))
