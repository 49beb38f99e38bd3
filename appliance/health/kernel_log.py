"""The kernel's log since the box started, for what it says of disks.

Owns the reading. What a line means is decided in `kernel_errors`.
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


def judge_kernel_log(tree: KernelTree, inventory: Inventory, now: datetime) -> Iterator[Finding]:
    """Errors of the disks that are here."""
    errors: defaultdict[str, list[KernelError]] = defaultdict(list)
    for record in _read_records(tree):
        error = parse_kernel_line(record)
        disk = None if error is None else inventory.disk_of(error.device)
        if error is not None and disk is not None:
            errors[disk.subject].append(error)
    for subject, found in sorted(errors.items()):
        yield from judge_kernel_errors(subject, found, now)


def _read_records(tree: KernelTree) -> Iterator[str]:
    try:
        descriptor = os.open(tree.dev / "kmsg", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        for _ in range(_RECORDS_MAX):
            try:
                record = os.read(descriptor, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # overwritten before we read it: the next one is there
            except OSError:
                return  # no more, or no right to read it
            if not record:
                return
            yield record.decode("utf-8", "replace")
    finally:
        os.close(descriptor)
