"""The small handle through which every long operation reports, and is cancelled.

An operation calls `phase` when it starts something, `advance` as work is done, and thereby learns
of a cancellation: both raise `Cancelled` once `cancel` was called. Who watches (a progress bar, a
daemon's job table) gives a listener. All methods may be called from any thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from appliance.base.errors import Cancelled

Unit = Literal["bytes", "items"]
Resource = Literal["source", "cpu", "disk", "line"]
RESOURCES: tuple[Resource, ...] = get_args(Resource)
"""What an operation waits for: its input, the processors, the disk below it, the network."""


@dataclass(frozen=True)
class Snapshot:
    """Where an operation stands. `total` is None while nobody knows it.

    `phase` is one of the few that the program names, `about` what it is about: a point, a VM.
    `spent_ns` is the time that its threads together spent on each resource since it began.
    """

    phase: str
    done: int
    total: int | None
    unit: Unit
    elapsed_s: float
    spent_ns: Mapping[Resource, int] = field(default_factory=dict)
    about: str = ""

    @property
    def title(self) -> str:
        """The phase with what it is about, for people."""
        return f"{self.phase} {self.about}".rstrip()

    @property
    def rate_per_s(self) -> float:
        """Units per second since the phase began."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the phase ends if it goes on like this; None while that cannot be told."""
        if self.total is None or self.rate_per_s <= 0:
            return None
        return round(max(self.total - self.done, 0) / self.rate_per_s, 1)

    @property
    def bottleneck(self) -> dict[Resource, int] | None:
        """Per cent of the time spent on each resource; None where nothing was measured."""
        total_ns = sum(self.spent_ns.values())
        if total_ns <= 0:
            return None
        return {name: round(100 * self.spent_ns.get(name, 0) / total_ns) for name in RESOURCES}


class Progress:
    """Reports phase, done, total and rate; carries cancellation the other way.

    >>> Progress().snapshot().phase
    ''
    """

    def __init__(self, listener: Callable[[Snapshot], None] | None = None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._phase = self._about = ""
        self._done = 0
        self._total: int | None = None
        self._unit: Unit = "bytes"
        self._began_s = time.monotonic()
        self._cancelled_by: int | None = None
        self._spent_ns: dict[Resource, int] = {}

    def phase(
        self, name: str, total: int | None = None, unit: Unit = "bytes", *, about: str = ""
    ) -> None:
        """Begin phase `name`. Raises Cancelled if asked to stop.

        `name` is a constant of the program: pages know it in other languages, and a test holds
        both together. What differs from one to the next is `about`.
        """
        self.check()
        with self._lock:
            self._phase, self._about, self._total, self._unit = name, about, total, unit
            self._done, self._began_s = 0, time.monotonic()
        self._tell()

    def advance(self, amount: int) -> None:
        """Add `amount` units of work done. Raises Cancelled if asked to stop."""
        self.check()
        with self._lock:
            self._done += amount
        self._tell()

    def spend(self, resource: Resource, time_ns: int) -> None:
        """Note that one thread spent time on a resource."""
        with self._lock:
            self._spent_ns[resource] = self._spent_ns.get(resource, 0) + time_ns

    @contextmanager
    def spending(self, resource: Resource) -> Iterator[None]:
        """Note the time that the block takes as spent on a resource."""
        began_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self.spend(resource, time.monotonic_ns() - began_ns)

    def check(self) -> None:
        """Raise Cancelled if asked to stop."""
        if self._cancelled_by is not None:
            raise Cancelled(self._cancelled_by)

    def cancel(self, signal_number: int = signal.SIGINT) -> None:
        """Ask the operation to stop at its next report. Safe in a signal handler."""
        self._cancelled_by = signal_number

    def snapshot(self) -> Snapshot:
        """Where the operation stands now."""
        with self._lock:
            elapsed_s = time.monotonic() - self._began_s
            spent_ns = dict(self._spent_ns)
            return Snapshot(
                *(self._phase, self._done, self._total, self._unit, elapsed_s, spent_ns),
                about=self._about,
            )

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(self.snapshot())
