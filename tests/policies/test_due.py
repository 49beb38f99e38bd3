"""When a machine is due: outages, jumping clocks, blackouts; and a year of all of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from appliance.formats.protection import (
    Cron,
    Hourly,
    MachineRecord,
    Protection,
    Slots,
    Times,
)
from appliance.policies.due import (
    BACK_MAX,
    believed_answer,
    leave_blackout,
    when_due,
    when_next,
)
from appliance.policies.slots import list_slots

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHTLY = (Times(at=("22:00",)),)


@pytest.mark.parametrize("zone", [BERLIN, ZoneInfo("America/New_York"), ZoneInfo("Asia/Shanghai")])
@pytest.mark.parametrize("slots", [Hourly(every_h=3), Times(at=("02:30",)), Cron("15 1,3 * * 1-6")])
def test_over_a_year_with_outages_each_slot_is_run_once_or_caught_up_once(
    slots: Slots, zone: ZoneInfo, seed: int
) -> None:
    chance = random.Random(seed)
    now, end = NEW_YEAR, NEW_YEAR + 365 * DAY
    answered = now
    runs: list[datetime] = []
    outages: list[tuple[datetime, datetime]] = []
    while now < end:
        if chance.random() < 0.02:
            begin, now = now, now + timedelta(minutes=chance.randrange(1, 20_000))
            outages.append((begin, now))
        due = when_due([slots], answered, zone)
        assert due is not None
        if due <= now:
            runs.append(now)
            answered = now
        else:
            now = min(due, now + timedelta(hours=chance.randrange(1, 48)))
    wanted = list(list_slots([slots], NEW_YEAR, runs[-1], zone))
    assert len(runs) > 100
    for earlier, later in zip([NEW_YEAR, *runs], runs, strict=False):
        covered = [slot for slot in wanted if earlier < slot <= later]
        assert covered, f"the run at {later} was for no slot"
        if len(covered) > 1 or covered[0] != later:  # late: only because the box was off
            assert any(begin < later and covered[0] <= end for begin, end in outages)


def test_what_was_missed_for_months_is_one_run() -> None:
    due = when_due(NIGHTLY, NEW_YEAR, UTC)
    assert due == datetime(2026, 1, 1, 22, tzinfo=UTC)
    later = when_due(NIGHTLY, NEW_YEAR + 100 * DAY, UTC)  # answered by the one run then
    assert later == datetime(2026, 4, 11, 22, tzinfo=UTC)


def test_the_next_run_is_the_moment_at_which_it_will_begin() -> None:
    """With its jitter, after the blackout, not before what was answered, and now if it is late."""
    noon = datetime(2026, 1, 10, 12, tzinfo=UTC)
    machine = MachineRecord(machine="web1", sources=("/d",), since="2026-01-01T00:00:00Z")
    nightly = Protection(schedule=NIGHTLY, jitter_s=3600)
    slot = datetime(2026, 1, 10, 22, tzinfo=UTC)
    due = when_next(machine, nightly, noon, noon, UTC)
    assert due == when_due(NIGHTLY, noon, UTC, subject="backup web1", jitter_s=3600)
    assert due is not None
    assert slot < due < slot + timedelta(hours=1)
    between = slot + (due - slot) / 2  # the slot has come, its run has not begun
    assert when_next(machine, nightly, noon, between, UTC) == due
    after = when_next(machine, nightly, due, due, UTC)
    assert after is not None
    assert slot + DAY < after < slot + DAY + timedelta(hours=1)
    late = slot + timedelta(hours=5)
    assert when_next(machine, nightly, noon, late, UTC) == late
    shut = msgspec.structs.replace(nightly, blackout=("22:00-04:00",))
    assert when_next(machine, shut, noon, noon, UTC) == slot + timedelta(hours=6)
    assert when_next(machine, nightly, None, noon, UTC) == noon  # none of its slots was answered
    for state in ("paused", "retired"):
        stopped = msgspec.structs.replace(machine, state=state)
        assert when_next(stopped, nightly, None, noon, UTC) is None
    assert when_next(machine, Protection(), None, noon, UTC) is None


def test_slots_before_the_promise_are_not_missed() -> None:
    since = NEW_YEAR + 10 * DAY
    assert believed_answer(NEW_YEAR, since, NEW_YEAR + 20 * DAY) == since


def test_a_clock_that_was_a_year_ahead_does_not_silence_the_schedule() -> None:
    ahead = NEW_YEAR + 366 * DAY
    assert believed_answer(ahead, NEW_YEAR, NEW_YEAR) == NEW_YEAR
    assert believed_answer(ahead, ahead, NEW_YEAR) == NEW_YEAR


def test_a_clock_that_is_put_back_a_little_repeats_nothing() -> None:
    answered = datetime(2026, 1, 1, 22, 0, 5, tzinfo=UTC)
    now = answered - BACK_MAX / 2
    due = when_due(NIGHTLY, believed_answer(answered, NEW_YEAR, now), UTC)
    assert due == datetime(2026, 1, 2, 22, tzinfo=UTC)


def test_a_slot_in_a_blackout_comes_at_its_end_and_many_come_once() -> None:
    blackout = ["mon-fri 08:00-10:30"]
    monday = datetime(2026, 1, 5, 6, 59, 59, tzinfo=UTC)
    first = when_due([Hourly()], monday, UTC, blackout=blackout)
    assert first == datetime(2026, 1, 5, 7, tzinfo=UTC)
    moved = when_due([Hourly()], first, UTC, blackout=blackout)
    assert moved == datetime(2026, 1, 5, 10, 30, tzinfo=UTC)
    assert when_due([Hourly()], moved, UTC, blackout=blackout) == datetime(
        2026, 1, 5, 11, tzinfo=UTC
    )


def test_a_blackout_ends_by_the_clocks_of_the_box_when_they_change() -> None:
    inside = datetime(2026, 10, 25, 0, 10, tzinfo=UTC)  # 02:10 in Berlin, for the first time
    end = leave_blackout(["01:00-04:00"], inside, BERLIN)
    assert end == datetime(2026, 10, 25, 3, tzinfo=UTC)


def test_jitter_spreads_machines_and_stays_the_same() -> None:
    begin = datetime(2026, 1, 1, 22, tzinfo=UTC)
    found = [when_due(NIGHTLY, NEW_YEAR, UTC, subject=f"m{n}", jitter_s=600) for n in range(200)]
    again = [when_due(NIGHTLY, NEW_YEAR, UTC, subject=f"m{n}", jitter_s=600) for n in range(200)]
    assert found == again
    shares = sorted((due - begin).total_seconds() for due in found if due is not None)
    assert shares[0] >= 0
    assert shares[-1] <= 600
    assert shares[50] < 300 < shares[150]
