"""The small handle through which every long operation reports, and is cancelled.

An operation calls `phase` when it starts something, `advance` as work is done, and thereby learns
of a cancellation: both raise `Cancelled` once `cancel` was called. Who watches (a progress bar, a
daemon's job table) gives a listener. All methods may be called from any thread.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from appliance.base.errors import Cancelled

Unit = Literal["bytes", "items"]


@dataclass(frozen=True)
class Snapshot:
    """Where an operation stands. `total` is None while nobody knows it."""

    phase: str
    done: int
    total: int | None
    unit: Unit
    elapsed_s: float

    @property
    def rate_per_s(self) -> float:
        """Units per second since the phase began."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0


class Progress:
    """Reports phase, done, total and rate; carries cancellation the other way.

    >>> Progress().snapshot().phase
    ''
    """

    def __init__(self, listener: Callable[[Snapshot], None] | None = None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._phase = ""
        self._done = 0
        self._total: int | None = None
        self._unit: Unit = "bytes"
        self._began_s = time.monotonic()
        self._cancelled_by: int | None = None

    def phase(self, name: str, total: int | None = None, unit: Unit = "bytes") -> None:
        """Begin phase `name`. Raises Cancelled if asked to stop."""
        self.check()
        with self._lock:
            self._phase, self._total, self._unit = name, total, unit
            self._done, self._began_s = 0, time.monotonic()
        self._tell()

    def advance(self, amount: int) -> None:
        """Add `amount` units of work done. Raises Cancelled if asked to stop."""
        self.check()
        with self._lock:
            self._done += amount
        self._tell()

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
            return Snapshot(self._phase, self._done, self._total, self._unit, elapsed_s)

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener(self.snapshot())
