"""Staying on watch: looks again when something changes, and seldom when nothing does.

Owns which changes call for a look, that arrays and the kernel's log are looked at without waiting
for disks, and the feeding of a hardware watchdog. Never judges, and never feeds the watchdog for
work that is not done: a watch, or a look, that hangs lets the box restart.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from appliance.base.clock import Clock
from appliance.base.durable import named_os_errors
from appliance.base.progress import Progress
from appliance.health.udev import Change

LOOK_AGAIN_S = 300.0
"""What has no event (temperatures, counters, fill) is looked at this often."""
SETTLE_S = 0.3
"""One failure makes a burst of events; the look waits for its end."""
_SETTLE_MAX_S = 2.0
LOG = Change("log", "")
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


class Events(Protocol):
    """Where changes come from: `health.udev.Changes`."""

    def wait(self, timeout_s: float) -> list[Change]:
        """What changed; nothing when `timeout_s` passed quietly, or somebody called `wake`."""

    def wake(self) -> None:
        """End a wait now. Any thread may call it."""


class Watch:
    """Looks at everything in a thread, one look at a time, and meanwhile waits for a reason.

    `look` looks at everything and is told what changed since it last began; a disk that hangs may
    hold it up. `glance` looks at what answers at once: it is done when an array changes, and when
    the kernel has written what it could not read, beside a look if need be.
    """

    def __init__(
        self,
        events: Events,
        clock: Clock,
        progress: Progress,
        *,
        look: Callable[[list[Change]], None],
        glance: Callable[[], None],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._events = events
        self._clock = clock
        self._progress = progress
        self._look = look
        self._glance = glance
        self._watchdog = watchdog
        self._due: list[Change] = []
        self._running: Future[None] | None = None
        self._began_s = 0.0

    def run(self) -> None:
        """Stay on watch. Ends with Cancelled, or with what a look raised."""
        with ThreadPoolExecutor(1, "look") as pool:
            self._begin(pool)
            while True:
                self._progress.check()
                self._feed()
                self._await_change()
                self._end_look()
                if self._running is None and (self._due or self._left_s() <= 0):
                    self._begin(pool)

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        """Begin a look. Nothing changed for LOOK_AGAIN_S is a reason too: an empty one."""
        self._began_s = self._clock.monotonic_s()
        seen, self._due = self._due, []
        self._running = pool.submit(self._look, seen)
        self._running.add_done_callback(lambda _: self._events.wake())

    def _end_look(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None

    def _left_s(self) -> float:
        """Until the next look is due by itself."""
        return self._began_s + LOOK_AGAIN_S - self._clock.monotonic_s()

    def _feed(self) -> None:
        is_late = self._running is not None and self._left_s() <= 0
        if self._watchdog is not None and not is_late:
            self._watchdog.feed()

    def _await_change(self) -> None:
        timeout_s = FEED_EVERY_S if self._running else min(FEED_EVERY_S, max(self._left_s(), 0.0))
        changes = self._events.wait(timeout_s)
        if not changes:
            return
        self._take(changes)
        # A disk that fails fills the log: one glance for all of its lines.
        if self._settle(changes):
            self._glance()

    def _take(self, changes: list[Change]) -> None:
        self._due += [change for change in changes if change.action != "log"]
        # A disk that fails writes thousands of lines: one is reason enough.
        if LOG not in self._due and any(change.action == "log" for change in changes):
            self._due.append(LOG)
        if any(change.action == "array" for change in changes):
            self._glance()

    def _settle(self, changes: list[Change]) -> bool:
        """Wait for the end of a burst; gives whether the kernel wrote anything in it."""
        until_s = self._clock.monotonic_s() + _SETTLE_MAX_S
        has_log = any(change.action == "log" for change in changes)
        while self._clock.monotonic_s() < until_s and (more := self._events.wait(SETTLE_S)):
            self._take(more)
            has_log = has_log or any(change.action == "log" for change in more)
        return has_log
