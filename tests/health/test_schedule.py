"""Self-tests and scrubs: spread, never in a backup window, never on top of each other."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.health.schedule import EVERY, Chore, Kind, Slot, Window, list_due, plan_chores

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EVERY_DAY = frozenset(range(7))
NIGHT = Window(EVERY_DAY, time(22), timedelta(hours=8))
HOUR = timedelta(hours=1)


def chore(
    kind: Kind, subject: str, *disks: str, last: datetime | None = NOW, hours: float = 2
) -> Chore:
    return Chore(kind, subject, frozenset(disks or (subject,)), last, timedelta(hours=hours))


def is_in_window(slot: Slot, window: Window) -> bool:
    return any(window.spans(slot.begin, slot.end))


def test_a_chore_is_due_after_its_period() -> None:
    (slot,) = plan_chores([chore("array-check", "md0")], [], NOW)
    assert slot.begin == NOW + EVERY["array-check"]
    assert not list_due([slot], NOW)
    assert list_due([slot], slot.begin) == [slot]


def test_one_that_is_overdue_begins_now_but_not_in_a_window() -> None:
    late = chore("array-check", "md0", last=NOW - timedelta(days=99))
    assert plan_chores([late], [], NOW)[0].begin == NOW
    at_night = NOW.replace(hour=23)
    (slot,) = plan_chores([late], [NIGHT], at_night)
    assert slot.begin == (NOW + timedelta(days=1)).replace(hour=6)


def test_what_would_run_into_a_window_waits_for_its_end() -> None:
    late = chore("long-test", "sda", last=NOW - timedelta(days=99), hours=11)
    (slot,) = plan_chores([late], [NIGHT], NOW)
    assert slot.begin == (NOW + timedelta(days=1)).replace(hour=6)
    assert slot.fits


def test_what_is_longer_than_every_gap_says_so() -> None:
    late = chore("long-test", "sda", last=NOW - timedelta(days=99), hours=30)
    (slot,) = plan_chores([late], [NIGHT], NOW)
    assert not slot.fits
    assert slot.begin.hour == 6


def test_windows_without_a_gap_leave_no_time() -> None:
    always = Window(EVERY_DAY, time(0), timedelta(hours=24))
    late = chore("scrub", "store", last=NOW - timedelta(days=9))
    assert plan_chores([late], [always], NOW) == []


def test_disks_of_one_array_are_tested_one_after_the_other() -> None:
    late = NOW - timedelta(days=99)
    tests = [chore("long-test", f"sd{name}", f"sd{name}", "md0", last=late) for name in "abcd"]
    slots = plan_chores(tests, [NIGHT], NOW)
    for first, second in combinations(slots, 2):
        assert first.end <= second.begin or second.end <= first.begin


def test_array_checks_and_scrubs_do_not_pile_up() -> None:
    late = NOW - timedelta(days=99)
    slots = plan_chores(
        [
            chore("array-check", "md0", "sda", "sdb", last=late),
            chore("array-check", "md1", "sdc", "sdd", last=late),
            chore("scrub", "store", "sde", last=late),
        ],
        [],
        NOW,
    )
    assert [slot.begin - NOW for slot in slots] == [0 * HOUR, 2 * HOUR, 4 * HOUR]


def test_new_disks_do_not_all_begin_on_the_same_day() -> None:
    new = [chore("long-test", f"disk {number}", last=None) for number in range(24)]
    days = {slot.begin.date() for slot in plan_chores(new, [NIGHT], NOW)}
    assert len(days) > 8


def test_what_runs_keeps_its_time_and_others_go_around_it() -> None:
    late = NOW - timedelta(days=99)
    check = chore("array-check", "md0", "sda", "sdb", last=late)
    running = Slot(check, NOW - HOUR)
    slots = plan_chores([check, chore("long-test", "sda", last=late)], [], NOW, [running])
    assert slots[0] == running
    assert slots[1].begin == running.end


@settings(deadline=None)
@given(
    hours=st.lists(st.floats(0.1, 10), min_size=1, max_size=12),
    kinds=st.lists(st.sampled_from(tuple(EVERY)), min_size=12, max_size=12),
    window=st.builds(
        Window,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.builds(time, st.integers(0, 23)),
        st.builds(timedelta, hours=st.integers(1, 13)),
    ),
    ages=st.lists(st.integers(0, 90) | st.none(), min_size=12, max_size=12),
)
def test_no_plan_meets_a_window_or_piles_up(
    hours: list[float],
    kinds: list[Kind],
    window: Window,
    ages: list[int | None],
) -> None:
    chores = [
        chore(
            kinds[number],
            f"s{number}",
            f"d{number % 4}",
            last=None if age is None else NOW - timedelta(days=age),
            hours=span,
        )
        for number, (span, age) in enumerate(zip(hours, ages, strict=False))
    ]
    slots = plan_chores(chores, [window], NOW)
    assert len(slots) == len(chores)
    for slot in slots:
        assert slot.begin >= NOW
        assert slot.fits
        assert not is_in_window(slot, window)
    for first, second in combinations(slots, 2):
        if first.chore.excludes(second.chore):
            assert first.end <= second.begin or second.end <= first.begin
