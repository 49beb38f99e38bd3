"""The points of a store as a read-only filesystem: MACHINE/TIME/disk0.raw.

Owns names, attributes and who shares which open disk. Never mounts (see `mount`) and never writes.
The methods are the operations that `fuse.FUSE` calls by name, from several threads at once; they
say no by raising OSError. What is not defined here the kernel refuses itself, because the mount is
read-only.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.recovery.points_view import DiskReader, PointEntry, PointsView

LISTING_AGE_MAX_S = 0.5  # the kernel adds a second of its own for names it knows
_DISK_FILE = re.compile(r"disk(0|[1-9][0-9]{0,3})\.raw")
_NAME_MAX = 1024  # FUSE_NAME_MAX of the kernel: machine names reach 256 bytes in UTF-8
_BLOCK_BYTES = 4096

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_R = TypeVar("_R")


def disk_file_name(disk: int) -> str:
    """How disk number `disk` is called."""
    return f"disk{disk}.raw"


@dataclass(frozen=True)
class _Place:
    """What a path names: the root, a machine, a point, or one of its disks."""

    machine: str | None = None
    entry: PointEntry | None = None
    disk: int | None = None


@dataclass
class _SharedDisk:
    """A disk, open once however often it is opened."""

    reader: DiskReader
    users: int = 0


_DiskKey = tuple[str, str, int]


def _answer_in_errnos(operation: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the kernel hear ENOENT for what is not there and EIO for what cannot be read."""

    def answer(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return operation(*args, **kwargs)
        except NotFoundError as error:
            raise OSError(errno.ENOENT, str(error)) from error
        except HoldfastError as error:
            _log.error("%s", error)
            raise OSError(errno.EIO, str(error)) from error

    return answer


class PointFilesystem:
    """FUSE operations over a `PointsView`."""

    use_ns = True  # fusepy: times are nanoseconds

    def __init__(self, view: PointsView, clock: Clock | None = None) -> None:
        self._view = view
        self._clock = clock or SystemClock()
        self._began_ns = int(self._clock.now().timestamp() * 1e9)
        self._listings: dict[str | None, tuple[float, dict[str, PointEntry | None]]] = {}
        self._lock = threading.Lock()  # guards what follows; reads of data do not take it
        self._disks: dict[_DiskKey, _SharedDisk] = {}
        self._handles: dict[int, _DiskKey] = {}
        self._numbers = itertools.count(1)

    def __call__(self, operation: str, *args: Any) -> Any:
        """What fusepy calls: the operation of that name."""
        return getattr(self, operation)(*args)

    @_answer_in_errnos
    def getattr(self, path: str, _fh: int | None = None) -> dict[str, int]:
        """Attributes: directories 0555, disks 0444, times those of the point."""
        place = self._find(path)
        time_ns = int(place.entry.mtime_s * 1e9) if place.entry else self._began_ns
        size_bytes = 0
        mode, links = stat.S_IFDIR | 0o555, 2
        if place.entry and place.disk is not None:
            mode, links = stat.S_IFREG | 0o444, 1
            size_bytes = place.entry.disk_sizes[place.disk]
        return {
            "st_mode": mode,
            "st_nlink": links,
            "st_uid": os.getuid(),
            "st_gid": os.getgid(),
            "st_size": size_bytes,
            "st_blocks": -(-size_bytes // 512),
            "st_blksize": _BLOCK_BYTES,
            "st_mtime": time_ns,
            "st_ctime": time_ns,
            "st_atime": time_ns,
        }

    @_answer_in_errnos
    def readdir(self, path: str, _fh: int) -> list[str]:
        """Names in a directory."""
        place = self._find(path)
        if place.disk is not None:
            raise OSError(errno.ENOTDIR, path)
        if place.entry is not None:
            names = [disk_file_name(disk) for disk in range(len(place.entry.disk_sizes))]
        else:
            names = list(self._list(place.machine))
        return [".", "..", *names]

    @_answer_in_errnos
    def open(self, path: str, flags: int) -> int:
        """Pin the point and give a handle."""
        if flags & os.O_ACCMODE != os.O_RDONLY:
            raise OSError(errno.EROFS, path)
        place = self._find(path)
        if place.machine is None or place.entry is None or place.disk is None:
            raise OSError(errno.EISDIR, path)
        key = (place.machine, place.entry.directory_time, place.disk)
        with self._lock:
            shared = self._disks.get(key)
            if shared is None:
                shared = self._disks[key] = _SharedDisk(self._view.open_disk(*key))
            shared.users += 1
            handle = next(self._numbers)
            self._handles[handle] = key
            return handle

    @_answer_in_errnos
    def read(self, _path: str | None, size: int, offset: int, fh: int) -> bytes:
        """Bytes of a disk; EIO, and a line in the log, where the store is damaged."""
        with self._lock:
            reader = self._disks[self._handles[fh]].reader
        length = min(size, reader.size_bytes - offset)
        return reader.read(offset, length) if length > 0 else b""

    @_answer_in_errnos
    def release(self, _path: str | None, fh: int) -> int:
        """Give a handle back; the last one of a disk lets go of its point."""
        with self._lock:
            key = self._handles.pop(fh)
            shared = self._disks[key]
            shared.users -= 1
            if shared.users == 0:
                del self._disks[key]
                shared.reader.close()
        return 0

    def opendir(self, _path: str) -> int:
        """Directories need no handle."""
        return 0

    def releasedir(self, _path: str | None, _fh: int) -> int:
        """Directories need no handle."""
        return 0

    def statfs(self, _path: str) -> dict[str, int]:
        """A full filesystem: nothing can be written here."""
        return {
            "f_bsize": _BLOCK_BYTES,
            "f_frsize": _BLOCK_BYTES,
            "f_namemax": _NAME_MAX,
            "f_flag": os.ST_RDONLY,
        }

    def destroy(self, _path: str) -> None:
        """Let go of every point when the mount ends."""
        with self._lock:
            for shared in self._disks.values():
                shared.reader.close()
            self._disks.clear()
            self._handles.clear()

    def _find(self, path: str) -> _Place:
        names = [name for name in path.split("/") if name]
        if not names:
            return _Place()
        machine = names[0]
        if machine not in self._list(None):
            raise NotFoundError(path)
        if len(names) == 1:
            return _Place(machine)
        entry = self._list(machine).get(names[1])
        if entry is None:
            raise NotFoundError(path)
        if len(names) == 2:
            return _Place(machine, entry)
        disk = _DISK_FILE.fullmatch(names[2])
        if len(names) > 3 or disk is None or int(disk[1]) >= len(entry.disk_sizes):
            raise NotFoundError(path)
        return _Place(machine, entry, int(disk[1]))

    def _list(self, machine: str | None) -> dict[str, PointEntry | None]:
        """Points of `machine` by time, or all machines for None; at most LISTING_AGE_MAX_S old."""
        now_s = self._clock.monotonic_s()
        known = self._listings.get(machine)
        if known is not None and now_s - known[0] < LISTING_AGE_MAX_S:
            return known[1]
        listing: dict[str, PointEntry | None]
        if machine is None:
            listing = dict.fromkeys(self._view.machines())
        else:
            listing = {entry.directory_time: entry for entry in self._view.points(machine)}
        self._listings[machine] = (now_s, listing)
        return listing
