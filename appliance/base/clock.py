"""The one door to time, so that tests can hand in another clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCAL_ZONE = Path("/etc/localtime")


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


def local_zone() -> tzinfo:
    """The zone of the box, with all its changes of the clock: TZ, else /etc/localtime, else UTC."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with _LOCAL_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file, str(_LOCAL_ZONE.resolve()))
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def boot_id() -> str:
    """The kernel's random id of this boot: a change means that the machine restarted."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def monotonic_ns() -> int:
    """Nanoseconds since some moment in the past: to measure work, never to decide anything."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """Nanoseconds since the epoch: the scale of file timestamps."""
    return time.time_ns()
