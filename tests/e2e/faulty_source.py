"""A FUSE file `disk.raw` that gives EIO, or does not go on: `serve_faulty`.

    python -m tests.e2e.faulty_source DIR FILE [OFFSET:LENGTH | OFFSET@GATE]...

`OFFSET:LENGTH` cannot be read. What lies at `OFFSET` and behind comes when the file `GATE` is
there; whoever waits for it makes `GATE.reached`.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fuse

from tests.command import ROOT

DEADLINE_S = 120.0


class FaultyFile(fuse.Operations):  # type: ignore[misc]
    """One file, backed by another, with unreadable ranges, and perhaps a gate in it."""

    def __init__(self, path: str, faults: list[tuple[int, int]], gates: list[tuple[int, Path]]):
        self._descriptor = os.open(path, os.O_RDONLY)
        self._faults = faults
        self._gates = gates

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
        for start, gate in self._gates:
            if start < offset + size:
                gate.with_name(f"{gate.name}.reached").touch()
                wait_for(gate.exists, "the gate was never opened")
        return os.pread(self._descriptor, size, offset)


def wait_for(is_so: Callable[[], bool], otherwise: str) -> None:
    """Until `is_so()`; fails with `otherwise` after a deadline that a busy machine meets."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.01)


@contextmanager
def serve_faulty(directory: Path, path: Path, *faults: str) -> Iterator[Path]:
    """The file served in `directory`, which is made and removed."""
    directory.mkdir()
    argv = [sys.executable, "-m", "tests.e2e.faulty_source", str(directory), str(path), *faults]
    with subprocess.Popen(argv, cwd=ROOT) as server:
        try:
            wait_for(lambda: os.path.ismount(directory), "it is not mounted")
            yield directory / "disk.raw"
        finally:
            for fault in faults:  # nobody waits any more
                if "@" in fault:
                    Path(fault.partition("@")[2]).touch()
            subprocess.run(["umount", directory], check=True)
            server.wait(DEADLINE_S)
    directory.rmdir()


if __name__ == "__main__":
    ranges = [text.split(":") for text in sys.argv[3:] if "@" not in text]
    gates = [text.partition("@") for text in sys.argv[3:] if "@" in text]
    # direct_io: the kernel must not round requests up to pages, or a sector takes seven others.
    fuse.FUSE(
        FaultyFile(
            sys.argv[2],
            [(int(start), int(length)) for start, length in ranges],
            [(int(start), Path(gate)) for start, _, gate in gates],
        ),
        sys.argv[1],
        foreground=True,
        ro=True,
        direct_io=True,
    )
