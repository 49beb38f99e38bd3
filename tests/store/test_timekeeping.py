"""When the clock is believed: table, marks in the store, and what a person can say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.errors import NoSpaceError
from appliance.formats.record import ClockMark
from appliance.store.layout import Layout
from appliance.store.points import Points
from appliance.store.records import Records
from appliance.store.timekeeping import Timekeeper, doubt_of
from tests.clocks import HandClock
from tests.store.stores import KEYS, TIME, make_store, manifest_of

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def keeper(layout: Layout, clock: HandClock, boot: str = "first") -> Timekeeper:
    return Timekeeper(Records(layout, KEYS), clock, boot)


@pytest.mark.parametrize(
    ("boot", "passed", "shown", "is_believed"),
    [
        ("same", DAY * 0, DAY * 0, True),
        ("same", DAY * 300, DAY * 300, True),
        ("same", DAY * 0, DAY, True),
        ("same", DAY * 0, DAY + HOUR, False),
        ("same", DAY * 300, DAY * 302, False),
        ("same", DAY * 300, DAY * 298, False),
        ("same", DAY * 0, -DAY, True),
        ("same", DAY * 0, -DAY - HOUR, False),
        ("other", DAY * 0, DAY * 3, True),
        ("other", DAY * 0, DAY * 3 + HOUR, False),
        ("other", DAY * 300, DAY * 4, False),  # its monotonic clock says nothing about then
        ("other", DAY * 0, -DAY, True),
        ("other", DAY * 0, -DAY - HOUR, False),
    ],
)
def test_what_is_believed(
    boot: str, passed: timedelta, shown: timedelta, is_believed: bool
) -> None:
    mark = ClockMark(TIME, "same", 100.0)
    doubt = doubt_of(mark, ClockMark(TIME + shown, boot, 100.0 + passed.total_seconds()))
    assert (doubt is None) == is_believed, doubt
    if doubt is not None:
        assert ("behind" if shown < passed else "far beyond") in doubt or boot == "other"
        assert "prune --trust-clock" in doubt


def test_a_clock_that_runs_is_believed_for_ever(layout: Layout, clock: HandClock) -> None:
    for _ in range(100):
        keeper(layout, clock).note()
        clock.go_by(DAY * 2)
        assert keeper(layout, clock).doubt() is None


def test_many_small_jumps_are_one_large_one(layout: Layout, clock: HandClock) -> None:
    keeper(layout, clock).note()
    for _ in range(6):
        clock.go_by(2 * HOUR)
        clock.jump(5 * HOUR)
        keeper(layout, clock).note()
    assert keeper(layout, clock).doubt() is not None


def test_a_doubted_clock_moves_no_mark_and_is_believed_when_it_is_right_again(
    layout: Layout, clock: HandClock
) -> None:
    keeper(layout, clock).note()
    clock.jump(30 * DAY)
    for _ in range(5):
        keeper(layout, clock).note()
        clock.go_by(DAY)
        assert keeper(layout, clock).doubt() is not None
    clock.jump(-30 * DAY)
    assert keeper(layout, clock).doubt() is None


def test_somebody_can_say_that_the_clock_is_right(layout: Layout, clock: HandClock) -> None:
    keeper(layout, clock).note()
    clock.jump(30 * DAY)
    keeper(layout, clock).trust()
    assert keeper(layout, clock).doubt() is None
    clock.jump(-30 * DAY)
    assert keeper(layout, clock).doubt() is not None


def test_a_weekend_without_power_is_believed_and_a_week_is_not(
    layout: Layout, clock: HandClock
) -> None:
    keeper(layout, clock).note()
    clock.jump(2.6 * DAY)
    assert keeper(layout, clock, "second").doubt() is None
    keeper(layout, clock, "second").note()
    clock.jump(7 * DAY)
    assert keeper(layout, clock, "third").doubt() is not None


def test_a_damaged_mark_is_no_word_for_the_clock(layout: Layout, clock: HandClock) -> None:
    keeper(layout, clock).note()
    path = layout.root / "clock.mark"
    path.write_bytes(path.read_bytes()[:-1])
    doubt = keeper(layout, clock).doubt()
    assert doubt is not None
    assert "clock.mark is damaged" in doubt
    keeper(layout, clock).note()
    assert keeper(layout, clock).doubt() is not None
    keeper(layout, clock).trust()
    assert keeper(layout, clock).doubt() is None


def test_without_a_mark_points_are_witnesses(layout: Layout, clock: HandClock) -> None:
    assert keeper(layout, clock).doubt() is None
    Points(layout, KEYS, clock).commit(manifest_of(), lambda _: False)
    for ahead, is_believed in [(2 * DAY, True), (4 * DAY, False), (-2 * DAY, False)]:
        (layout.root / "clock.mark").unlink(missing_ok=True)
        clock.jump(ahead)
        keeper(layout, clock).note()
        assert (keeper(layout, clock).doubt() is None) == is_believed
        clock.jump(-ahead)


def test_windows_begin_when_it_should_be_if_the_clock_went_back(
    layout: Layout, clock: HandClock
) -> None:
    keeper(layout, clock).note()
    clock.go_by(HOUR)
    clock.jump(-300 * DAY)
    assert keeper(layout, clock).latest() == TIME + HOUR
    clock.jump(600 * DAY)
    assert keeper(layout, clock).latest() == clock.now()


def test_a_full_disk_loses_the_mark_and_nothing_else(
    layout: Layout, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NoSpaceError("full")

    monkeypatch.setattr(Records, "write", refuse)
    keeper(layout, clock).note()
    assert not (layout.root / "clock.mark").exists()
