"""The log of the kernel's dm-log-writes target, and the disks a power cut may leave.

Owns: its format (kernel: admin-guide/device-mapper/log-writes, drivers/md/dm-log-writes.c), and
which losses are legal. Never does: mount anything.

    super block, sector 0   magic u64, version u64, number of entries u64, sector size u32
    entry, from sector 1    sector u64, sectors u64, flags u64, length of the mark u64; a mark's
                            text follows in the same sector; the data follows in sectors of its own

The target logs a write when it is complete, and before a flush everything that was complete when
the flush came. So at a cut, what stands before the last flush is durable, and so is each write
with FUA; every other write may be there, be missing, or be there up to some sector.
"""

from __future__ import annotations

import os
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from appliance.base.process import run

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_UNIT_BYTES = 512
"""Sectors of devices, in which entries name their place."""


@dataclass(frozen=True)
class Entry:
    """One request: `size_bytes` at `offset` of the disk, its data at `data_offset` of the log."""

    offset: int
    size_bytes: int
    flags: int
    mark: str
    data_offset: int


class WriteLog:
    """A log that is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        with path.open("rb") as file:
            magic, version, count, sector_bytes = _SUPER.unpack(file.read(_SUPER.size))
            if magic != MAGIC or version != 1:
                raise ValueError(f"{path} is no log of dm-log-writes")
            at = sector_bytes
            for _ in range(count):
                file.seek(at)
                sector, sectors, flags, mark_bytes = _ENTRY.unpack(file.read(_ENTRY.size))
                mark = file.read(mark_bytes).decode() if flags & MARK else ""
                at += sector_bytes
                size_bytes = sectors * sector_bytes
                self.entries.append(Entry(sector * _UNIT_BYTES, size_bytes, flags, mark, at))
                at += 0 if flags & DISCARD else size_bytes

    def marks(self) -> list[int]:
        """The numbers of the entries that are marks, in order."""
        return [number for number, entry in enumerate(self.entries) if entry.flags & MARK]

    def build(self, base: Path, target: Path, cut: int, generator: random.Random | None) -> None:
        """Make `target` the disk `base` after the entries before `cut`.

        Without a generator everything that is not durable is lost; else it is decided write by
        write: kept, lost, or torn at a sector.
        """
        run(["cp", "--sparse=always", str(base), str(target)])
        flushes = [number for number in range(cut) if self.entries[number].flags & FLUSH]
        durable = flushes[-1] if flushes else 0
        with self.path.open("rb") as log, target.open("r+b") as disk:
            for number, entry in enumerate(self.entries[:cut]):
                if entry.flags & (DISCARD | MARK) or not entry.size_bytes:
                    continue
                kept_bytes = entry.size_bytes
                if number >= durable and not entry.flags & FUA:
                    kept_bytes = _choose_kept(entry.size_bytes, generator)
                data = os.pread(log.fileno(), kept_bytes, entry.data_offset)
                os.pwrite(disk.fileno(), data, entry.offset)


def _choose_kept(size_bytes: int, generator: random.Random | None) -> int:
    if generator is None:
        return 0
    torn_bytes = generator.randrange(size_bytes // _UNIT_BYTES + 1) * _UNIT_BYTES
    return generator.choice((0, size_bytes, torn_bytes))
