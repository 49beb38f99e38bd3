"""A raw image or a block device as the source of one disk.

Reading is by position, so threads may share a source. What cannot be read is narrowed to the
sector and named; everything around it is read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Literal

from appliance.base.durable import named_os_errors
from appliance.base.errors import BusyError, HoldfastError, NotFoundError, UsageError
from appliance.base.text import printable

SECTOR_BYTES = 512
_READ_FAULTS = frozenset({errno.EIO, errno.EREMOTEIO, errno.ENODATA, errno.EILSEQ, errno.EBADMSG})


class DiskSource:
    """One disk to read. Close it when done."""

    def __init__(self, path: Path, *, allow_inconsistent: bool = False) -> None:
        """Open `path`.

        Raises NotFoundError, UsageError if it can be no disk, BusyError for a block device that
        is mounted read-write unless `allow_inconsistent`.
        """
        self.path = path
        self.label = str(path.absolute())
        shown = printable(str(path))
        try:
            with named_os_errors(f"source {shown}"):
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                status = os.fstat(self._descriptor)
        except NotFoundError as error:
            raise NotFoundError(str(error), code="no-source") from error
        try:
            self.kind: Literal["image", "block"] = _kind(status, shown)
            self.is_inconsistent = False
            if self.kind == "block":
                self.is_inconsistent = _is_mounted_read_write(status.st_rdev)
                if self.is_inconsistent and not allow_inconsistent:
                    raise BusyError(
                        f"{shown} is mounted read-write: unmount it, or say --allow-inconsistent",
                        code="source-mounted",
                    )
            self.size_bytes = os.lseek(self._descriptor, 0, os.SEEK_END)
            self._has_hole_map = self.kind == "image"
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    def descriptor(self) -> int:
        """The open file, to read from by position."""
        return self._descriptor

    def has_data(self, start: int, end: int) -> bool:
        """Whether anything but a hole lies in bytes [start, end). One system call."""
        if not self._has_hole_map:
            return True
        try:
            return os.lseek(self._descriptor, start, os.SEEK_DATA) < end
        except OSError as error:
            if error.errno == errno.ENXIO:
                return False
            self._has_hole_map = False  # a filesystem that cannot tell: read everything
            return True

    def read(self, offset: int, out: memoryview) -> list[tuple[int, int]]:
        """Fill `out` from `offset`; gives (offset, length) of what could not be read, now zeros.

        Raises HoldfastError if the source ends before its size.
        """
        try:
            self._read_all(offset, out)
        except OSError as error:
            if error.errno not in _READ_FAULTS:
                raise HoldfastError(f"{self.path}: {error.strerror}") from error
            return _merge(self._read_around_faults(offset, out))
        return []

    def _read_all(self, offset: int, out: memoryview) -> None:
        done = 0
        while done < len(out):
            got = os.preadv(self._descriptor, [out[done:]], offset + done)
            if got == 0:
                raise HoldfastError(
                    f"{self.path} became smaller while it was read: back it up again",
                    code="source-shrank",
                )
            done += got

    def _read_around_faults(self, offset: int, out: memoryview) -> list[tuple[int, int]]:
        """Halve what fails until single sectors are left."""
        try:
            self._read_all(offset, out)
        except OSError as error:
            if error.errno not in _READ_FAULTS:
                raise HoldfastError(f"{self.path}: {error.strerror}") from error
        else:
            return []
        if len(out) <= SECTOR_BYTES:
            out[:] = bytes(len(out))
            return [(offset, len(out))]
        half = max(len(out) // 2 // SECTOR_BYTES, 1) * SECTOR_BYTES
        return [
            *self._read_around_faults(offset, out[:half]),
            *self._read_around_faults(offset + half, out[half:]),
        ]

    def close(self) -> None:
        """Let go of the source."""
        os.close(self._descriptor)


def _merge(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for offset, length in gaps:
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + length)
        else:
            merged.append((offset, length))
    return merged


def _kind(status: os.stat_result, shown: str) -> Literal["image", "block"]:
    if stat.S_ISREG(status.st_mode):
        return "image"
    if stat.S_ISBLK(status.st_mode):
        return "block"
    raise UsageError(f"{shown} is neither a raw disk image nor a block device", code="no-disk")


def is_mounted(device_number: int) -> bool:
    """Whether the device, a partition of it, or what is stacked on it is mounted."""
    return bool(_mount_options(device_number))


def _is_mounted_read_write(device_number: int) -> bool:
    return any("rw" in options for options in _mount_options(device_number))


def _mount_options(device_number: int) -> list[list[str]]:
    """The superblock options of every mount of the device and what is stacked on it."""
    numbers = {f"{os.major(number)}:{os.minor(number)}" for number in _stack(device_number)}
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = [line.split(" ") for line in lines]
    return [fields[-1].split(",") for fields in mounts if fields[2] in numbers]


def _stack(device_number: int) -> set[int]:
    import pyudev  # slow to import, and needed for block devices only

    context = pyudev.Context()
    found: set[int] = set()
    waiting = [pyudev.Devices.from_device_number(context, "block", device_number)]
    while waiting:
        device = waiting.pop()
        if device.device_number in found:
            continue
        found.add(device.device_number)
        waiting += [child for child in device.children if child.subsystem == "block"]
        holders = Path(device.sys_path) / "holders"
        if holders.is_dir():
            waiting += [
                pyudev.Devices.from_name(context, "block", name) for name in os.listdir(holders)
            ]
    return found
