"""When the slots of a schedule are, in UTC, wherever the clocks of the box change.

Owns the meaning of schedules. All three spellings become cron expressions, which `cronsim` reads as
Debian's cron does: a time of day that the clocks skip comes when they have jumped, one that they
repeat comes once. Hourly slots go on: in an hour that is repeated they come again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

from cronsim import CronSim, CronSimError

from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.formats.protection import Cron, Hourly, Slots, Times
from appliance.formats.window import DAYS, Window, next_closing

CLOSEST = timedelta(minutes=5)
"""Slots that lie closer together than this are refused: a backup takes its time, too."""
_LOOKED_AT = timedelta(days=15)
_SLOTS_MAX = 5000


def list_expressions(slots: Slots) -> list[str]:
    """The cron expressions that together mean the same."""
    match slots:
        case Cron(expression):
            return [expression]
        case Hourly():
            hours = f"{slots.first_h}-{slots.last_h}/{slots.every_h}"
            five = f"{slots.minute} {hours} * * {_name_days(slots.weekdays)}"
            # With a field for seconds cronsim goes by the hours that pass. Together: where clocks
            # skip an hour its slot comes late, where they repeat one it comes twice.
            return [five, f"0 {five}"]
        case Times():
            hours_of: dict[int, list[int]] = {}
            for text in slots.at:
                hour, minute = map(int, text.split(":"))
                hours_of.setdefault(minute, []).append(hour)
            days = _name_days(slots.weekdays)
            return [
                f"{minute} {','.join(map(str, sorted(set(hours))))} * * {days}"
                for minute, hours in sorted(hours_of.items())
            ]


def check_schedule(schedule: Sequence[Slots], blackout: Sequence[str] = ()) -> None:
    """Raise UsageError if it never comes, comes too often, or only while nothing may begin."""
    for slots in schedule:
        if isinstance(slots, Cron):
            _check_expression(slots.expression)
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    found = list(list_slots(schedule, monday, monday + timedelta(days=8), UTC))
    gaps = (later - earlier for earlier, later in pairwise(found))
    if min(gaps, default=CLOSEST) < CLOSEST:
        raise UsageError(
            "the slots are less than five minutes apart: give fewer", code="bad-schedule"
        )
    windows = [Window.parse(text) for text in blackout]
    if windows and next_closing(windows, monday, UTC) >= monday + timedelta(days=7):
        raise UsageError("the blackout leaves no time of the week: give shorter ones")


def _check_expression(expression: str) -> None:
    shown = printable(expression[:80])
    if len(expression.split()) != 5:
        raise UsageError(
            f"'{shown}' is no schedule: cron has five fields, as '0 22 * * 1-5' for 22:00 from "
            "Monday to Friday",
            code="bad-schedule",
        )
    try:
        first = next_slot([Cron(expression)], datetime(2026, 1, 1, tzinfo=UTC), UTC)
    except CronSimError as error:
        raise UsageError(f"'{shown}' is no schedule: {error}", code="bad-schedule") from error
    if first is None:
        raise UsageError(f"'{shown}' never comes", code="bad-schedule")


def next_slot(schedule: Sequence[Slots], after: datetime, zone: tzinfo) -> datetime | None:
    """The first slot later than `after`, in UTC; None if there is none in fifty years."""
    found = (
        _next_of(expression, after, zone)
        for slots in schedule
        for expression in list_expressions(slots)
    )
    return min((slot for slot in found if slot is not None), default=None)


def list_slots(
    schedule: Sequence[Slots], after: datetime, until: datetime, zone: tzinfo
) -> Iterator[datetime]:
    """The slots later than `after` and not later than `until`, in UTC; at most 5,000."""
    slot = next_slot(schedule, after, zone)
    for _ in range(_SLOTS_MAX):
        if slot is None or slot > until:
            return
        yield slot
        slot = next_slot(schedule, slot, zone)


def longest_gap(schedule: Sequence[Slots], now: datetime, zone: tzinfo) -> timedelta | None:
    """The longest time between two slots of the next two weeks; None with fewer than two."""
    found = list(list_slots(schedule, now, now + _LOOKED_AT, zone))
    return max((later - earlier for earlier, later in pairwise(found)), default=None)


def _next_of(expression: str, after: datetime, zone: tzinfo) -> datetime | None:
    moment = after.astimezone(zone)
    # In the hour that the clocks repeat, cronsim names slots of its first pass again.
    for local in CronSim(expression, moment.replace(microsecond=0)):
        slot = local.astimezone(UTC)
        if slot > after:
            return slot
    return None


def _name_days(weekdays: Sequence[str]) -> str:
    if set(weekdays) == set(DAYS):
        return "*"
    return ",".join(str(DAYS.index(day) + 1) for day in DAYS if day in weekdays)
