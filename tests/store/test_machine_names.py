"""Renaming: points, policies and bases follow, earlier names go on, nothing is rewritten."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, UsageError
from appliance.catalog.catalog import Catalog
from appliance.catalog.point_list import list_points
from appliance.formats.machine_names import decode_names, encode_names
from appliance.formats.names import PointName
from appliance.formats.policy import Policy
from appliance.formats.protection import MachineRecord
from appliance.policies.book import Book
from appliance.store.points import Points
from appliance.store.store import Store
from tests.damage import flip_last
from tests.store.stores import KEYS, TIME, make_store, manifest_of

LATER = TIME + timedelta(hours=1)


def again(state: Path) -> Store:
    return Store(state, KEYS)


def commit(points: Points, machine: str, time: object = TIME) -> None:
    points.commit(manifest_of(machine, time=time), lambda _: False)  # type: ignore[arg-type]


def test_points_follow_and_their_files_stay_as_they_are(state: Path) -> None:
    points = make_store(state).points
    commit(points, "web1")
    files = {path: path.read_bytes() for path in (state / "store/points").rglob("*.point")}
    points.names.set_name("web1", "shop")
    fresh = again(state).points
    assert fresh.latest("shop") == PointName("shop", TIME)
    assert fresh.open(PointName("shop", TIME)).machine == "shop"
    commit(fresh, "shop", LATER)
    assert fresh.latest("shop") == PointName("shop", LATER)
    assert all(path.read_bytes() == data for path, data in files.items())
    assert len(list((state / "store/points").iterdir())) == 1


def test_every_earlier_name_goes_on_and_is_taken(state: Path) -> None:
    points = make_store(state).points
    commit(points, "a")
    points.names.set_name("a", "b")
    points.names.set_name("b", "c")
    commit(points, "other")
    for name in ("a", "b", "c"):
        assert points.latest(name) == PointName("c", TIME)
        with pytest.raises(UsageError, match="another machine"):
            points.names.set_name("other", name)
    points.names.set_name("c", "a")  # it may have its own name back
    assert points.latest("b") == PointName("a", TIME)


def test_what_was_kept_and_promised_goes_on(state: Path) -> None:
    points = make_store(state).points
    commit(points, "web1")
    points.policies.set("web1", Policy(keep_daily=7))
    book = Book(points)
    book.put(MachineRecord(machine="web1", since="2026-11-21T09:30:00Z", sources=("/a",)))
    points.hold(PointName("web1", TIME), "audit", None)
    book.set_name("web1", "shop", LATER)
    fresh = Book(again(state).points)
    assert [entry.machine.machine for entry in fresh.entries()] == ["shop"]
    assert again(state).points.policies.of("shop").keep_daily == 7
    label = points.file_of(PointName("shop", TIME)).label
    assert points.holds.find(label) is not None


def test_a_machine_cannot_be_called_as_another_is(state: Path) -> None:
    points = make_store(state).points
    commit(points, "web1")
    commit(points, "web2")
    with pytest.raises(UsageError, match="already"):
        Book(points).set_name("web1", "web2", LATER)


def test_lists_from_the_catalog_show_the_name_of_today(state: Path) -> None:
    store = make_store(state)
    commit(store.points, "web1")
    with Catalog(state / "catalog.db") as catalog:
        assert [point.name for point in list_points(store, catalog).points] == [
            "web1@2026-11-21T09:30:00Z"
        ]
        store.points.names.set_name("web1", "shop")
        fresh = again(state)
        (point,) = list_points(fresh, catalog).points
        assert (point.name, point.machine) == ("shop@2026-11-21T09:30:00Z", "shop")
        assert [point.machine for point in list_points(fresh, catalog, "web1").points] == ["shop"]


def test_damaged_names_hide_nothing_and_no_new_point_is_made_in_doubt(state: Path) -> None:
    points = make_store(state).points
    commit(points, "web1")
    points.names.set_name("web1", "shop")
    path = state / "store/names.record"
    path.write_bytes(flip_last(path.read_bytes()))
    fresh = again(state).points
    assert fresh.latest("web1") == PointName("web1", TIME)
    with pytest.raises(IntegrityError, match="rename them again"):
        commit(fresh, "shop", LATER)
    assert "first names" in Book(fresh).troubles()[0]


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3))
def test_names_are_read_back_or_refused(pairs: dict[str, str]) -> None:
    names = {first: (later,) for first, later in pairs.items()}
    if len(set(pairs.values())) == len(pairs):
        assert decode_names(encode_names(names)) == names
    else:
        with pytest.raises(IntegrityError):
            decode_names(encode_names(names))


@pytest.mark.parametrize("names", [[], {"a": []}, {"a": "b"}, {"a": ["b/c"]}, {"": ["b"]}])
def test_names_out_of_range_are_damage(names: object) -> None:
    text = json.dumps({"format": 1, "kind": "names", "names": names})
    with pytest.raises(IntegrityError):
        decode_names(text.encode())
