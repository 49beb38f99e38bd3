"""Schedules as people type them: `22:00`, `12:30,18:00 mon-fri`, `hourly 7-19 mon-fri`, `every 2h`.

Owns the spelling, there and back. What a schedule means is in `slots`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import msgspec

from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.formats.protection import Cron, Hourly, Slots, Times, Weekday
from appliance.formats.window import DAYS

EXAMPLES = (
    "'22:00', '12:30,18:00 mon-fri', 'hourly', 'hourly 7-19 mon-fri', 'every 2h', "
    "'cron 0 22 * * 1-5'"
)
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_DAYS = rf"(?: (?P<days>{_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*))?"
_TIMES = re.compile(rf"(?P<at>\d\d?:\d\d(?:,\d\d?:\d\d)*){_DAYS}")
_HOURLY = re.compile(
    rf"(?:hourly|every (?P<every>\d\d?) ?h)(?: (?P<first>\d\d?)(?::(?P<minute>\d\d))?"
    rf"-(?P<last>\d\d?)(?::\d\d)?)?{_DAYS}"
)


def parse_slots(text: str) -> Slots:
    """The schedule that somebody typed. Raises UsageError with examples."""
    plain = " ".join(text.lower().split())
    try:
        if plain.startswith("cron "):
            return msgspec.convert(
                {"kind": "cron", "expression": " ".join(text.split()[1:])}, type=Cron
            )
        if found := _TIMES.fullmatch(plain):
            at = sorted({each.rjust(5, "0") for each in found["at"].split(",")})
            times = {"kind": "times", "at": at, "weekdays": _parse_days(found["days"])}
            return msgspec.convert(times, type=Times)
        if found := _HOURLY.fullmatch(plain):
            value = {
                "kind": "hourly",
                "every_h": int(found["every"] or 1),
                "first_h": int(found["first"] or 0),
                "last_h": int(found["last"] or 23),
                "minute": int(found["minute"] or 0),
                "weekdays": _parse_days(found["days"]),
            }
            return msgspec.convert(value, type=Hourly)
    except msgspec.ValidationError:
        pass
    raise UsageError(
        f"'{printable(text[:80])}' is no schedule: write {EXAMPLES}", code="bad-schedule"
    )


def spell_slots(slots: Slots) -> str:
    """The text that `parse_slots` reads as `slots`."""
    match slots:
        case Cron(expression):
            return f"cron {expression}"
        case Times():
            return ",".join(slots.at) + _spell_days(slots.weekdays)
        case Hourly():
            every = "hourly" if slots.every_h == 1 else f"every {slots.every_h}h"
            is_all_day = (slots.first_h, slots.last_h, slots.minute) == (0, 23, 0)
            span = "" if is_all_day else f" {slots.first_h}:{slots.minute:02}-{slots.last_h}"
            return every + span + _spell_days(slots.weekdays)


def _parse_days(text: str | None) -> list[Weekday]:
    if text is None:
        return [cast(Weekday, day) for day in DAYS]
    chosen: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        low = DAYS.index(first)
        span = (DAYS.index(last or first) - low) % len(DAYS)
        chosen |= {(low + day) % len(DAYS) for day in range(span + 1)}
    return [cast(Weekday, DAYS[day]) for day in sorted(chosen)]


def _spell_days(weekdays: Sequence[str]) -> str:
    return "" if set(weekdays) == set(DAYS) else f" {','.join(weekdays)}"
