"""Asks what is due, and submits it: backups and drills by the policies of machines, and upkeep.

Owns the moments at which this is asked, and that nothing is asked for twice: a run is submitted
under a key of its own, so a crash between submitting and noting costs nothing. How many jobs run
at once, the queue decides. Never runs anything itself.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol

from appliance.base.clock import Clock, local_zone
from appliance.base.errors import HoldfastError
from appliance.catalog.schedule_log import Answer, ScheduleLog
from appliance.formats.names import parse_time
from appliance.formats.protection import Slots
from appliance.policies.book import Book, Entry
from appliance.policies.due import (
    BACKUP,
    believed_answer,
    leave_blackout,
    name_backup,
    when_due,
)

ASKED_BY = "schedule"
DRILL = "drill "
"""How the subjects of machines begin that are rehearsed; `BACKUP` those that are backed up."""
LOOK_AGAIN = timedelta(minutes=1)
"""However long nothing is due: policies, clocks and zones change."""
_SUBMITTED_MAX = 100  # at a time, so that a look is short even after a long outage
_AGAIN = timedelta(minutes=5)  # for what the queue refused
_NO_POINT_YET = timedelta(hours=1)
_LIVING = ("queued", "running")
_PAUSE_S = 1.0


class JobState(Protocol):
    """What is needed of a job."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def state(self) -> str:
        """`queued`, `running`, or how it ended."""


class Page(Protocol):
    """Some jobs."""

    @property
    def items(self) -> Sequence[JobState]:
        """They, newest first."""


class Queue(Protocol):
    """What is needed of the queue of jobs."""

    async def submit(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        *,
        machine: str | None = None,
        priority: int = 50,
        asked_by: str,
        key: str | None = None,
    ) -> JobState:
        """Put a job in; with a `key` that was used before, give that job."""

    async def get(self, job_id: int, /) -> JobState:
        """A job. Raises NotFoundError."""

    async def list(self, *, limit: int, state: str, verb: str) -> Page:
        """The newest of some jobs."""


@dataclass(frozen=True, order=True)
class Task:
    """One run that is due; sorts by what goes first. `subject` names what it answers."""

    priority: int
    due: datetime
    subject: str
    verb: str = field(compare=False)
    arguments: Mapping[str, Any] = field(compare=False, default_factory=dict)
    machine: str | None = field(compare=False, default=None)


@dataclass(frozen=True)
class Scene:
    """What is known when upkeep is asked for.

    Attributes:
        answers: by subject.
        states: of the last jobs of upkeep, by subject.
        backups: when the next ones will begin, rising.
        is_busy: whether a backup waits or runs.
    """

    answers: Mapping[str, Answer]
    states: Mapping[str, str]
    backups: Sequence[datetime]
    is_busy: bool

    def is_living(self, subject: str) -> bool:
        """Whether the last job of a subject waits or runs."""
        return self.states.get(subject) in _LIVING


class Upkeep(Protocol):
    """What the box does for itself. Asked in a thread."""

    def list_new(self, now: datetime, answers: Mapping[str, Answer]) -> Iterable[Answer]:
        """For what nobody has heard of: when it shall have been done last."""

    def list_due(self, now: datetime, scene: Scene) -> Iterable[Task]:
        """What should begin now."""


@dataclass
class _Run:
    """Something of a machine that comes again and again."""

    subject: str
    entry: Entry
    schedule: Sequence[Slots]
    due: datetime | None = None

    @property
    def since(self) -> datetime:
        """Slots before that were never asked for."""
        texts = (self.entry.machine.since, self.entry.protection.since)
        return max(time for text in texts if (time := parse_time(text)) is not None)

    def task(self) -> Task:
        """What to submit when it is due."""
        assert self.due is not None
        machine, priority = self.entry.machine, self.entry.protection.priority
        name = machine.machine
        if self.subject.startswith(BACKUP):
            arguments: dict[str, Any] = {"sources": list(machine.sources), "machine": name}
            if machine.allow_inconsistent:
                arguments["allow_inconsistent"] = True
            return Task(priority, self.due, self.subject, "backup", arguments, name)
        return Task(priority, self.due, self.subject, "drill run", {"what": name}, name)


def _list_runs(entry: Entry) -> Iterator[_Run]:
    name = entry.machine.machine
    if entry.is_scheduled:
        yield _Run(name_backup(name), entry, entry.protection.schedule)
    if entry.machine.state == "active" and entry.protection.drill:
        yield _Run(f"{DRILL}{name}", entry, entry.protection.drill)


