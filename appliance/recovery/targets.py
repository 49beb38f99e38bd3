"""Where a restored disk is written to: a new file, an existing one, a block device, a stream."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO, Protocol

from appliance.base import durable
from appliance.base.durable import named_os_errors
from appliance.base.errors import BusyError, HoldfastError, UsageError
from appliance.base.text import printable, size
from appliance.sources.disk import is_mounted

# linux/fs.h: zero a byte range of a block device, by the device where it can, else by writing.
_BLKZEROOUT = 0x127F
_ZEROS = bytes(1 << 20)


class Target(Protocol):
    """Takes the bytes of a disk in rising order, every byte once."""

    def write(self, offset: int, data: memoryview) -> None:
        """Bytes that are not all zeros."""

    def write_zeros(self, offset: int, length: int) -> None:
        """A run of zeros."""

    def finish(self) -> None:
        """Everything was written: make it durable where that means something."""

    def discard(self) -> None:
        """The restore failed: remove what only it made."""


class StreamTarget:
    """Standard output, a pipe or a character device. What is ours is closed at the end."""

    def __init__(self, stream: BinaryIO, *, is_ours: bool = False) -> None:
        self._stream = stream
        self._is_ours = is_ours

    def write(self, offset: int, data: memoryview) -> None:
        """Write on."""
        del offset
        durable.write_all(self._stream.fileno(), data)

    def write_zeros(self, offset: int, length: int) -> None:
        """Write zeros on."""
        while length > 0:
            count = min(length, len(_ZEROS))
            self.write(offset, memoryview(_ZEROS)[:count])
            length -= count

    def finish(self) -> None:
        """Nothing to make durable."""
        if self._is_ours:
            self._stream.close()

    def discard(self) -> None:
        """What was streamed cannot be taken back."""
        self.finish()


class NewFileTarget:
    """A file that was missing or empty: zeros become holes."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._is_ours = not path.exists()
        with named_os_errors(printable(str(path))):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at `offset`."""
        with named_os_errors(self._path):
            _write_at(self._descriptor, offset, data)

    def write_zeros(self, offset: int, length: int) -> None:
        """Leave a hole."""

    def finish(self) -> None:
        """Give the file its size and sync it."""
        with named_os_errors(self._path):
            os.ftruncate(self._descriptor, self._size_bytes)
        durable.sync_and_close(self._descriptor, self._path)

    def discard(self) -> None:
        """Remove the file if it was not there before, else empty it again."""
        if self._is_ours:
            self._path.unlink(missing_ok=True)
        else:
            os.ftruncate(self._descriptor, 0)


class OverwriteTarget:
    """An existing file or block device full of old data: zeros are written too."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        with named_os_errors(printable(str(path))):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | _exclusive(path))
        self._can_zero = stat.S_ISBLK(os.fstat(self._descriptor).st_mode)

    def write(self, offset: int, data: memoryview) -> None:
        """Write at `offset`."""
        with named_os_errors(self._path):
            _write_at(self._descriptor, offset, data)

    def write_zeros(self, offset: int, length: int) -> None:
        """Zero the range, by the device itself if it can."""
        if self._can_zero and offset % 512 == 0 and length % 512 == 0:
            try:
                fcntl.ioctl(self._descriptor, _BLKZEROOUT, struct.pack("=QQ", offset, length))
            except OSError:
                self._can_zero = False
            else:
                return
        end = offset + length
        while offset < end:
            count = min(end - offset, len(_ZEROS))
            self.write(offset, memoryview(_ZEROS)[:count])
            offset += count

    def finish(self) -> None:
        """Cut a file to its size and sync."""
        if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            with named_os_errors(self._path):
                os.ftruncate(self._descriptor, self._size_bytes)
        durable.sync_and_close(self._descriptor, self._path)

    def discard(self) -> None:
        """What was overwritten is gone; what is there stays."""


def open_target(path: Path, size_bytes: int, *, force: bool) -> Target:
    """The target for a disk of `size_bytes` at `path`.

    Raises UsageError if it exists and `force` is not said, or is too small; BusyError for a mounted
    block device.
    """
    shown = printable(str(path))
    try:
        status = path.stat()
    except FileNotFoundError:
        return NewFileTarget(path, size_bytes)
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror}") from error
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
        with named_os_errors(shown):
            return StreamTarget(path.open("wb", buffering=0), is_ours=True)
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        return NewFileTarget(path, size_bytes)
    if stat.S_ISREG(status.st_mode):
        room_bytes = status.st_size
    elif stat.S_ISBLK(status.st_mode):
        room_bytes = _device_size(path)
        if is_mounted(status.st_rdev):
            raise BusyError(f"{shown} is mounted: unmount it first", code="target-mounted")
    else:
        raise UsageError(f"{shown} is neither a file nor a device", code="no-target")
    if not force:
        raise UsageError(
            f"{shown} holds data already: say --force to overwrite it", code="target-has-data"
        )
    if room_bytes < size_bytes:
        raise UsageError(
            f"{shown} has {size(room_bytes)} and the disk {size(size_bytes)}: choose a larger one",
            code="target-small",
        )
    return OverwriteTarget(path, size_bytes)


def _exclusive(path: Path) -> int:
    # On a block device O_EXCL refuses what the kernel itself uses (mounts, arrays).
    return os.O_EXCL if path.is_block_device() else 0


def _device_size(path: Path) -> int:
    with named_os_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.lseek(descriptor, 0, os.SEEK_END)
        finally:
            os.close(descriptor)


def _write_at(descriptor: int, offset: int, data: memoryview) -> None:
    while data:
        done = os.pwrite(descriptor, data, offset)
        if done == 0:
            raise HoldfastError("the target takes no more bytes")
        offset += done
        data = data[done:]
