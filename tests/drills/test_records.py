"""Drill records: sealed, listed through the catalog, and never believed when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.catalog.catalog import Catalog
from appliance.drills.records import DrillRecords
from appliance.formats.drill import DrillRecord, decode_drill, encode_drill
from tests.damage import flip_last
from tests.drills.test_report import example_subject
from tests.formats.examples import read_golden
from tests.store.stores import make_store


@pytest.fixture
def records(tmp_path: Path) -> DrillRecords:
    return DrillRecords(make_store(tmp_path / "state").points.records)


def example(folder: Path, drill: str = "20261121T091500Z") -> DrillRecord:
    return msgspec.structs.replace(example_subject(folder).record, id=drill)


def test_a_record_is_read_back(records: DrillRecords, tmp_path: Path) -> None:
    record = example(tmp_path)
    records.put(record)
    assert records.read(record.id) == record
    assert b"web1" not in records.path(record.id).read_bytes()


def test_the_plaintext_is_what_the_page_says(tmp_path: Path) -> None:
    assert encode_drill(example(tmp_path)) == read_golden("drill.json").rstrip(b"\n")


def test_a_record_that_was_moved_or_changed_is_refused(
    records: DrillRecords, tmp_path: Path
) -> None:
    record = example(tmp_path)
    records.put(record)
    path = records.path(record.id)
    moved = path.with_name("20261121T091501Z.drill")
    moved.write_bytes(path.read_bytes())
    with pytest.raises(IntegrityError):
        records.read("20261121T091501Z")
    path.write_bytes(flip_last(path.read_bytes()))
    with pytest.raises(IntegrityError):
        records.read(record.id)
    with Catalog(tmp_path / "catalog.db") as catalog:
        assert records.list(catalog) == ([], [record.id, moved.stem])


def test_what_is_not_there_is_not_found(records: DrillRecords, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="drill list"):
        records.read("20261121T091500Z")
    for name in ("", "../holds/x", "latest", "20261121T091500Z\n"):
        with pytest.raises(UsageError):
            records.read(name)
    with Catalog(tmp_path / "catalog.db") as catalog:
        assert records.list(catalog) == ([], [])


def test_the_list_is_the_same_with_and_without_its_catalog(
    records: DrillRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"20261121T09{minute:02d}00Z" for minute in range(30)]
    for name in names:
        records.put(example(tmp_path, name))
    with Catalog(tmp_path / "catalog.db") as catalog:
        first, _ = records.list(catalog)
        assert [each.id for each in first] == names
        assert first[0].machines[0].rto_s == 41.2
        monkeypatch.setattr(DrillRecords, "read", None)  # from here on the catalog knows them
        assert records.list(catalog) == (first, [])
        records.path(names[0]).unlink()
        assert records.list(catalog) == (first[1:], [])
        assert len(catalog.summaries("drills")) == 29


def test_a_catalog_that_remembers_garbage_is_not_believed(
    records: DrillRecords, tmp_path: Path
) -> None:
    records.put(example(tmp_path))
    with Catalog(tmp_path / "catalog.db") as catalog:
        first, _ = records.list(catalog)
        ((key, (stamp, _)),) = catalog.summaries("drills").items()
        catalog.put_summaries({key: (stamp, {"id": 3})}, "drills")
        assert records.list(catalog) == (first, [])


def test_a_record_with_a_member_of_another_type_is_refused(tmp_path: Path) -> None:
    members = json.loads(encode_drill(example(tmp_path)))
    for name in members:
        wrongs: tuple[object, ...] = ([], True, -1, None)
        for wrong in wrongs:
            if (name, wrong) in (("rto_s", None), ("log", None), ("machines", [])):
                continue
            with pytest.raises(IntegrityError):
                decode_drill(json.dumps(members | {name: wrong}).encode())


@given(st.binary(max_size=500))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_drill(data)
