"""When self-tests of disks, checks of arrays, and the upkeep of the store should run.

Owns the planning only: what is due, spread over the disks, never in a backup window, and never two
things at once that read the same disks or that slow the whole box. Whoever runs jobs asks again
whenever something has ended, so a plan is never kept. Starts nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Literal

Kind = Literal["short-test", "long-test", "array-check", "scrub", "prune", "collect", "recompress"]
EVERY: dict[Kind, timedelta] = {
    "short-test": timedelta(days=7),
    "long-test": timedelta(days=30),
    "array-check": timedelta(days=30),
    "scrub": timedelta(days=1),
    "prune": timedelta(days=1),
    "collect": timedelta(days=1),
    "recompress": timedelta(days=7),
}
"""How often each is due. A scrub reads a share of the store each day."""
_HEAVY: tuple[Kind, ...] = ("array-check", "scrub", "collect", "recompress")
_DAYS_A_WEEK = 7


@dataclass(frozen=True)
class Window:
    """A time of the week in which backups run, by the clock of the datetimes given.

    Attributes:
        weekdays: 0 is Monday; the day on which it begins.
        begin: when it begins.
        length: less than a week.
    """

    weekdays: frozenset[int]
    begin: time
    length: timedelta

    def spans(self, since: datetime, until: datetime) -> Iterable[tuple[datetime, datetime]]:
        """Its beginnings and ends that touch `since` to `until`."""
        day = (since - self.length).replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= until:
            begin = day.replace(hour=self.begin.hour, minute=self.begin.minute)
            if begin.weekday() in self.weekdays and begin + self.length > since and begin < until:
                yield begin, begin + self.length
            day += timedelta(days=1)


@dataclass(frozen=True)
class Chore:
    """One thing to do again and again.

    Attributes:
        subject: whose: a disk's, an array's, the store's.
        disks: kernel names or serial numbers of the disks it reads.
        last: when it ended last, None for never.
        takes: how long it is expected to take.
    """

    kind: Kind
    subject: str
    disks: frozenset[str]
    last: datetime | None
    takes: timedelta

    @property
    def is_heavy(self) -> bool:
        """Whether it slows down everything on the box, not only its disks."""
        return self.kind in _HEAVY

    def excludes(self, other: Chore) -> bool:
        """Whether both must not run at the same time."""
        return bool(self.disks & other.disks) or (self.is_heavy and other.is_heavy)

    def due(self, now: datetime) -> datetime:
        """When it should run: after its period, or spread over the first one if it never ran."""
        if self.last is not None:
            return max(self.last + EVERY[self.kind], now)
        digest = hashlib.sha256(f"{self.kind} {self.subject}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        return now + EVERY[self.kind] * share


@dataclass(frozen=True)
class Slot:
    """When a chore should run. `fits` is False where no gap between windows is long enough."""

    chore: Chore
    begin: datetime
    fits: bool = True

    @property
    def end(self) -> datetime:
        """When it is expected to end."""
        return self.begin + self.chore.takes


def plan_chores(
    chores: Sequence[Chore],
    windows: Sequence[Window],
    now: datetime,
    running: Sequence[Slot] = (),
) -> list[Slot]:
    """The next run of every chore, earliest first; those `running` keep their time.

    A chore that is longer than every gap between windows begins at the end of a window, in the
    longest gap, and has to be interrupted: its slot says so. Where windows leave no time at all it
    gets no slot.
    """
    busy = _list_busy(windows, now)
    gaps = (begin - end for (_, end), (begin, _) in pairwise(busy))
    longest = max(gaps, default=timedelta()) if busy else None
    placed = list(running)
    names = {(slot.chore.kind, slot.chore.subject) for slot in running}
    waiting = [chore for chore in chores if (chore.kind, chore.subject) not in names]
    for chore in sorted(waiting, key=lambda chore: (chore.due(now), chore.kind, chore.subject)):
        fits = longest is None or chore.takes <= longest
        needs = chore.takes if fits or longest is None else longest
        if needs > timedelta():
            begin = _find_place(chore, needs, chore.due(now), placed, windows)
            placed.append(Slot(chore, begin, fits))
    return sorted(placed, key=lambda slot: (slot.begin, slot.chore.subject, slot.chore.kind))


def list_due(plan: Sequence[Slot], now: datetime) -> list[Slot]:
    """What should run at `now`."""
    return [slot for slot in plan if slot.begin <= now < slot.end]


def _find_place(
    chore: Chore,
    needs: timedelta,
    earliest: datetime,
    placed: Sequence[Slot],
    windows: Sequence[Window],
) -> datetime:
    """The first moment from which `needs` passes without a window or an excluded chore."""
    begin = earliest
    others = [slot for slot in placed if slot.chore.excludes(chore)]
    while True:
        end = begin + needs
        blocks = [until for window in windows for _, until in window.spans(begin, end)]
        blocks += [slot.end for slot in others if slot.begin < end and slot.end > begin]
        if not blocks:
            return begin
        begin = max(blocks)


def _list_busy(windows: Sequence[Window], now: datetime) -> list[tuple[datetime, datetime]]:
    """Two weeks of windows, those that touch each other as one."""
    until = now + timedelta(days=2 * _DAYS_A_WEEK)
    spans = sorted(span for window in windows for span in window.spans(now, until))
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged
