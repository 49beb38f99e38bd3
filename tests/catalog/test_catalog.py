"""The catalog is derived: damage of any page costs what it remembered, never a command."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from appliance.catalog.catalog import Catalog

PAGE_BYTES = 4096
NAMES = [f"m/{number}.point" for number in range(80)]
ROW = ("1:2:3", {"name": "m@2026-11-21T09:30:00Z"})
RIGHT = dict.fromkeys(NAMES, ROW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A catalog of some pages."""
    path = tmp_path / "catalog.db"
    with Catalog(path) as catalog:
        catalog.put_summaries(dict.fromkeys(NAMES, ROW))
        catalog.set_damage({"x"}, {"x": 5}, "now")
    return path


def test_a_catalog_remembers(path: Path) -> None:
    with Catalog(path) as catalog:
        assert catalog.summaries()["m/7.point"] == ROW
        assert catalog.damaged_points() == {"x"}


def test_a_spoiled_page_is_no_reason_to_fail(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(0, len(whole), PAGE_BYTES):
        path.write_bytes(whole[:at] + b"\xaa" * 512 + whole[at + 512 :])
        with Catalog(path) as catalog:
            catalog.summaries()
            catalog.damaged_points()
            catalog.put_summaries({"m/new.point": ROW})
            catalog.remove_summaries({"m/1.point"})
            catalog.set_damage({"x"}, {}, "now")
            assert catalog.summaries().keys() <= {*NAMES, "m/new.point"}


def test_a_flipped_bit_is_no_reason_to_fail_or_to_say_something_wrong(
    path: Path, seed: int
) -> None:
    """In what names the tables, and in the rows: nothing of that has a checksum of SQLite."""
    whole, chance = path.read_bytes(), random.Random(seed)
    places = [at for at, byte in enumerate(whole) if chr(byte).isprintable()]
    for at in [*chance.sample(places, 50), *spots(whole, b"stamp", b'"key"', b"1:2:3#", b"09:30")]:
        flipped = whole[at] ^ 1 << chance.randrange(8)
        path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
        with Catalog(path) as catalog:
            assert catalog.find_summary("m/7.point") in (ROW, None)
            known = catalog.summaries()
            assert known.keys() <= RIGHT.keys()
            assert all(summary == ROW for summary in known.values())
            catalog.put_summaries(RIGHT)
            assert catalog.summaries() in (RIGHT, {})


def spots(whole: bytes, *words: bytes) -> list[int]:
    """Places in the first of these words."""
    return [whole.index(word) + 1 for word in words]


def test_what_was_noted_without_a_checksum_is_noted_anew(path: Path) -> None:
    with Catalog(path) as catalog:
        catalog.do(lambda database: database.execute("update points set stamp = '1:2:3'"))
        assert catalog.find_summary("m/7.point") is None
        assert catalog.summaries() == {}


def test_a_short_catalog_is_no_reason_to_fail(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 100, PAGE_BYTES, 2 * PAGE_BYTES, len(whole) - 512):
        path.write_bytes(whole[:length])
        with Catalog(path) as catalog:
            catalog.summaries()
            catalog.put_summaries({"m/new.point": ROW})
            assert catalog.summaries()["m/new.point"] == ROW


def test_a_spoiled_catalog_is_set_aside_and_made_anew(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:PAGE_BYTES] + bytes(len(whole) - PAGE_BYTES))
    with Catalog(path) as catalog:
        assert catalog.summaries() == {}
        catalog.put_summaries({"m/new.point": ROW})
    assert path.with_suffix(".damaged").exists()
    with Catalog(path) as catalog:
        assert catalog.summaries() == {"m/new.point": ROW}


def test_a_file_that_never_becomes_a_catalog_is_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.catalog.catalog.move_file", lambda source, target: None)
    path.write_bytes(b"garbage" * 1000)  # as if the disk gave nothing else
    with Catalog(path) as catalog:
        catalog.put_summaries({"m/new.point": ROW})
        assert catalog.summaries() == {"m/new.point": ROW}


def test_a_catalog_that_cannot_be_read_is_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Catalog(path) as catalog:
        monkeypatch.setattr(catalog._database, "conn", FailingConnection())
        assert catalog.summaries() == {}
        catalog.put_summaries({"m/new.point": ROW})
        assert catalog.damaged_points() == set()


class FailingConnection:
    """A disk that gives nothing any more."""

    in_transaction = False

    def execute(self, *_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    executemany = execute

    def close(self) -> None:
        pass
