"""The one door to time, so that tests can hand in another clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What code that needs time asks for."""

    def now(self) -> datetime:
        """The present, in UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""

    def sleep_s(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()

    def sleep_s(self, seconds: float) -> None:
        """Wait `seconds`."""
        time.sleep(seconds)


def boot_id() -> str:
    """The kernel's random id of this boot: a change means that the machine restarted."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def monotonic_ns() -> int:
    """Nanoseconds since some moment in the past: to measure work, never to decide anything."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """Nanoseconds since the epoch: the scale of file timestamps."""
    return time.time_ns()
