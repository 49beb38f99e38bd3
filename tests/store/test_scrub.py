"""The share that is due: how much, in which order, how fast, and what a stop leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import BusyError, Cancelled
from appliance.base.locks import FileLock
from appliance.base.progress import Progress, Snapshot
from appliance.store.findings import read_findings
from appliance.store.scrub import FOLDERS, Memory, Scrub, Scrubbed
from appliance.store.store import Store
from tests.store.stores import add_container, chunks_of, load_index, make_store

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
DAYS = 8


class MovingClock(SystemClock):
    """Time passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.passed_s)

    def monotonic_s(self) -> float:
        return self.passed_s

    def sleep_s(self, seconds: float) -> None:
        self.passed_s += seconds


@pytest.fixture
def store(state: Path) -> Store:
    """Forty containers in about as many folders; nothing refers to them."""
    made = make_store(state)
    index = load_index(made.layout)
    for number in range(40):
        add_container(made.layout, index, chunks_of(number, 3))
    return made


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


def scrub(
    store: Store, clock: MovingClock, *, is_all: bool = False, rate: float | None = None
) -> Scrubbed:
    return Scrub(store, clock, Progress(), days=DAYS, bytes_per_s=rate).run(is_all=is_all)


def memory(store: Store) -> Memory:
    return Memory.decode(store.layout.scrub.read_bytes())


def test_daily_calls_read_everything_once_within_the_days(store: Store, clock: MovingClock) -> None:
    read, folders = 0, []
    for _ in range(DAYS):
        read += scrub(store, clock).read_containers
        folders.append(len(memory(store).read_s))
        clock.passed_s += 24 * 3600
    assert read == 40
    assert folders == [(day + 1) * FOLDERS // DAYS for day in range(DAYS)]
    # The oldest share is due again, and is read.
    assert scrub(store, clock).oldest_read_s == int(BEGAN.timestamp()) + 24 * 3600


def test_a_second_call_at_once_has_nothing_to_do(store: Store, clock: MovingClock) -> None:
    scrub(store, clock)
    assert scrub(store, clock).read_containers == 0
    assert scrub(store, clock, is_all=True).read_containers == 40


def test_the_least_recently_read_comes_first(store: Store, clock: MovingClock) -> None:
    scrub(store, clock, is_all=True)
    clock.passed_s += 24 * 3600
    scrub(store, clock)
    clock.passed_s += 24 * 3600
    before = memory(store).read_s
    scrub(store, clock)
    after = memory(store).read_s
    moved = {name for name in after if after[name] != before[name]}
    assert len(moved) == FOLDERS // DAYS
    assert max(before[name] for name in moved) <= min(before.values()) + 1


@pytest.mark.parametrize("jump_s", [-(10**8), 10**9])
def test_a_clock_that_jumps_owes_one_pass_at_most(
    store: Store, clock: MovingClock, jump_s: int
) -> None:
    scrub(store, clock)
    clock.passed_s += jump_s
    scrubbed = scrub(store, clock)
    assert scrubbed.read_containers == (40 if jump_s > 0 else 0)
    assert memory(store).owed <= 0


def test_it_keeps_to_its_rate(store: Store, clock: MovingClock) -> None:
    scrubbed = scrub(store, clock, is_all=True, rate=1000)
    assert clock.passed_s == pytest.approx(scrubbed.read_bytes / 1000, rel=0.01)


def test_a_cancelled_scrub_goes_on_where_it_was(store: Store, clock: MovingClock) -> None:
    def stop(snapshot: Snapshot) -> None:
        if snapshot.phase == "reading containers" and snapshot.done:
            progress.cancel()

    progress = Progress(stop)
    scrub_all = Scrub(store, clock, progress, days=DAYS)
    with pytest.raises(Cancelled):
        scrub_all.run(is_all=True)
    assert memory(store).owed > 0
    rest = scrub(store, clock)
    assert rest.is_finished
    assert 36 <= rest.read_containers <= 40


def test_damage_seen_by_a_cancelled_scrub_is_seen_again(store: Store, clock: MovingClock) -> None:
    for path in store.layout.containers.glob("*/*"):
        path.write_bytes(b"x" * 500)

    def stop(snapshot: Snapshot) -> None:
        if snapshot.phase == "saving what is sound":
            progress.cancel()

    progress = Progress(stop)
    with pytest.raises(Cancelled):
        Scrub(store, clock, progress, days=DAYS).run(is_all=True)
    assert not list(store.layout.quarantine.iterdir())
    assert len(scrub(store, clock, is_all=True).faults) == 40
    assert len(list(store.layout.quarantine.iterdir())) == 40
    assert len(read_findings(store.layout).findings) == 40
    for path in store.layout.quarantine.iterdir():
        path.unlink()
    clock.passed_s += 1
    scrub(store, clock)
    assert read_findings(store.layout).findings == ()


def test_while_a_collection_runs_damage_is_told_and_stays(store: Store, clock: MovingClock) -> None:
    path = next(store.layout.containers.glob("*/*"))
    path.write_bytes(b"x" * 500)
    with FileLock(store.layout.locks / "collect"):
        assert len(scrub(store, clock, is_all=True).faults) == 1
    (finding,) = read_findings(store.layout).findings
    assert (finding.severity, finding.is_quarantined) == ("warning", False)
    assert path.exists()
    scrub(store, clock)
    (finding,) = read_findings(store.layout).findings
    assert (finding.severity, finding.is_quarantined) == ("notice", True)
    assert not path.exists()


def test_a_second_scrub_at_once_is_busy(store: Store, clock: MovingClock) -> None:
    with FileLock(store.layout.locks / "scrub"), pytest.raises(BusyError):
        scrub(store, clock)
