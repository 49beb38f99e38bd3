"""Times of the week, as people write them: `22:00-06:00`, `mon-fri 19:00-07:00`.

Owns the spelling, and which minutes lie within. Whose local time it is, the caller knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from appliance.base.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?"
    r"(?P<begin>[0-2][0-9]:[0-5][0-9])-(?P<end>[0-2][0-9]:[0-5][0-9])"
)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Window:
    """Days (0 is Monday) and minutes of the day from `begin` up to `end`; may pass midnight."""

    days: frozenset[int]
    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `22:00-06:00` or `mon-fri 19:00-07:00`. Raises UsageError."""
        found = _WINDOW.fullmatch(text.strip().lower())
        try:
            if found is None:
                raise ValueError
            first, last = found["first"], found["last"]
            low = DAYS.index(first) if first else 0
            high = DAYS.index(last) if last else (low if first else 6)
            span = (high - low) % 7
            days = frozenset((low + day) % 7 for day in range(span + 1))
            return cls(days, _minutes(found["begin"]), _minutes(found["end"]))
        except ValueError:
            raise UsageError(
                f"'{text[:40]}' is no window: write '22:00-06:00' or 'mon-fri 19:00-07:00'"
            ) from None

    def is_open(self, moment: datetime) -> bool:
        """Whether `moment` lies within; a window past midnight belongs to the day it begins."""
        minute, day = moment.hour * 60 + moment.minute, moment.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or (
            (day - 1) % 7 in self.days and minute < self.end
        )


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    if int(hours) > 24 or int(hours) * 60 + int(minutes) > _DAY_MINUTES:
        raise ValueError(text)
    return int(hours) * 60 + int(minutes)


def next_opening(windows: Sequence[Window], moment: datetime) -> datetime:
    """The first minute from `moment` on in which a window is open."""
    minute = moment.replace(second=0, microsecond=0)
    for _ in range(8 * _DAY_MINUTES):
        if any(window.is_open(minute) for window in windows):
            return max(minute, moment)
        minute += timedelta(minutes=1)
    return minute


def next_closing(windows: Sequence[Window], moment: datetime, zone: tzinfo) -> datetime:
    """The first minute from `moment` on in which no window is open, in UTC; at most eight days on.

    Wherever the clocks of `zone` change, minutes are counted as they pass.
    """
    minute = moment.astimezone(UTC)
    for _ in range(8 * _DAY_MINUTES):
        if not any(window.is_open(minute.astimezone(zone)) for window in windows):
            return minute
        minute = minute.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return minute
