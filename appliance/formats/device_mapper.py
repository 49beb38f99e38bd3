"""What the kernel's device mapper is asked about a device, and what a thin pool says of itself.

Owns the layouts of linux/dm-ioctl.h and of a thin pool's status line (kernel:
admin-guide/device-mapper/thin-provisioning). Never asks.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from appliance.base.errors import IntegrityError

TABLE_STATUS = 0xC138FD0C
"""_IOWR(0xfd, 12, struct dm_ioctl): a line of status for each target of a device."""
ANSWER_BYTES = 16 << 10
METADATA_BLOCK_BYTES = 4096
SECTOR_BYTES = 512
_VERSION = (4, 0, 0)
_BUFFER_FULL = 1 << 8
# Without this a thin pool writes its metadata out before it answers.
_NO_FLUSH = 1 << 11
# struct dm_ioctl: version, data_size, data_start, target_count, open_count, flags, event_nr,
# padding, dev, name, uuid, data; struct dm_target_spec: sector_start, length, status, next, type.
_HEAD = struct.Struct("=3I3Ii3IQ128s129s7s")
_TARGET = struct.Struct("=QQiI16s")
_THIN_POOL = b"thin-pool"
_USED = re.compile(r"([0-9]{1,19})/([0-9]{1,19})")


@dataclass(frozen=True)
class ThinPoolStatus:
    """How full a thin pool is.

    Attributes:
        size_bytes: of its data.
        used, blocks: blocks of data, all of one size.
        metadata_used, metadata_blocks: of METADATA_BLOCK_BYTES each.
        mode: `rw`, `ro`, `out_of_data_space` or `fail`; then the numbers are 0.
        fails_at_once: writes for which there is no room fail; else they wait first.
        needs_check: its metadata cannot be trusted before somebody has checked it.
    """

    size_bytes: int
    used: int = 0
    blocks: int = 0
    metadata_used: int = 0
    metadata_blocks: int = 0
    mode: str = "fail"
    fails_at_once: bool = False
    needs_check: bool = False


def make_status_request(device: int) -> bytearray:
    """What TABLE_STATUS is called with for the device number `device`; the answer replaces it."""
    request = bytearray(ANSWER_BYTES)
    head = (*_VERSION, ANSWER_BYTES, _HEAD.size, 0, 0, _NO_FLUSH, 0, 0, device, b"", b"", b"")
    _HEAD.pack_into(request, 0, *head)
    return request


def parse_thin_pool(answer: bytes | bytearray) -> ThinPoolStatus | None:
    """The status in an answer to TABLE_STATUS; None when the device is no thin pool.

    Raises IntegrityError for garbage.
    """
    if len(answer) < _HEAD.size:
        raise IntegrityError("the device mapper's answer is too short")
    fields = _HEAD.unpack_from(answer)
    size_bytes, start, targets, flags = fields[3], fields[4], fields[5], fields[7]
    data = bytes(answer[start : min(size_bytes, len(answer))])
    if targets != 1 or flags & _BUFFER_FULL:
        return None  # a thin pool is one target, and says less than a line
    if len(data) < _TARGET.size:
        raise IntegrityError("the device mapper's answer is too short")
    _, sectors, _, _, kind = _TARGET.unpack_from(data)
    if kind.rstrip(b"\0") != _THIN_POOL:
        return None
    line = data[_TARGET.size :].partition(b"\0")[0].decode("ascii", "replace")
    return _parse_line(line, sectors * SECTOR_BYTES)


def _parse_line(line: str, size_bytes: int) -> ThinPoolStatus:
    words = line.split()
    if words[:1] in (["Fail"], ["Error"]):
        return ThinPoolStatus(size_bytes)
    metadata, data = (_USED.fullmatch(word) for word in [*words[1:3], "", ""][:2])
    if metadata is None or data is None or len(words) < 5:
        raise IntegrityError("a thin pool says something unknown of itself")
    used, blocks = int(data[1]), int(data[2])
    metadata_used, metadata_blocks = int(metadata[1]), int(metadata[2])
    if not 0 < blocks <= size_bytes // SECTOR_BYTES or not metadata_blocks:
        raise IntegrityError("a thin pool says that it has no blocks, or more than it has bytes")
    return ThinPoolStatus(
        *(size_bytes, used, blocks, metadata_used, metadata_blocks),
        mode=words[4],
        fails_at_once="error_if_no_space" in words,
        needs_check="needs_check" in words,
    )
