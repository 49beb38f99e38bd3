"""Operations on a store, called in the process of the test, so that they can be held and broken."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from appliance.backup.disks import DiskBackup
from appliance.base.clock import Clock, SystemClock
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.formats.point import Manifest
from appliance.keys import keyring
from appliance.sources.disk import DiskSource
from appliance.store.checks import Depth
from appliance.store.collect import Collected, Collection
from appliance.store.leases import writer_lease
from appliance.store.store import Store
from appliance.store.verify import Report, Verification
from tests.crash.gates import STUCK_S

Result = TypeVar("Result")


class StoppedClock(SystemClock):
    """Time does not pass: points want the same name."""

    def now(self) -> datetime:
        """The only moment there is."""
        return datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def open_store(state: Path) -> Store:
    """The store as a new process would open it: nothing cached."""
    return Store(state, keyring.load_master_key(state, None))


def back_up(
    state: Path,
    image: Path,
    machine: str,
    *,
    base: PointName | None = None,
    clock: Clock | None = None,
) -> Manifest:
    """Make a point of `image`."""
    store, source = open_store(state), DiskSource(image)
    try:
        with writer_lease(store.layout) as lease:
            manifest = None if base is None else store.open_point(base, lease)
            job = DiskBackup(store, clock or SystemClock(), Progress(), machine, [source])
            return job.run(lease, manifest, None).manifest
    finally:
        source.close()


def forget(state: Path, name: PointName) -> None:
    """Take a point away."""
    open_store(state).points.forget(name)


def collect(state: Path) -> Collected:
    """Free what nothing needs."""
    return Collection(open_store(state), SystemClock(), Progress()).run()


def verify(state: Path, depth: Depth = "full") -> Report:
    """Look at everything."""
    return Verification(open_store(state), Progress(), depth).run()


def content(state: Path, name: PointName) -> bytes:
    """The bytes of a point's only disk."""
    store = open_store(state)
    with store.lease("reader") as lease:
        disk = store.disk_reader(store.open_point(name, lease), 0)
        return disk.read(0, disk.size_bytes)


def container_files(state: Path) -> set[Path]:
    """All containers of the store."""
    return set((state / "store" / "containers").glob("*/*"))


def settle_index(state: Path) -> None:
    """Make the index believe that it has seen all containers for good, as it does seconds later."""
    for folder in (state / "store" / "containers").iterdir():
        os.utime(folder, (1_000_000_000, 1_000_000_000))
    open_store(state).load_index()


class Task(Generic[Result]):
    """A function in a thread of its own; `result` waits for it and raises what it raised."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._outcome: list[Result] = []
        self._error: list[BaseException] = []
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._function())
        except BaseException as error:
            self._error.append(error)

    def wait(self, seconds: float) -> None:
        """Give it some time; it need not end."""
        self._thread.join(seconds)

    def result(self) -> Result:
        """What the function gave."""
        self._thread.join(STUCK_S)
        assert not self._thread.is_alive(), "the operation is stuck"
        if self._error:
            raise self._error[0]
        return self._outcome[0]
