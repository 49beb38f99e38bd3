"""What is due is submitted once: restarts, crashes, outages, jumps of the clock, many machines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from appliance.base.errors import BusyError, NotFoundError
from appliance.catalog.schedule_log import ScheduleLog
from appliance.formats.names import format_time
from appliance.formats.protection import Hourly, MachineRecord, Protection, Times
from appliance.jobs.schedule import Schedule
from appliance.policies.book import Book
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.store.stores import KEYS, make_store, manifest_of

NIGHT = datetime(2026, 11, 21, 21, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass
class FakeJob:
    id: int
    state: str
    verb: str
    arguments: Mapping[str, Any]
    machine: str | None
    priority: int


@dataclass
class FakePage:
    items: list[FakeJob]


class FakeQueue:
    """Keeps keys as the queue of jobs does."""

    def __init__(self) -> None:
        self.jobs: list[FakeJob] = []
        self.keys: dict[str, FakeJob] = {}
        self.refuses = False
        self.ends_at_once = True

    async def submit(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        *,
        machine: str | None = None,
        priority: int = 50,
        asked_by: str,
        key: str | None = None,
    ) -> FakeJob:
        if self.refuses:
            raise BusyError("the queue is full")
        assert key is not None
        if key not in self.keys:
            state = "done" if self.ends_at_once else "queued"
            job = FakeJob(len(self.jobs), state, verb, arguments, machine, priority)
            self.jobs.append(job)
            self.keys[key] = job
        return self.keys[key]

    async def get(self, job_id: int, /) -> FakeJob:
        try:
            return self.jobs[job_id]
        except IndexError:
            raise NotFoundError(f"job {job_id}") from None

    async def list(self, *, limit: int, state: str, verb: str) -> FakePage:
        return FakePage([job for job in self.jobs if (job.state, job.verb) == (state, verb)])

    def count(self, machine: str = "web1", verb: str = "backup") -> int:
        return sum(job.machine == machine and job.verb == verb for job in self.jobs)


class Box:
    """A schedule on a real store and file, which can be restarted."""

    def __init__(self, state: Path, zone: tzinfo = UTC) -> None:
        make_store(state)
        self.state = state
        self.clock = HandClock(NIGHT)
        self.queue = FakeQueue()
        self.zone = zone
        self.restart()

    def restart(self) -> None:
        self.book = Book(Store(self.state, KEYS).points)
        self.log = ScheduleLog(self.state)
        self.schedule = Schedule(
            self.book, self.log, self.queue, self.clock, zone=lambda: self.zone
        )

    def add(self, name: str = "web1", **members: Any) -> None:
        record = MachineRecord(machine=name, since=format_time(NIGHT), sources=("/srv/a.raw",))
        self.book.put(record)
        if members:
            self.book.set(Protection(machine=name, **members), NIGHT)

    def look(self) -> datetime:
        return asyncio.run(self.schedule.look())

    def go_by(self, span: timedelta, step: timedelta = timedelta(minutes=10)) -> None:
        end = self.clock.now() + span
        while self.clock.now() < end:
            self.clock.go_by(step)
            self.look()


@pytest.fixture
def box(state: Path) -> Iterator[Box]:
    found = Box(state)
    yield found
    found.log.close()


NIGHTLY = (Times(at=("22:00",)),)


def test_a_backup_begins_in_its_slot_with_the_sources_of_the_machine(box: Box) -> None:
    box.add(schedule=NIGHTLY, priority=20)
    box.look()
    assert not box.queue.jobs
    box.go_by(HOUR + timedelta(minutes=10))
    (job,) = box.queue.jobs
    assert (job.verb, job.machine, job.priority) == ("backup", "web1", 20)
    assert job.arguments == {"sources": ["/srv/a.raw"], "machine": "web1"}
    box.go_by(DAY)
    assert box.queue.count() == 2


def test_it_says_when_it_wants_to_look_again(box: Box) -> None:
    box.add(schedule=NIGHTLY)
    box.clock.time = NIGHT + timedelta(minutes=59, seconds=50)
    assert box.look() == NIGHT + HOUR


def test_what_was_missed_is_caught_up_once_after_a_restart(box: Box) -> None:
    box.add(schedule=(Hourly(),))
    box.go_by(3 * HOUR)
    assert box.queue.count() == 3
    box.log.close()
    box.clock.go_by(100 * DAY + timedelta(minutes=30))
    box.restart()
    box.look()
    box.look()
    assert box.queue.count() == 4
    box.go_by(HOUR)
    assert box.queue.count() == 5


def test_a_crash_between_submitting_and_noting_runs_nothing_twice(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.add(schedule=NIGHTLY)
    box.clock.go_by(2 * HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(ScheduleLog, "put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            box.look()
    assert box.queue.count() == 1
    box.log.close()
    box.restart()
    box.look()
    assert box.queue.count() == 1
    box.go_by(DAY)
    assert box.queue.count() == 2


def test_a_machine_whose_last_backup_still_waits_gets_no_second_one(box: Box) -> None:
    box.queue.ends_at_once = False
    box.add(schedule=(Hourly(),))
    box.go_by(5 * HOUR)
    assert box.queue.count() == 1
    box.queue.jobs[0].state = "failed"
    box.go_by(timedelta(minutes=10))
    assert box.queue.count() == 2


def test_a_queue_that_refuses_is_asked_again(box: Box) -> None:
    box.queue.refuses = True
    box.add(schedule=NIGHTLY)
    box.go_by(2 * HOUR)
    assert not box.queue.jobs
    box.queue.refuses = False
    box.go_by(timedelta(minutes=20))
    assert box.queue.count() == 1


def test_a_clock_that_jumps_a_year_makes_one_run_each_and_goes_on_when_it_is_set_back(
    box: Box,
) -> None:
    for number in range(20):
        box.add(f"m{number}", schedule=(Hourly(),))
    box.go_by(HOUR)
    assert len(box.queue.jobs) == 20
    box.clock.jump(365 * DAY)
    box.look()
    box.look()
    assert len(box.queue.jobs) == 40
    assert {job.verb for job in box.queue.jobs} == {"backup"}
    box.clock.jump(-365 * DAY)
    box.look()
    assert len(box.queue.jobs) == 40
    box.go_by(HOUR)
    assert len(box.queue.jobs) == 60


def test_a_zone_that_changes_moves_the_slots(box: Box) -> None:
    box.add(schedule=NIGHTLY)
    box.look()
    box.zone = ZoneInfo("Europe/Berlin")  # where it is 22:00 now, and not later
    box.go_by(2 * HOUR)
    assert not box.queue.jobs
    box.go_by(22 * HOUR)
    assert box.queue.count() == 1


def test_pausing_ends_it_and_resuming_catches_nothing_up(box: Box) -> None:
    box.add(schedule=(Hourly(),))
    box.book.set_state("web1", "paused", box.clock.now())
    box.go_by(5 * HOUR)
    assert not box.queue.jobs
    box.book.set_state("web1", "active", box.clock.now())
    box.look()
    assert not box.queue.jobs
    box.go_by(HOUR)
    assert box.queue.count() == 1


def test_a_late_run_waits_for_the_end_of_a_blackout(box: Box) -> None:
    box.add(schedule=NIGHTLY, blackout=("23:00-01:00",))
    box.clock.go_by(timedelta(hours=2, minutes=30))  # 23:30, the slot was at 22:00
    box.look()
    assert not box.queue.jobs
    box.go_by(timedelta(hours=1, minutes=40))
    assert box.queue.count() == 1


def test_drills_are_scheduled_too(box: Box) -> None:
    box.add(schedule=NIGHTLY, drill=(Times(at=("03:00",)),))
    box.go_by(DAY)
    assert not box.queue.count(verb="drill run")  # there is nothing to recover from yet
    store = Store(box.state, KEYS)
    store.points.commit(manifest_of("web1", time=NIGHT), lambda _: False)
    box.go_by(2 * HOUR)
    (drill,) = (job for job in box.queue.jobs if job.verb == "drill run")
    assert drill.arguments == {"what": "web1"}


def test_the_most_important_and_the_longest_due_go_first(box: Box) -> None:
    box.add("b", schedule=(Times(at=("22:10",)),))
    box.add("a", schedule=(Times(at=("22:20",)),))
    box.add("urgent", schedule=(Times(at=("22:30",)),), priority=10)
    box.clock.go_by(2 * HOUR)
    box.look()
    assert [job.machine for job in box.queue.jobs] == ["urgent", "b", "a"]


def test_a_thousand_machines_cost_what_is_due_and_nothing_more(box: Box) -> None:
    for number in range(1000):
        box.add(f"m{number}")
    box.book.set(Protection(schedule=NIGHTLY, jitter_s=3600), NIGHT)
    box.look()
    reads, computed = box.book.reads, box.schedule.computed
    assert (reads, computed) == (1001, 1000)
    for _ in range(50):
        box.clock.go_by(timedelta(minutes=1))
        box.look()
    assert (box.book.reads, box.schedule.computed) == (reads, computed)
    box.go_by(timedelta(minutes=20), step=timedelta(minutes=1))
    submitted = len(box.queue.jobs)
    assert 50 < submitted < 400
    assert box.schedule.computed == computed + submitted
    assert box.book.reads == reads
