"""Whether the log of an XFS ends with the record that a clean unmount writes."""

from __future__ import annotations

import struct
from collections.abc import Callable

from appliance.browse.blocks import Volume

_RECORD_MAGIC = 0xFEEDBABE
_SECTOR_BYTES = 512
_UNMOUNT_FLAG = 0x20


def is_clean(volume: Volume, super_block: bytes, offset_of: Callable[[int], int]) -> bool:
    """Whether the newest record of the log is an unmount record.

    Every sector of the log begins with its cycle; where the cycle drops is the end of the newest.
    """
    start = struct.unpack_from(">Q", super_block, 48)[0]
    blocks = struct.unpack_from(">I", super_block, 96)[0]
    block_bytes = struct.unpack_from(">I", super_block, 4)[0]
    if start == 0:
        return False  # on a device of its own
    base, sectors = offset_of(start), blocks * block_bytes // _SECTOR_BYTES

    def sector(number: int) -> bytes:
        return volume.read(base + number * _SECTOR_BYTES, _SECTOR_BYTES)

    def cycle(number: int) -> int:
        raw = sector(number)
        at = 4 if struct.unpack_from(">I", raw, 0)[0] == _RECORD_MAGIC else 0
        return int(struct.unpack_from(">I", raw, at)[0])

    low, high, first = 0, sectors, cycle(0)
    while high - low > 1:  # the first sector of an older cycle
        middle = (low + high) // 2
        low, high = (middle, high) if cycle(middle) == first else (low, middle)
    head = high % sectors
    for back in range(1, 513):
        number = (head - back) % sectors
        raw = sector(number)
        if struct.unpack_from(">I", raw, 0)[0] == _RECORD_MAGIC:
            operations = struct.unpack_from(">I", raw, 40)[0]
            following = sector((number + 1) % sectors)
            return operations == 1 and following[9] & _UNMOUNT_FLAG != 0
    return False
