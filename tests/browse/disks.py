"""Disks for readers, straight from image files."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from appliance.base.errors import IntegrityError
from appliance.browse.tree import Tree


class FileDisk:
    """An image file as a disk; ranges of it can be declared damaged."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._end = weakref.finalize(self, self._file.close)
        self.size_bytes = path.stat().st_size
        self.damaged: list[tuple[int, int]] = []
        self.patches: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there, as the store would give them."""
        for start, count in self.damaged:
            if offset < start + count and start < offset + length:
                raise IntegrityError(f"chunk at {start} is damaged")
        data = bytearray(os.pread(self._file.fileno(), length, offset))
        for at, patch in self.patches.items():
            for number, byte in enumerate(patch, start=at - offset):
                if 0 <= number < len(data):
                    data[number] = byte
        return bytes(data)


def open_images(*paths: Path, silence_s: float = 120.0) -> Tree:
    """The tree of a machine with these disks."""
    return Tree([FileDisk(path) for path in paths], silence_s=silence_s)
