"""Noting what is read of a point's disks, for boot sets. Owns the file while a machine boots."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from appliance.formats.touched import BLOCK_BYTES, ENTRIES_MAX, MAGIC, encode_entry
from appliance.recovery.points_view import DiskReader, PointEntry, PointsView


def touched_of(folder: Path) -> Path:
    """The note in the folder of a VM."""
    return folder / "touched"


class TouchedView:
    """Another view, which appends to a file what is read for the first time."""

    def __init__(self, view: PointsView, path: Path) -> None:
        """`path` begins anew. It is a note: losing it costs speed only."""
        self._view = view
        self._seen: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._file = path.open("wb", buffering=0)
        self._file.write(MAGIC)

    def close(self) -> None:
        """Close the file; nothing may be read any more."""
        self._file.close()

    def machines(self) -> list[str]:
        """As the other view has them."""
        return self._view.machines()

    def points(self, machine: str) -> list[PointEntry]:
        """As the other view has them."""
        return self._view.points(machine)

    def open_disk(self, machine: str, directory_time: str, disk: int) -> DiskReader:
        """A disk whose reads are noted. Raises as the other view does."""
        return _TouchedDisk(self._view.open_disk(machine, directory_time, disk), disk, self)

    def note(self, disk: int, offset: int, length: int) -> None:
        """Note a read."""
        blocks = range(offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES + 1)
        with self._lock:
            new = [(disk, block) for block in blocks if (disk, block) not in self._seen]
            if new and len(self._seen) < ENTRIES_MAX:
                self._seen.update(new)
                os.write(self._file.fileno(), b"".join(map(encode_entry, new)))


class _TouchedDisk:
    def __init__(self, disk: DiskReader, number: int, view: TouchedView) -> None:
        self._disk = disk
        self._number = number
        self._view = view

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""
        return self._disk.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there."""
        if length > 0:
            self._view.note(self._number, offset, length)
        return self._disk.read(offset, length)

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """Which ranges hold data; asking is no read."""
        return self._disk.runs(offset, length)

    def close(self) -> None:
        """Let go of the point."""
        self._disk.close()
