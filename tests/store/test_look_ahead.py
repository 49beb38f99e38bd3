"""How far ahead of a reader the map is walked, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA, Entry, LeafPage, Piece, Reference
from appliance.store.chunks import ChunkReader
from appliance.store.extent_map import ExtentMap
from appliance.store.look_ahead import LookAhead

DEADLINE_S = 60.0
EXTENTS = 200


def page_of(extent: int) -> Reference:
    return Reference(b"p%031d" % extent, bytes(32), extent)


def chunk_of(extent: int) -> Reference:
    return Reference(b"c%031d" % extent, bytes(32), extent)


@dataclass
class Disk:
    """A map of extents of one chunk each, and a second copy that notes what it is asked for."""

    ahead_bytes: int = 40 * EXTENT_BYTES
    extents: int = EXTENTS
    is_reading_elsewhere: bool = True
    damaged: set[int] = field(default_factory=set)
    is_reachable: bool = True
    expected: list[Reference] = field(default_factory=list)
    fetched: set[Reference] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def data_extents(self) -> Iterator[int]:
        yield from range(EXTENTS)

    def node(self, level: int, number: int) -> Entry:
        assert level == 0
        if number in self.damaged:
            raise IntegrityError("a branch is damaged")
        return Entry(FLAG_DATA, page_of(number), b"")

    def leaf(self, extent: int) -> LeafPage:
        self.node(0, extent)
        assert page_of(extent) in self.fetched, "pages come before they are read"
        return LeafPage((Piece(EXTENT_BYTES, FLAG_DATA, chunk_of(extent)),), b"")

    def fetch(self, references: Sequence[Reference]) -> None:
        if not self.is_reachable:
            raise HoldfastError("the line is down")
        self.fetched.update(references)

    def expect(self, references: Sequence[Reference]) -> None:
        with self.changed:
            self.expected += references
            self.changed.notify_all()

    def look_ahead(self) -> LookAhead:
        return LookAhead(cast(ExtentMap, self), cast(ChunkReader, self))

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.expected) >= count, DEADLINE_S)


def feeders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "look-ahead"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    for thread in feeders():
        thread.join(DEADLINE_S)
    assert not feeders()


def test_all_is_expected_in_order_and_never_further_ahead_than_allowed() -> None:
    disk = Disk()
    ahead = disk.look_ahead()
    for extent in range(EXTENTS):
        ahead.note_read(extent)
        disk.wait_for(extent + 1)
        # One batch may begin while there is room for one extent.
        assert len(disk.expected) <= extent + 1 + 40 + 32
    assert disk.expected == [chunk_of(extent) for extent in range(EXTENTS)]


def test_a_reader_who_is_faster_is_not_waited_for() -> None:
    disk = Disk(ahead_bytes=EXTENT_BYTES)
    ahead = disk.look_ahead()
    ahead.note_read(EXTENTS)
    disk.wait_for(EXTENTS)


def test_who_gives_up_is_not_looked_ahead_for() -> None:
    disk = Disk(ahead_bytes=EXTENT_BYTES)
    ahead = disk.look_ahead()
    ahead.note_read(0)
    disk.wait_for(1)
    ahead.close()
    for thread in feeders():
        thread.join(DEADLINE_S)
    assert len(disk.expected) < EXTENTS


def test_damaged_pages_are_passed_over() -> None:
    disk = Disk(damaged={0, 3, 150})
    ahead = disk.look_ahead()
    ahead.note_read(EXTENTS)
    disk.wait_for(EXTENTS - 3)
    assert chunk_of(150) not in disk.expected


def test_a_line_that_is_down_ends_it_and_is_the_readers_to_tell() -> None:
    disk = Disk(is_reachable=False)
    disk.look_ahead().note_read(0)


def test_nothing_is_done_where_nothing_can_be_fetched() -> None:
    disk = Disk(ahead_bytes=0)
    disk.look_ahead().note_read(0)
    assert not feeders()


def test_nothing_is_done_while_everything_is_here() -> None:
    disk = Disk(is_reading_elsewhere=False)
    ahead = disk.look_ahead()
    ahead.note_read(0)
    assert not feeders()
    disk.is_reading_elsewhere = True  # until something is missing
    ahead.note_read(1)
    disk.wait_for(EXTENTS // 5)
    ahead.close()
