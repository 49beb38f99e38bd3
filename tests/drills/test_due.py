"""When drills are due: slots, clock changes, what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from appliance.drills.due import last_slot, list_due
from appliance.drills.plan import Machine, Plan, Schedule

BERLIN = ZoneInfo("Europe/Berlin")
SATURDAY = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def plan(name: str, schedule: Schedule | None) -> Plan:
    return Plan(name=name, machines=(Machine(name="a"),), schedule=schedule)


def test_the_slot_of_a_weekday_is_the_last_one_that_has_come() -> None:
    schedule = Schedule(at="02:30", weekdays=("sat",))
    assert last_slot(schedule, SATURDAY, UTC) == datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
    before = datetime(2026, 11, 21, 2, 29, tzinfo=UTC)
    assert last_slot(schedule, before, UTC) == datetime(2026, 11, 14, 2, 30, tzinfo=UTC)


def test_times_of_day_are_those_of_the_box() -> None:
    schedule = Schedule(at="02:30")
    assert last_slot(schedule, SATURDAY, BERLIN) == datetime(2026, 11, 21, 1, 30, tzinfo=UTC)
    summer = datetime(2026, 7, 1, 9, tzinfo=UTC)
    assert last_slot(schedule, summer, BERLIN) == datetime(2026, 7, 1, 0, 30, tzinfo=UTC)


def test_a_slot_that_the_clock_skips_comes_later_that_day() -> None:
    # On 2026-03-29 Berlin's clocks go from 02:00 to 03:00, which is 01:00 UTC.
    at_noon = datetime(2026, 3, 29, 12, tzinfo=UTC)
    slot = last_slot(Schedule(at="02:30"), at_noon, BERLIN)
    assert slot == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_slot_that_the_clock_repeats_comes_once() -> None:
    # On 2026-10-25 Berlin's clocks go from 03:00 back to 02:00, which is 01:00 UTC.
    schedule = Schedule(at="02:30")
    slots = {
        last_slot(schedule, datetime(2026, 10, 25, tzinfo=UTC) + timedelta(minutes=step), BERLIN)
        for step in range(0, 1440, 10)
    }
    assert len(slots) == 2  # that of the day before, and one


def test_days_of_the_month_and_of_the_week_must_both_hold() -> None:
    schedule = Schedule(at="00:00", weekdays=("mon",), days=(1, 2, 3, 4, 5, 6, 7))
    assert last_slot(schedule, SATURDAY, UTC) == datetime(2026, 11, 2, tzinfo=UTC)


def test_a_plan_is_due_once_however_many_slots_were_missed() -> None:
    plans = [plan("weekly", Schedule(weekdays=("sat",))), plan("by hand", None)]
    long_ago = SATURDAY - timedelta(days=60)
    assert [each.name for each in list_due(plans, {"weekly": long_ago}, {}, SATURDAY, UTC)] == [
        "weekly"
    ]
    done = {"weekly": SATURDAY - timedelta(hours=1)}
    assert not list_due(plans, done, {}, SATURDAY, UTC)


def test_a_new_plan_has_missed_nothing() -> None:
    plans = [plan("daily", Schedule(at="02:00"))]
    since = {"daily": SATURDAY - timedelta(hours=1)}
    assert not list_due(plans, {}, since, SATURDAY, UTC)
    assert list_due(plans, {}, since, SATURDAY + timedelta(days=1), UTC) == plans


def test_who_has_waited_longest_comes_first() -> None:
    plans = [plan("b", Schedule(at="08:00")), plan("a", Schedule(at="09:00"))]
    since = dict.fromkeys(("a", "b"), SATURDAY - timedelta(days=3))
    assert [each.name for each in list_due(plans, {}, since, SATURDAY, UTC)] == ["b", "a"]


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)), st.integers(0, 23))
def test_a_daily_slot_is_never_older_than_a_day_and_a_clock_change(
    moment: datetime, hour: int
) -> None:
    now = moment.replace(tzinfo=UTC)
    slot = last_slot(Schedule(at=f"{hour:02d}:15"), now, BERLIN)
    assert slot is not None
    assert timedelta(0) <= now - slot <= timedelta(hours=25)
