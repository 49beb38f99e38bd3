"""What a VM writes over its point: one qcow2 file per disk, durable, and limited in size.

The file has the length that it could ever need from the start, without occupying it, and QEMU is
told to use no more of it than the limit: a guest that writes more is paused as on a full disk, at
once and whoever is watching.

Owns overlay files. Never knows whether a VM runs.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable, process
from appliance.base.durable import named_os_errors
from appliance.base.errors import UsageError
from appliance.base.text import size

# Smaller than this nothing boots; qcow2's own tables take a few hundred KiB.
LIMIT_MIN_BYTES = 16 << 20
WARN_SHARE = 0.8
_ALIGN_BYTES = 64 << 10


@dataclass(frozen=True)
class OverlayUse:
    """What the overlays of a VM occupy, may occupy together, and what the disk has left."""

    used_bytes: int
    limit_bytes: int
    free_bytes: int

    @property
    def warning(self) -> str | None:
        """What a person should know before the guest is paused, or None."""
        left = self.limit_bytes - self.used_bytes
        if self.limit_bytes and self.used_bytes >= WARN_SHARE * self.limit_bytes:
            return (
                f"its overlay has {size(max(left, 0))} left of {size(self.limit_bytes)}: "
                "'holdfast vms continue VM --overlay-limit' raises that, 'failback' ends it"
            )
        if self.free_bytes < (1 - WARN_SHARE) * max(left, 0):
            return (
                f"its overlay may still grow by {size(left)} and the disk has "
                f"{size(self.free_bytes)} left: free space"
            )
        return None


def overlay_file_name(disk: int) -> str:
    """What a VM wrote over disk number `disk`."""
    return f"overlay-{disk}.qcow2"


def create_overlay(folder: Path, disk: int, backing: str, size_bytes: int) -> None:
    """Make an empty overlay over `backing` (as QEMU in `folder` finds it), durable on return."""
    qemu_img = process.find_program("qemu-img", "qemu-utils")
    temporary = folder / f"{durable.TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    argv = [qemu_img, "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", backing]
    try:
        process.run([*argv, temporary.name, str(size_bytes)], cwd=folder)
        with durable.open_durably(folder / overlay_file_name(disk)) as descriptor:
            durable.write_all(descriptor, temporary.read_bytes())
            os.ftruncate(descriptor, needed_bytes(size_bytes))
    finally:
        temporary.unlink(missing_ok=True)


def needed_bytes(size_bytes: int) -> int:
    """What the overlay of a disk that was written all over occupies, at most.

    qcow2's tables take one part in 4096; the rest is room for what is freed and written again.
    """
    return _aligned(size_bytes + size_bytes // 64 + LIMIT_MIN_BYTES)


def choose_limit(folder: Path, size_bytes: int, disks: int, asked_bytes: int | None) -> int:
    """The limit of one overlay: as asked, else what it could need, at most half of what is free.

    The half is shared by the `disks` of the VM. Raises UsageError for one that is too small.
    """
    if asked_bytes is not None:
        if asked_bytes < LIMIT_MIN_BYTES:
            raise UsageError(f"an overlay needs {size(LIMIT_MIN_BYTES)} at least")
        return min(_aligned(asked_bytes), needed_bytes(size_bytes))
    with named_os_errors(folder):
        free_bytes = shutil.disk_usage(folder).free
    fair_bytes = max(free_bytes // 2 // max(disks, 1), LIMIT_MIN_BYTES)
    return min(needed_bytes(size_bytes), _aligned(fair_bytes))


def raise_limit(folder: Path, disk: int, limit_bytes: int, asked_bytes: int) -> int:
    """The larger of two limits, as far as the overlay's file reaches."""
    path = folder / overlay_file_name(disk)
    with named_os_errors(path):
        return min(max(limit_bytes, _aligned(asked_bytes)), path.stat().st_size)


def measure_overlays(folder: Path, limits_bytes: Sequence[int]) -> OverlayUse:
    """What the overlays of a VM occupy; missing ones count as nothing."""
    used = 0
    for disk in range(len(limits_bytes)):
        try:
            used += (folder / overlay_file_name(disk)).stat().st_blocks * 512
        except FileNotFoundError:
            continue
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        free_bytes = 0
    return OverlayUse(used, sum(limits_bytes), free_bytes)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGN_BYTES) * _ALIGN_BYTES
