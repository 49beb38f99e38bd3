"""Staying on watch: looks again when something changes, and seldom when nothing does.

Owns which changes call for a look, that arrays, ports, the kernel's log and the power are looked at
without waiting for disks, and the feeding of a hardware watchdog. Never judges, and never feeds the
watchdog for work that is not done: a watch, or a look, that hangs lets the box restart.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol

from appliance.base.clock import Clock
from appliance.base.durable import named_os_errors
from appliance.base.progress import Progress
from appliance.health.udev import Change

LOOK_AGAIN_S = 300.0
"""What has no event (temperatures, counters, fill) is looked at this often."""
POWER_AGAIN_S = 10.0
"""NUT tells nobody by itself that the line is gone; a battery lasts for minutes."""
SETTLE_S = 0.3
"""One failure makes a burst of events; the look waits for its end."""
_SETTLE_MAX_S = 2.0
_END_S = 2.0
LOG = Change("log", "")
_GLANCED = ("log", "power", "port")
FEED_EVERY_S = 5.0
"""Well below the 30 s and more that hardware watchdogs wait by default."""

Glance = Literal["array", "log", "power", "port"]
"""What answers at once."""


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


class _Round:
    """Work that is done again and again in a thread of its own, once at a time."""

    def __init__(self, name: str, every_s: float, clock: Clock, wake: Callable[[], None]) -> None:
        self._name = name
        self._every_s = every_s
        self._clock = clock
        self._wake = wake
        self._running: threading.Thread | None = None
        self._has_ended = threading.Event()
        self._error: BaseException | None = None
        self._due_s = clock.monotonic_s()

    @property
    def is_running(self) -> bool:
        """Whether the work is under way."""
        return self._running is not None

    def left_s(self) -> float:
        """Until it is due by itself."""
        return self._due_s - self._clock.monotonic_s()

    def hurry(self) -> None:
        """It is due now."""
        self._due_s = self._clock.monotonic_s()

    def begin(self, work: Callable[[], None]) -> None:
        """Do `work`. Who ends the program does not wait for it: a disk may hold it for ever."""
        self._due_s = self._clock.monotonic_s() + self._every_s
        self._has_ended.clear()
        self._running = threading.Thread(
            target=self._do, args=(work,), name=self._name, daemon=True
        )
        self._running.start()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
        finally:
            self._has_ended.set()
            self._wake()

    def end(self) -> None:
        """Take note of its end. Raises what the work raised."""
        if self._running is not None and self._has_ended.is_set():
            self._running = None
            if self._error is not None:
                raise self._error

    def close(self) -> None:
        """Give it a moment to end well."""
        if self._running is not None:
            self._has_ended.wait(_END_S)


class Watch:
    """Looks at everything in a thread, one look at a time, and meanwhile waits for a reason.

    `look` looks at everything and is told what changed since it last began; a disk that hangs may
    hold it up. `glance` looks at one thing that answers at once, beside a look if need be: at
    arrays and network ports when one changes, at the log when the kernel has written what it could
    not read, and at the power every ten seconds, for which it has a thread of its own: NUT may not
    answer.
    """

    def __init__(
        self,
        events: Events,
        clock: Clock,
        progress: Progress,
        *,
        look: Callable[[list[Change]], None],
        glance: Callable[[Glance], None],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._events = events
        self._clock = clock
        self._progress = progress
        self._look = look
        self._glance = glance
        self._watchdog = watchdog
        self._due: list[Change] = []
        self._looks = _Round("look", LOOK_AGAIN_S, clock, events.wake)
        self._powers = _Round("power", POWER_AGAIN_S, clock, events.wake)

    def run(self) -> None:
        """Stay on watch. Ends with Cancelled, or with what a look raised."""
        with ExitStack() as stack:
            stack.callback(self._looks.close)
            stack.callback(self._powers.close)
            self._begin_look()
            while True:
                self._progress.check()
                self._feed()
                self._await_change()
                self._looks.end()
                self._powers.end()
                if not self._looks.is_running and (self._due or self._looks.left_s() <= 0):
                    self._begin_look()
                if not self._powers.is_running and self._powers.left_s() <= 0:
                    self._powers.begin(lambda: self._glance("power"))

    def _begin_look(self) -> None:
        """Nothing changed for LOOK_AGAIN_S is a reason too: an empty one."""
        seen, self._due = self._due, []
        self._looks.begin(lambda: self._look(seen))

    def _feed(self) -> None:
        is_late = self._looks.is_running and self._looks.left_s() <= 0
        if self._watchdog is not None and not is_late:
            self._watchdog.feed()

    def _await_change(self) -> None:
        resting = [one for one in (self._looks, self._powers) if not one.is_running]
        changes = self._events.wait(
            min([FEED_EVERY_S, *(max(one.left_s(), 0.0) for one in resting)])
        )
        if not changes:
            return
        self._take(changes)
        # A disk that fails fills the log: one glance for all of its lines.
        if self._settle(changes):
            self._glance("log")

    def _take(self, changes: list[Change]) -> None:
        self._due += [change for change in changes if change.action not in _GLANCED]
        # A disk that fails writes thousands of lines: one is reason enough.
        if LOG not in self._due and any(change.action == "log" for change in changes):
            self._due.append(LOG)
        if any(change.action == "array" for change in changes):
            self._glance("array")
        if any(change.action == "port" for change in changes):
            self._glance("port")
        if any(change.action == "power" for change in changes):
            self._powers.hurry()

    def _settle(self, changes: list[Change]) -> bool:
        """Wait for the end of a burst; gives whether the kernel wrote anything in it."""
        until_s = self._clock.monotonic_s() + _SETTLE_MAX_S
        has_log = any(change.action == "log" for change in changes)
        while self._clock.monotonic_s() < until_s and (more := self._events.wait(SETTLE_S)):
            self._take(more)
            has_log = has_log or any(change.action == "log" for change in more)
        return has_log
