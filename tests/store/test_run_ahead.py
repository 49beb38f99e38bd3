"""How far ahead of somebody who reads a part of a disk in order is looked."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from appliance.formats.page import EXTENT_BYTES
from appliance.store.chunks import ChunkReader
from appliance.store.extent_map import ExtentMap
from appliance.store.run_ahead import RunAhead
from tests.store.test_look_ahead import EXTENTS, Disk, chunk_of

DEADLINE_S = 60.0


class Reader:
    """Reads extents in order and tells how far it came."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.ahead = RunAhead(cast(ExtentMap, self.disk), cast(ChunkReader, self.disk))

    def read(self, first: int, count: int) -> list[int]:
        """What is looked ahead at while so many extents are read; a run begins with the first."""
        before = len(self.disk.expected)
        for extent in range(first, first + count):
            self.ahead.note_read(extent, (extent - first) * EXTENT_BYTES)
            wait_for_no_thread()
        chunks = self.disk.expected[before:]
        assert chunks == [chunk_of(chunk.ordinal) for chunk in chunks]
        return [chunk.ordinal for chunk in chunks]


def wait_for_no_thread() -> None:
    for thread in threading.enumerate():
        if thread.name == "run-ahead":
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


def test_a_short_run_looks_at_nothing() -> None:
    reader = Reader()
    for first in (0, 50, 20, 120):
        assert reader.read(first, 3) == []


def test_what_is_on_the_box_is_not_looked_ahead_at() -> None:
    assert Reader(Disk(is_reading_elsewhere=False)).read(0, 40) == []


def test_a_run_is_looked_ahead_of_as_far_as_it_went_each_extent_once() -> None:
    reader = Reader()
    assert reader.read(10, 4) == [14, 15, 16], "three extents lie behind it"
    seen = Reader().read(10, 40)
    assert seen == list(range(14, 14 + len(seen)))
    assert 50 + 16 // 2 <= seen[-1] + 1 <= 50 + 16, "64 MiB at most, and half of them at least"


def test_a_small_cache_is_not_looked_ahead_of_by_more_than_it_gives() -> None:
    seen = Reader(Disk(ahead_bytes=4 * EXTENT_BYTES)).read(0, 20)
    assert seen[-1] <= 19 + 4
    assert Reader(Disk(ahead_bytes=EXTENT_BYTES)).read(0, 20) == []


def test_whoever_jumps_begins_anew() -> None:
    reader = Reader()
    reader.read(100, 20)
    assert reader.read(30, 4) == [34, 35, 36]
    assert reader.read(160, 3) == []


def test_the_end_of_the_disk_is_the_end() -> None:
    assert Reader().read(EXTENTS - 30, 30)[-1] == EXTENTS - 1


def test_what_cannot_be_reached_is_asked_for_again_by_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = Disk(is_reachable=False)
    reader = Reader(disk)
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    assert reader.read(0, 10) == []
    disk.is_reachable = True
    assert reader.read(0, 20)
    assert not told
