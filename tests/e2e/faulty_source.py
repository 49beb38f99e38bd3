"""A FUSE file `disk.raw` that gives EIO: `-m tests.e2e.faulty_source DIR FILE OFFSET:LENGTH...`."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import Any

import fuse


class FaultyFile(fuse.Operations):  # type: ignore[misc]
    """One file, backed by another, with unreadable ranges."""

    def __init__(self, path: str, faults: list[tuple[int, int]]) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._faults = faults

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path != "/disk.raw":
            raise fuse.FuseOSError(errno.ENOENT)
        size_bytes = os.fstat(self._descriptor).st_size
        return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": size_bytes}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", "disk.raw"]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        for start, length in self._faults:
            if offset < start + length and start < offset + size:
                raise fuse.FuseOSError(errno.EIO)
        return os.pread(self._descriptor, size, offset)


if __name__ == "__main__":
    ranges = [tuple(int(part) for part in text.split(":")) for text in sys.argv[3:]]
    # direct_io: the kernel must not round requests up to pages, or a sector takes seven others.
    fuse.FUSE(
        FaultyFile(sys.argv[2], [(start, length) for start, length in ranges]),
        sys.argv[1],
        foreground=True,
        ro=True,
        direct_io=True,
    )