class Schedule:
    """The schedule of one box. Who looks waits until an earlier look has ended."""

    def __init__(
        self,
        book: Book,
        log: ScheduleLog,
        queue: Queue,
        clock: Clock,
        *,
        zone: Callable[[], tzinfo] = local_zone,
        upkeep: Sequence[Upkeep] = (),
    ) -> None:
        """`zone` gives the local time of the box as it is now."""
        self._book = book
        self._log = log
        self._queue = queue
        self._clock = clock
        self._zone = zone
        self._upkeep = upkeep
        self._answers = log.read()
        self._heap: list[tuple[datetime, str]] = []
        self._runs: dict[str, _Run] = {}
        self._known: tuple[object, ...] = ()
        self._seen: datetime | None = None
        self._waits_until: dict[str, datetime] = {}
        self.computed = 0  # how many moments were worked out so far

    async def keep(self) -> None:
        """Look for ever, whenever something may be due, until cancelled."""
        while True:
            now = self._clock.now()
            again = await self.look()
            await asyncio.sleep(max((again - now).total_seconds(), _PAUSE_S))

    async def look(self) -> datetime:
        """Submit what is due, durably noted on return; gives when to look again."""
        now = self._clock.now()
        due = sorted(await asyncio.to_thread(self._list_due, now))
        for place, task in enumerate(due):
            if place >= _SUBMITTED_MAX:
                self._push(task.subject, now)
            elif not await self._submit(task, now):
                self._push(task.subject, now + LOOK_AGAIN)
        if self._upkeep:
            await self._keep_up(now)
        if len(due) > _SUBMITTED_MAX:
            return now
        return min([now + LOOK_AGAIN, *(moment for moment, _ in self._heap[:1])])

    async def _keep_up(self, now: datetime) -> None:
        for upkeep in self._upkeep:
            new = list(await asyncio.to_thread(upkeep.list_new, now, self._answers))
            if new:
                await asyncio.to_thread(self._log.put, *new)
                self._answers.update({answer.subject: answer for answer in new})
        scene = await self._look_around()
        for upkeep in self._upkeep:
            wanted = await asyncio.to_thread(lambda one: list(one.list_due(now, scene)), upkeep)
            for task in sorted(wanted):
                if self._waits_until.get(task.subject, now) <= now:
                    await self._submit(task, now)

    async def _look_around(self) -> Scene:
        states = {}
        for subject, answer in self._answers.items():
            if not subject.startswith((BACKUP, DRILL)):
                states[subject] = await self._state_of(answer.job)
        is_busy = False
        for state in _LIVING:
            page = await self._queue.list(limit=1, state=state, verb="backup")
            is_busy = is_busy or bool(page.items)
        backups = sorted(moment for moment, name in self._heap if name.startswith(BACKUP))
        return Scene(self._answers, states, backups, is_busy)

    # ---- when ----

    def _refresh(self, now: datetime) -> None:
        """Work out every moment again if a policy, the zone or the clock has changed."""
        zone = self._zone()
        known = (self._book.version(), str(zone))
        jumped = self._seen is not None and now < self._seen
        self._seen = now
        if known == self._known and not jumped:
            return
        self._known = known
        self._heap, self._runs = [], {}
        for entry in self._book.entries():
            for run in _list_runs(entry):
                self._runs[run.subject] = run
                self._plan(run, now, zone)

    def _plan(self, run: _Run, now: datetime, zone: tzinfo) -> None:
        self.computed += 1
        answer = self._answers.get(run.subject)
        answered = believed_answer(answer.answered if answer else run.since, run.since, now)
        protection = run.entry.protection
        run.due = when_due(
            run.schedule,
            answered,
            zone,
            subject=run.subject,
            jitter_s=protection.jitter_s,
            blackout=protection.blackout,
        )
        if run.due is not None:
            heapq.heappush(self._heap, (run.due, run.subject))

    def _list_due(self, now: datetime) -> list[Task]:
        self._refresh(now)
        due = []
        while self._heap and self._heap[0][0] <= now:
            _, subject = heapq.heappop(self._heap)
            run = self._runs[subject]
            # A run that comes late must not begin in a blackout either.
            free = leave_blackout(run.entry.protection.blackout, now, self._zone())
            if free > now:
                self._push(subject, free)
            elif subject.startswith(DRILL) and not self._book.has_points(run.entry.machine.machine):
                self._push(subject, now + _NO_POINT_YET)
            else:
                due.append(run.task())
        return due

    def _push(self, subject: str, moment: datetime) -> None:
        heapq.heappush(self._heap, (moment, subject))

    # ---- what ----

    async def _submit(self, task: Task, now: datetime) -> bool:
        """Whether it was submitted; not while its last run is still alive, or was refused."""
        last = self._answers.get(task.subject) or Answer(task.subject, now)
        if await self._state_of(last.job) in _LIVING:
            return False
        run = last.run + 1
        try:
            job = await self._queue.submit(
                task.verb,
                task.arguments,
                machine=task.machine,
                priority=task.priority,
                asked_by=ASKED_BY,
                key=f"{self._log.series} {task.subject} {run}",
            )
        except HoldfastError:
            self._waits_until[task.subject] = now + _AGAIN
            return False
        answer = replace(last, answered=now, run=run, job=str(job.id))
        await asyncio.to_thread(self._log.put, answer)
        self._answers[task.subject] = answer
        if task.subject in self._runs:
            self._plan(self._runs[task.subject], now, self._zone())
        return True

    async def _state_of(self, job: str) -> str:
        """Of a job; "" where there is none any more."""
        if not job:
            return ""
        try:
            return (await self._queue.get(int(job))).state
        except HoldfastError:
            return ""  # old jobs are cleared away
