"""What a guest has reached, seen from outside: the firmware's end, and the kernel's first words.

Owns the looking, in a thread of its own, several times a second. It never talks to the guest.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.drills.vm import Vm
from appliance.recovery.ready import read_console

_TURN_S = 0.15
# The first words of kernels and boot managers on a console.
_KERNEL = re.compile(rb"Linux version |\[ +0\.0{6}\]|Decompressing Linux|FreeBSD|NetBSD|Windows")


@dataclass
class Milestones:
    """Moments of the monotonic clock in seconds; None while not reached, or never seen.

    firmware_s: the guest has read its disk, so the firmware has handed over to what is on it.
    kernel_s: a kernel has said something on the serial line or on the screen.
    read_bytes, reads: what the guest has read of its disks so far.
    """

    firmware_s: float | None = None
    kernel_s: float | None = None
    read_bytes: int = 0
    reads: int = 0


class Watcher:
    """Looks at a VM from `__enter__` to `__exit__`."""

    def __init__(self, vm: Vm, clock: Clock) -> None:
        self.seen = Milestones()
        self._vm = vm
        self._clock = clock
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()

    def look_again(self) -> None:
        """Bring `seen` up to date now; a VM that does not answer shows nothing new."""
        with self._lock, suppress(HoldfastError, OSError):
            self._look()

    def _watch(self) -> None:
        while not self._end.wait(_TURN_S):
            self.look_again()

    def _look(self) -> None:
        with self._vm.monitor() as monitor:
            devices = monitor.ask("query-blockstats")
            is_known = self.seen.kernel_s is not None
            console = b"" if is_known else read_console(monitor, self._vm.folder)
        now_s = self._clock.monotonic_s()
        stats = [device["stats"] for device in devices]
        self.seen.reads = sum(int(each["rd_operations"]) for each in stats)
        self.seen.read_bytes = sum(int(each["rd_bytes"]) for each in stats)
        if self.seen.firmware_s is None and self.seen.reads:
            self.seen.firmware_s = now_s
        if self.seen.kernel_s is None and _KERNEL.search(console):
            self.seen.kernel_s = now_s
            self.seen.firmware_s = self.seen.firmware_s or now_s
