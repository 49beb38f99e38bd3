"""When slots are: clock changes in both directions, in real zones, and what is no schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.errors import UsageError
from appliance.formats.protection import Cron, Hourly, Slots, Times
from appliance.policies.slots import check_schedule, list_slots, longest_gap, next_slot
from appliance.policies.spelling import parse_slots, spell_slots

HOUR = timedelta(hours=1)
SOME: list[Slots] = [Hourly(), Hourly(every_h=5), Times(at=("02:15", "23:59"))]
ZONES = [
    ZoneInfo(name)
    for name in ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Shanghai", "UTC")
]
# The evening before clocks change: forward by an hour, back by an hour, forward by half of one.
CHANGES = [
    (ZoneInfo("Europe/Berlin"), datetime(2026, 3, 28, 22, tzinfo=UTC), timedelta(hours=1)),
    (ZoneInfo("Europe/Berlin"), datetime(2026, 10, 24, 21, tzinfo=UTC), -timedelta(hours=1)),
    (ZoneInfo("America/New_York"), datetime(2026, 3, 8, 4, tzinfo=UTC), timedelta(hours=1)),
    (ZoneInfo("America/New_York"), datetime(2026, 11, 1, 3, tzinfo=UTC), -timedelta(hours=1)),
    (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 10, 3, 12, tzinfo=UTC), timedelta(minutes=30)),
]


def times_of(slots: Slots, zone: ZoneInfo, begin: datetime, hours: int = 8) -> list[str]:
    found = list_slots([slots], begin, begin + hours * HOUR, zone)
    return [f"{slot.astimezone(zone):%H:%M%z}" for slot in found]


def test_a_time_that_the_clocks_skip_comes_when_they_have_jumped() -> None:
    zone, begin, _ = CHANGES[0]
    assert times_of(Times(at=("02:30",)), zone, begin) == ["03:00+0200"]


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    zone, begin, _ = CHANGES[1]
    assert times_of(Times(at=("02:30",)), zone, begin) == ["02:30+0200"]
    assert times_of(Cron("30 2 * * *"), zone, begin) == ["02:30+0200"]


@pytest.mark.parametrize(("zone", "begin", "_"), CHANGES)
@pytest.mark.parametrize("slots", [Hourly(), Hourly(first_h=0, last_h=9)])
def test_hourly_slots_never_leave_more_than_an_hour(
    slots: Hourly, zone: ZoneInfo, begin: datetime, _: timedelta
) -> None:
    found = list(list_slots([slots], begin, begin + 8 * HOUR, zone))
    assert len(found) >= 7
    assert all(timedelta() < later - earlier <= HOUR for earlier, later in pairwise(found))


@pytest.mark.parametrize(("zone", "begin", "change"), CHANGES)
def test_slots_at_fixed_times_come_once_a_day_over_a_change(
    zone: ZoneInfo, begin: datetime, change: timedelta
) -> None:
    for minute in range(0, 24 * 60, 20):
        at = f"{minute // 60:02}:{minute % 60:02}"
        found = list(list_slots([Times(at=(at,))], begin, begin + timedelta(days=3), zone))
        days = {slot.astimezone(zone).date() for slot in found}
        assert len(found) == len(days) in (2, 3, 4), (at, found)


def test_days_and_minutes_are_those_of_the_zone() -> None:
    slots = Times(at=("22:00",), weekdays=("fri",))
    after = datetime(2026, 11, 20, 14, 1, tzinfo=UTC)  # Friday 22:01 in Shanghai
    found = next_slot([slots], after, ZoneInfo("Asia/Shanghai"))
    assert found == datetime(2026, 11, 27, 14, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_next_slot_is_later_and_none_is_left_out(data: st.DataObject) -> None:
    zone = data.draw(st.sampled_from(ZONES))
    slots = data.draw(st.sampled_from(SOME))
    begin = datetime(2026, 1, 1, tzinfo=UTC) + data.draw(st.integers(0, 365 * 24 * 60)) * (
        HOUR / 60
    )
    found = list(list_slots([slots], begin, begin + 30 * HOUR, zone))
    assert found == sorted(set(found))
    for slot in found:  # from any moment before it, the next slot is this one or one before
        before = begin + (slot - begin) * data.draw(st.floats(0, 0.999))
        following = next_slot([slots], before, zone)
        assert following in found
        assert before < following <= slot


@pytest.mark.parametrize(
    ("slots", "what"),
    [
        (Cron("* * * * *"), "five minutes apart"),
        (Cron("0 22 * *"), "five fields"),
        (Cron("0 0 0 22 * *"), "five fields"),
        (Cron("0 0 30 2 *"), "no schedule"),
        (Cron("61 0 * * *"), "no schedule"),
        (Cron("\x1b[31m a b c d"), r"\\x1b"),
        (Times(at=("10:00", "10:02")), "five minutes apart"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(slots: Slots, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        check_schedule([slots])


def test_a_blackout_must_leave_time() -> None:
    check_schedule([Hourly()], ["mon-fri 08:00-18:00"])
    with pytest.raises(UsageError, match="leaves no time"):
        check_schedule([Hourly()], ["00:00-12:00", "12:00-24:00"])


def test_the_longest_gap_is_that_of_the_week() -> None:
    slots = Times(at=("12:30",), weekdays=("mon", "tue", "wed", "thu", "fri"))
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert longest_gap([slots], now, UTC) == timedelta(days=3)
    assert longest_gap([], now, UTC) is None


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("22:00", Times(at=("22:00",))),
        ("9:30,18:00 mon-fri", Times(("09:30", "18:00"), ("mon", "tue", "wed", "thu", "fri"))),
        ("06:00 sat-mon", Times(("06:00",), ("mon", "sat", "sun"))),
        ("hourly", Hourly()),
        ("Hourly 7-19 mon,wed", Hourly(first_h=7, last_h=19, weekdays=("mon", "wed"))),
        ("every 2h 8:15-18", Hourly(every_h=2, first_h=8, last_h=18, minute=15)),
        ("cron 0 3 * * 6#1", Cron("0 3 * * 6#1")),
    ],
)
def test_a_schedule_is_read_as_it_is_typed_and_spelled_again(text: str, slots: Slots) -> None:
    assert parse_slots(text) == slots
    assert parse_slots(spell_slots(slots)) == slots


@pytest.mark.parametrize("text", ["", "25:00", "10:00 funday", "every 0h", "hourly 7", "at noon"])
def test_what_cannot_be_read_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="'22:00'"):
        parse_slots(text)
