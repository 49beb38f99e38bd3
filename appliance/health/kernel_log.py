"""The kernel's log since the box started, for what it says of disks.

Owns the reading, and whose errors they are: a disk is not blamed for what another one did that had
its name before. What a line means is decided in `kernel_errors`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from appliance.formats.finding import Finding
from appliance.health.inventory import Inventory
from appliance.health.kernel_errors import KernelError, judge_kernel_errors, parse_kernel_line
from appliance.health.kernel_tree import KernelTree

_RECORD_BYTES = 8192  # more than the kernel gives at once
_RECORDS_MAX = 200_000
_ERRORS_MAX = 10_000
"""Of one disk: it is beyond doubt by then."""


class KernelLog:
    """The errors of each disk. Reads on from where it was. Close it when done."""

    def __init__(self, tree: KernelTree) -> None:
        self._errors: defaultdict[str, list[KernelError]] = defaultdict(list)
        try:
            path = tree.dev / "kmsg"
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            self._descriptor = -1

    def judge(self, inventory: Inventory, now: datetime) -> Iterator[Finding]:
        """Errors of the disks that are here, those that the kernel has just written too."""
        for record in self._read_on():
            said = parse_kernel_line(record)
            if isinstance(said, KernelError):
                if len(self._errors[said.device]) < _ERRORS_MAX:
                    self._errors[said.device].append(said)
            elif said is not None:
                for device in [name for name in self._errors if said.names(name)]:
                    del self._errors[device]
        found: defaultdict[str, list[KernelError]] = defaultdict(list)
        for device, errors in self._errors.items():
            disk = inventory.disk_of(device)
            if disk is not None:
                found[disk.subject] += errors
        for subject, errors in sorted(found.items()):
            yield from judge_kernel_errors(subject, errors, now)

    def _read_on(self) -> Iterator[str]:
        for _ in range(_RECORDS_MAX if self._descriptor >= 0 else 0):
            try:
                record = os.read(self._descriptor, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # overwritten before we read it: the next one is there
            except OSError:
                return  # no more, or no right to read it
            if not record:
                return
            yield record.decode("utf-8", "replace")

    def close(self) -> None:
        """Read no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def judge_kernel_log(tree: KernelTree, inventory: Inventory, now: datetime) -> Iterator[Finding]:
    """What the whole log says of the disks that are here."""
    log = KernelLog(tree)
    try:
        yield from log.judge(inventory, now)
    finally:
        log.close()
