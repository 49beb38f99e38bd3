"""A raw file behind the thinnest FUSE program: what a mount costs before it does anything.

Owns: one read-only file `raw`. Never does: cache, write.

    python -m tests.bench.passthrough FILE DIRECTORY
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any

import fuse


class Passthrough(fuse.Operations):  # type: ignore[misc]
    """The directory with the one file."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDONLY)
        self._size_bytes = file.stat().st_size

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """The directory, or the file with its size."""
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o500, "st_nlink": 2}
        if path != "/raw":
            raise fuse.FuseOSError(errno.ENOENT)
        return {"st_mode": stat.S_IFREG | 0o400, "st_nlink": 1, "st_size": self._size_bytes}

    def readdir(self, path: str, fh: int) -> list[str]:
        """The one name."""
        return [".", "..", "raw"]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Bytes of the file."""
        return os.pread(self._descriptor, size, offset)


if __name__ == "__main__":
    fuse.FUSE(
        Passthrough(Path(sys.argv[1])),
        sys.argv[2],
        foreground=True,
        nothreads=False,
        ro=True,
        kernel_cache=True,
    )
