"""Staying on watch: looks again when something changes, and seldom when nothing does.

Owns which changes call for a look, and the feeding of a hardware watchdog. Never judges, and never
feeds the watchdog for work that is not done: a watch that hangs lets the box restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.durable import named_os_errors
from appliance.base.progress import Progress
from appliance.health.udev import Change, Changes

LOOK_AGAIN_S = 300.0
"""What has no event (temperatures, counters, fill) is looked at this often."""
SETTLE_S = 0.3
"""One failure makes a burst of events; the look waits for its end."""
_SETTLE_MAX_S = 2.0
FEED_EVERY_S = 5.0
"""Well below the 30 s and more that hardware watchdogs wait by default."""


class Watchdog:
    """An open hardware watchdog (kernel: watchdog/watchdog-api). Closing it well disarms it."""

    def __init__(self, path: Path) -> None:
        """Arms it. Raises the error tree when there is none or somebody else has it."""
        with named_os_errors(path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def feed(self) -> None:
        """Promise to be back in time."""
        os.write(self._descriptor, b"\0")

    def close(self) -> None:
        """Disarm: the letter V says that this is the end and no crash."""
        os.write(self._descriptor, b"V")
        os.close(self._descriptor)


class Watch:
    """Looks, and waits for a reason to look again."""

    def __init__(
        self,
        changes: Changes,
        clock: Clock,
        progress: Progress,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._changes = changes
        self._clock = clock
        self._progress = progress
        self._watchdog = watchdog

    def reasons(self) -> Iterator[list[Change]]:
        """Why to look: at first for no reason, then for what changed; ends with Cancelled only.

        Nothing changed for LOOK_AGAIN_S is a reason too: an empty one.
        """
        seen: list[Change] = []
        while True:
            self._feed()
            yield seen
            seen = self._await()

    def _feed(self) -> None:
        if self._watchdog is not None:
            self._watchdog.feed()

    def _await(self) -> list[Change]:
        """The next changes, or nothing after LOOK_AGAIN_S."""
        until_s = self._clock.monotonic_s() + LOOK_AGAIN_S
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            self._progress.check()
            self._feed()
            if changes := self._changes.wait(min(left_s, FEED_EVERY_S)):
                return changes + self._settle()
        return []

    def _settle(self) -> list[Change]:
        until_s = self._clock.monotonic_s() + _SETTLE_MAX_S
        more: list[Change] = []
        while self._clock.monotonic_s() < until_s and (found := self._changes.wait(SETTLE_S)):
            more += found
        return more
