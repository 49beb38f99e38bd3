"""Where a recovered disk goes home to: an image, a block device, or a disk that NBD serves.

Unlike the targets of a restore it is read too, so that only what differs is written. Owns opening
and refusing. Never decides what is written.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol

from appliance.base import durable
from appliance.base.durable import named_os_errors
from appliance.base.errors import BusyError, HoldfastError, UsageError
from appliance.base.text import printable, size
from appliance.formats import nbd
from appliance.sources.disk import is_mounted
from appliance.sources.nbd import NbdAddress, NbdClient


class Home(Protocol):
    """A disk to read and write by position, from several threads."""

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` from `offset`."""

    def write(self, offset: int, data: memoryview) -> None:
        """Write `data` at `offset`; durable after `flush`."""

    def flush(self) -> None:
        """Make what was written durable."""

    def close(self) -> None:
        """Let go of it."""


class LocalHome:
    """An image or a block device."""

    def __init__(self, path: Path, size_bytes: int, *, force: bool) -> None:
        """Raises UsageError for one that is too small, is no disk, or holds data without `force`.

        BusyError for a device that something uses. A missing image is made.
        """
        self._path = path
        shown = printable(str(path))
        is_new = not path.exists()
        is_block = path.is_block_device()
        if not is_new and not is_block and not path.is_file():
            raise UsageError(f"{shown} is neither an image nor a block device")
        if is_block and is_mounted(path.stat().st_rdev):
            raise BusyError(f"{shown} is mounted: unmount it first", code="target-mounted")
        if not is_new and not force:
            raise UsageError(
                f"{shown} is there already: say --force if what differs on it may be overwritten"
            )
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
        with named_os_errors(shown):
            self._descriptor = os.open(path, flags | (os.O_EXCL if is_block else 0), 0o600)
        try:
            self._make_room(size_bytes, shown, is_block=is_block)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _make_room(self, size_bytes: int, shown: str, *, is_block: bool) -> None:
        room_bytes = os.lseek(self._descriptor, 0, os.SEEK_END)
        if is_block and room_bytes < size_bytes:
            raise UsageError(
                f"{shown} has {size(room_bytes)} and the disk {size(size_bytes)}: choose a larger",
                code="target-small",
            )
        if room_bytes < size_bytes:
            with named_os_errors(shown):
                os.ftruncate(self._descriptor, size_bytes)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out`."""
        with named_os_errors(self._path):
            while out:
                count = os.preadv(self._descriptor, [out], offset)
                if count == 0:
                    raise HoldfastError(f"{self._path} became smaller meanwhile")
                offset += count
                out = out[count:]

    def write(self, offset: int, data: memoryview) -> None:
        """Write `data`."""
        with named_os_errors(self._path):
            while data:
                count = os.pwrite(self._descriptor, data, offset)
                offset += count
                data = data[count:]

    def flush(self) -> None:
        """Sync, the name of a new image too."""
        duplicate = os.dup(self._descriptor)
        durable.sync_and_close(duplicate, self._path)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


class NbdHome:
    """A disk that some NBD server serves, through one connection."""

    def __init__(self, address: NbdAddress, size_bytes: int) -> None:
        """Raises UsageError for one that is too small or read-only."""
        self._client = NbdClient(address)
        self._lock = threading.Lock()
        if self._client.flags & nbd.READ_ONLY:
            raise UsageError(f"{address} is read-only")
        if self._client.size_bytes < size_bytes:
            raise UsageError(
                f"{address} has {size(self._client.size_bytes)} and the disk {size(size_bytes)}"
            )

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out`."""
        with self._lock:
            self._client.read_into(offset, out)

    def write(self, offset: int, data: memoryview) -> None:
        """Write `data`."""
        with self._lock:
            self._client.write(offset, data)

    def flush(self) -> None:
        """Flush, if the server knows how."""
        with self._lock:
            self._client.flush()

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def open_home(text: str, size_bytes: int, *, force: bool) -> Home:
    """The target `text`: a path, or an address such as `nbd://HOST/EXPORT`.

    What is there already is overwritten where it differs, so it needs `force`.
    """
    address = NbdAddress.parse(text)
    if address is None:
        return LocalHome(Path(text).absolute(), size_bytes, force=force)
    if not force:
        raise UsageError(f"{address}: say --force if what differs on it may be overwritten")
    return NbdHome(address, size_bytes)
