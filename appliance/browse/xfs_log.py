"""The log of an XFS: whether it is clean, and the volume as its replay would leave it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.xfs_replay import SECTOR, LogReader, Patch

_RECORD_MAGIC = 0xFEEDBABE
_UNMOUNT_FLAG = 0x20
_RECORD_MAX_SECTORS = 512 + 64
# More than any log of a machine under load leaves behind, and what fits into the reader's memory.
_SECTORS_MAX = 400_000


class PatchedVolume:
    """A volume with newer sectors before it."""

    def __init__(self, volume: Volume, patches: Iterable[Patch]) -> None:
        """Raises IntegrityError for patches that lie outside, or are too many."""
        self._volume = volume
        self._sectors: dict[int, bytearray] = {}
        for at, data in patches:
            done = 0
            while done < len(data):
                number, within = divmod(at + done, SECTOR)
                part = data[done : done + SECTOR - within]
                sector = self._sectors.get(number)
                if sector is None:
                    sector = bytearray(volume.read(number * SECTOR, SECTOR))
                    self._sectors[number] = sector
                sector[within : within + len(part)] = part
                done += len(part)
            if len(self._sectors) > _SECTORS_MAX:
                raise IntegrityError("the log is too large")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes, the newest."""
        data = self._volume.read(offset, length)
        first, last = offset // SECTOR, (offset + length - 1) // SECTOR
        found = [number for number in range(first, last + 1) if number in self._sectors]
        if not found:
            return data
        out = bytearray(data)
        for number in found:
            start = number * SECTOR - offset
            low, high = max(start, 0), min(start + SECTOR, length)
            out[low:high] = self._sectors[number][low - start : high - start]
        return bytes(out)


class Log:
    """The log inside a filesystem. Raises IntegrityError if it lies on a device of its own."""

    def __init__(self, volume: Volume, super_block: bytes, offset_of: Callable[[int], int]) -> None:
        start = struct.unpack_from(">Q", super_block, 48)[0]
        block_bytes = struct.unpack_from(">I", super_block, 4)[0]
        blocks = struct.unpack_from(">I", super_block, 96)[0]
        if start == 0 or blocks == 0:
            raise IntegrityError("the log lies on a device of its own")
        base = offset_of(start)
        self._sectors = int(blocks * block_bytes // SECTOR)
        self.reader = LogReader(
            lambda at, count: volume.read(base + at * SECTOR, count * SECTOR), self._sectors
        )
        self.head = self._find_head()
        self._newest = self._find_newest()

    @property
    def is_clean(self) -> bool:
        """Whether the newest record is the one that an unmount writes."""
        if self._newest is None:
            return False
        operations = struct.unpack_from(">I", self.reader.ring(self._newest, 1), 40)[0]
        return operations == 1 and bool(self.reader.ring(self._newest + 1, 1)[9] & _UNMOUNT_FLAG)

    @property
    def tail(self) -> int:
        """The sector from which on records are needed."""
        if self._newest is None:
            raise IntegrityError("the log has no record")
        header = self.reader.ring(self._newest, 1)
        return int(struct.unpack_from(">Q", header, 24)[0] & 0xFFFFFFFF) % self._sectors

    def _cycle(self, number: int) -> int:
        """Every sector begins with the number of times that the log went round."""
        raw = self.reader.ring(number, 1)
        at = 4 if struct.unpack_from(">I", raw, 0)[0] == _RECORD_MAGIC else 0
        return int(struct.unpack_from(">I", raw, at)[0])

    def _find_head(self) -> int:
        low, high, first = 0, self._sectors, self._cycle(0)
        while high - low > 1:  # the first sector of an older cycle
            middle = (low + high) // 2
            low, high = (middle, high) if self._cycle(middle) == first else (low, middle)
        return high % self._sectors

    def _find_newest(self) -> int | None:
        for back in range(1, min(_RECORD_MAX_SECTORS, self._sectors)):
            number = (self.head - back) % self._sectors
            if struct.unpack_from(">I", self.reader.ring(number, 1), 0)[0] == _RECORD_MAGIC:
                return number
        return None
