"""The catalog's copy of sealed records: current, disposable, and nobody's authority."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.errors import BusyError
from appliance.catalog.catalog import Catalog
from appliance.catalog.mirror import mirror_holds, mirror_records, mirror_trash
from appliance.formats.names import PointName
from appliance.formats.policy import Policy
from appliance.store.records import Records
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.store.stores import KEYS, TIME, make_store, manifest_of

NAME = PointName("m", TIME)
OTHER = PointName("m", TIME + timedelta(hours=1))


@pytest.fixture
def store(state: Path) -> Store:
    make_store(state)
    store = Store(state, KEYS, HandClock())
    for name in (NAME, OTHER):
        store.points.commit(manifest_of("m", time=name.time), lambda _: False)
    store.points.hold(NAME, "why", None)
    store.points.forget(OTHER, timedelta(days=7))
    store.points.policies.set("m", Policy(keep_last=3))
    return store


@pytest.fixture
def catalog(store: Store, state: Path) -> Iterator[Catalog]:
    with Catalog(state / "catalog.db") as catalog:
        yield catalog


def label(store: Store, name: PointName) -> str:
    return store.points.file_of(name).label


def test_it_holds_all_that_prevents_deletion(store: Store, catalog: Catalog) -> None:
    places = set(mirror_records(store, catalog))
    assert {place.partition("/")[0] for place in places} == {"holds", "trash", "policies"}
    assert set(catalog.summaries("records")) == places
    holds = mirror_holds(store, catalog)
    assert list(holds) == [label(store, NAME)]
    assert [note.point for note in mirror_trash(store, catalog)] == [OTHER]


def test_a_record_is_opened_once(
    store: Store, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mirror_records(store, catalog)

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patch:
        patch.setattr(Records, "read", fail)
        assert mirror_records(store, catalog) == first
    store.points.hold(NAME, "another reason", None)
    hold = mirror_holds(store, catalog)[label(store, NAME)]
    assert hold is not None
    assert hold.reason == "another reason"


def test_what_is_gone_from_the_store_is_gone_here(store: Store, catalog: Catalog) -> None:
    mirror_records(store, catalog)
    store.points.release(NAME)
    store.points.unforget(OTHER)
    assert mirror_holds(store, catalog) == {}
    assert mirror_trash(store, catalog) == []
    assert len(catalog.summaries("records")) == 1


def test_it_decides_nothing(store: Store, catalog: Catalog, state: Path) -> None:
    """A catalog that says that nothing is held changes nothing, and neither does its loss."""
    mirror_records(store, catalog)
    catalog.remove_summaries(set(catalog.summaries("records")), "records")
    with pytest.raises(BusyError):
        store.points.forget(NAME)
    assert store.points.trash.kept() == {label(store, OTHER)}


def test_a_damaged_hold_is_shown_and_a_damaged_note_left_out(
    store: Store, catalog: Catalog, state: Path
) -> None:
    for folder in ("holds", "trash"):
        for path in (state / "store" / folder).iterdir():
            if path.suffix != ".point":
                path.write_bytes(b"garbage")
    assert mirror_holds(store, catalog) == {label(store, NAME): None}
    assert mirror_trash(store, catalog) == []
