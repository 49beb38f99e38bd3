"""Whether a disk carries data: the question before anything is written to it.

Owns the look at its first and last bytes. Every partition table, filesystem, array and volume
manager in use keeps something there, so zeros in both mean an empty disk. Never writes.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.base.durable import named_os_errors
from appliance.base.text import counted
from appliance.health.inventory import Disk

_LOOK_BYTES = 2 << 20


def describe_content(disk: Disk) -> str:
    """What lies on `disk`, in a few words; empty for an empty disk.

    Raises the error tree when it cannot be read: such a disk is no use anyway.
    """
    if disk.uses:
        return ", ".join(f"{use.kind} {use.name}" for use in disk.uses)
    if disk.partitions:
        return counted(len(disk.partitions), "partition")
    return "data that nothing here uses" if _has_bytes(Path(disk.path)) else ""


def is_in_use(disk: Disk) -> bool:
    """Whether the kernel has it open for something: no consent makes that right."""
    return any(use.kind != "other" and use.name.startswith("/") for use in disk.uses) or any(
        use.kind in ("array", "volume", "swap") for use in disk.uses
    )


def _has_bytes(path: Path) -> bool:
    with named_os_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            places = (0, max(end - _LOOK_BYTES, 0))
            return any(any(os.pread(descriptor, _LOOK_BYTES, place)) for place in places)
        finally:
            os.close(descriptor)
