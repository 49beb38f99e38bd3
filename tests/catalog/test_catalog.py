"""The catalog is derived: damage of any page costs what it remembered, never a command."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from appliance.catalog.catalog import Catalog

PAGE_BYTES = 4096
NAMES = [f"m/{number}.point" for number in range(80)]
ROW = ("1:2:3", {"name": "m@2026-11-21T09:30:00Z"})


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
