"""The box's memory, shared out among VMs that start side by side."""

from __future__ import annotations

import threading

import psutil

from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.base.text import size
from appliance.drills.plan import Plan
from appliance.recovery.vm_start import MEMORY_SPARE_MIB

_TURN_S = 0.2


def measure_free_mib() -> int:
    """Memory that VMs may have now, in MiB."""
    return (int(psutil.virtual_memory().available) >> 20) - MEMORY_SPARE_MIB


def needed_mib(plan: Plan) -> int:
    """The least memory with which the plan's VMs can be started at all.

    Machines on a shared network, and those of a lower order than others, stay while those run.
    """
    sizes = [[machine.memory_mib for machine in group] for group in plan.groups()]
    if plan.network == "shared":
        return sum(map(sum, sizes))
    *stay, last = sizes
    return sum(map(sum, stay)) + max(last)


def check_room(plan: Plan, free_mib: int) -> None:
    """Raises HoldfastError that says what is free and what is needed."""
    needed = needed_mib(plan)
    if needed > free_mib:
        raise HoldfastError(
            f"{size(max(free_mib, 0) << 20)} of memory are free for VMs and plan '{plan.name}' "
            f"needs {size(needed << 20)}: give its machines a smaller memory_mib, or stop a VM",
            code="no-memory",
        )


class MemoryBudget:
    """Hands out `total_mib`. From any thread."""

    def __init__(self, total_mib: int) -> None:
        self._free_mib = total_mib
        self._changed = threading.Condition()

    def take(self, memory_mib: int, progress: Progress) -> None:
        """Wait until so much is free, and take it. Raises Cancelled if asked to stop."""
        with self._changed:
            while self._free_mib < memory_mib:
                progress.check()
                self._changed.wait(_TURN_S)
            self._free_mib -= memory_mib

    def give_back(self, memory_mib: int) -> None:
        """Return what was taken."""
        with self._changed:
            self._free_mib += memory_mib
            self._changed.notify_all()
