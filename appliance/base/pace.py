"""Keeping work that can wait from taking a disk or a line for itself."""

from __future__ import annotations

from appliance.base.clock import Clock
from appliance.base.progress import Progress

# How long a cancellation may go unnoticed.
_STEP_S = 0.2


class Pace:
    """Holds one thread to a rate, on average since the beginning."""

    def __init__(self, clock: Clock, bytes_per_s: float | None) -> None:
        """None: as fast as it goes."""
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._began_s = clock.monotonic_s()
        self._spent = 0

    def spend(self, size_bytes: int, progress: Progress) -> None:
        """Wait until `size_bytes` more were allowed. Raises Cancelled if asked to stop."""
        if self._bytes_per_s is None:
            return
        self._spent += size_bytes
        until_s = self._began_s + self._spent / self._bytes_per_s
        pause(self._clock, until_s - self._clock.monotonic_s(), progress)


def pause(clock: Clock, seconds: float, progress: Progress) -> None:
    """Wait so many seconds. Raises Cancelled if asked to stop."""
    until_s = clock.monotonic_s() + seconds
    while (rest_s := until_s - clock.monotonic_s()) > 0:
        progress.check()
        clock.sleep_s(min(rest_s, _STEP_S))
