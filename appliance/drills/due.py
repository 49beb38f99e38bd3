"""When drills are due: a pure function of schedules, of drills that were, and of the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from appliance.drills.plan import Plan, Schedule

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_BACK_DAYS = 62  # two months: days of the month are 1 to 28, so each has one


def last_slot(schedule: Schedule, now: datetime, zone: tzinfo) -> datetime | None:
    """The newest moment at or before `now` for which the schedule wanted a drill.

    Times of day are those of `zone`. One that a clock change skips comes as much later as the clock
    jumps, one that it repeats comes once. None: no day of the last two months.
    """
    today = now.astimezone(zone).date()
    hour, minute = map(int, schedule.at.split(":"))
    for back in range(_LOOK_BACK_DAYS):
        day = today - timedelta(days=back)
        if schedule.weekdays is not None and _WEEKDAYS[day.weekday()] not in schedule.weekdays:
            continue
        if schedule.days is not None and day.day not in schedule.days:
            continue
        slot = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
        if slot <= now:
            return slot
    return None


def list_due(
    plans: Iterable[Plan],
    last_begun: Mapping[str, datetime],
    known_since: Mapping[str, datetime],
    now: datetime,
    zone: tzinfo,
) -> list[Plan]:
    """The plans that are due, those that have waited longest first.

    `last_begun`: when the newest drill of a plan (by name) began. `known_since`: when a plan was
    made; slots before that are not missed. However many slots were missed, a plan is due once.
    """
    due = []
    for plan in plans:
        if plan.schedule is None:
            continue
        slot = last_slot(plan.schedule, now, zone)
        begun = last_begun.get(plan.name) or known_since[plan.name]
        if slot is not None and slot > begun:
            due.append((slot, plan.name, plan))
    return [plan for _, _, plan in sorted(due, key=lambda item: item[:2])]
