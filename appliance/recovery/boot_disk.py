"""What a disk says about the computer it needs: its firmware, and whether it knows virtio.

Owns the judgement over the first sectors. It is a guess that options overrule.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from appliance.recovery.hardware import Bus, Firmware

Read = Callable[[int, int], bytes]

_SECTOR_BYTES = 512
_GPT_MAGIC = b"EFI PART"
_ENTRY_MIN_BYTES, _ENTRIES_MAX = 128, 256
# UEFI specification, 5.3.3; the second is GRUB's own.
_ESP = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
_MICROSOFT_RESERVED = UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")
_LEGACY_BOOT = 1 << 2  # attribute of a partition that a BIOS boots
_MBR_ESP, _MBR_NTFS = 0xEF, 0x07
_ACTIVE = 0x80


@dataclass(frozen=True)
class Needs:
    """What a disk needs to boot."""

    firmware: Firmware
    bus: Bus


def judge_disk(read: Read, size_bytes: int) -> Needs:
    """Judge a disk by its partition table; `read(offset, length)` gives its bytes.

    Windows comes without drivers for virtio; everything else of the last fifteen years has them.
    Garbage counts as a disk for a BIOS, which then says what it thinks of it.
    """
    if size_bytes < 2 * _SECTOR_BYTES:
        return Needs("bios", "virtio")
    head = read(0, 2 * _SECTOR_BYTES)
    if head[_SECTOR_BYTES : _SECTOR_BYTES + 8] == _GPT_MAGIC:
        return _judge_gpt(head[_SECTOR_BYTES:], read, size_bytes)
    partitions = [head[446 + 16 * number :][:16] for number in range(4)]
    active = {partition[4] for partition in partitions if partition[0] == _ACTIVE}
    has_esp = any(partition[4] == _MBR_ESP for partition in partitions)
    is_signed = head[510:512] == b"\x55\xaa"
    return Needs(
        "uefi" if is_signed and has_esp and not active else "bios",
        "sata" if is_signed and _MBR_NTFS in active else "virtio",
    )


def _judge_gpt(header: bytes, read: Read, size_bytes: int) -> Needs:
    first_lba, count, entry_bytes = struct.unpack_from("<QII", header, 72)
    count = min(count, _ENTRIES_MAX)
    table_bytes = count * entry_bytes
    at = first_lba * _SECTOR_BYTES
    if not _ENTRY_MIN_BYTES <= entry_bytes <= 4096 or at + table_bytes > size_bytes:
        return Needs("bios", "virtio")
    table = read(at, table_bytes)
    kinds = set()
    is_legacy = False
    for start in range(0, table_bytes, entry_bytes):
        kinds.add(UUID(bytes_le=table[start : start + 16]))
        is_legacy |= bool(struct.unpack_from("<Q", table, start + 48)[0] & _LEGACY_BOOT)
    is_uefi = _ESP in kinds and _BIOS_BOOT not in kinds and not is_legacy
    return Needs(
        "uefi" if is_uefi else "bios", "sata" if _MICROSOFT_RESERVED in kinds else "virtio"
    )
