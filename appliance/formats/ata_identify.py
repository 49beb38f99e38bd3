"""IDENTIFY DEVICE of ATA disks: who it is, how large, what it can do (ACS-4 7.13).

Owns the meaning of the 256 words. Never judges.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from appliance.formats.page_bytes import read_ata_text, require_bytes

IDENTIFY_BYTES = 512
_SSD = 1
_ROTATION_MIN_RPM = 0x401
_INVALID = (0, 0xFFFF)


class WorldWideName(NamedTuple):
    """Words 108 to 111."""

    naa: int
    oui: int
    id: int


@dataclass(frozen=True)
class AtaIdentity:
    """The words of the page; what they say is read when it is asked for."""

    words: tuple[int, ...]
    model: str
    serial: str
    firmware: str

    @property
    def wwn(self) -> WorldWideName | None:
        """The world wide name; None where the disk says it has none."""
        if self.words[87] & 0xC100 != 0x4100:
            return None
        high, mid, low, last = self.words[108:112]
        return WorldWideName(
            high >> 12, (high & 0xFFF) << 12 | mid >> 4, (mid & 0xF) << 32 | low << 16 | last
        )

    @property
    def block_bytes(self) -> tuple[int, int]:
        """Sizes of a logical and of a physical block."""
        logical = physical = 512
        word = self.words[106]
        if word & 0xC000 == 0x4000:
            if word & 0x1000:
                logical = physical = (self.words[118] << 16 | self.words[117]) * 2
            if word & 0x2000:
                physical = logical << (word & 0xF)
        return logical, physical

    @property
    def blocks(self) -> int:
        """How many logical blocks; 0 where the disk does not say."""
        if not self.words[49] & 0x0200:
            return 0
        short = self.words[61] << 16 | self.words[60]
        long = 0
        if self.words[83] & 0xC400 == 0x4400:
            long = sum(self.words[100 + i] << 16 * i for i in range(4))
        is_long = long >= short or (long > 0 and self.block_bytes[0] > 512)
        return long if is_long else short

    @property
    def size_bytes(self) -> int:
        """The capacity."""
        return self.blocks * self.block_bytes[0]

    @property
    def rotation_rpm(self) -> int | None:
        """0 of an SSD; None where the disk does not say."""
        word = self.words[217]
        if word == _SSD:
            return 0
        return word if _ROTATION_MIN_RPM <= word < 0xFFFF else None

    @property
    def has_smart(self) -> bool | None:
        """Whether it knows SMART; None where the words are not valid."""
        return bool(self.words[82] & 1) if self.words[83] >> 14 == 1 else None

    @property
    def is_smart_on(self) -> bool | None:
        """Whether SMART is enabled; None where the words are not valid."""
        return bool(self.words[85] & 1) if self.words[87] >> 14 == 1 else None

    @property
    def has_gp_logs(self) -> bool:
        """Whether READ LOG EXT works."""
        for word in (84, 87):
            if self.words[word] >> 14 == 1:
                return bool(self.words[word] & 0x20)
        return False

    def has_feature_log(self, bit: int) -> bool:
        """Bit 0: the SMART error log, bit 1: the self-test log; as ATA-6 and 7 say it."""
        if not self.words[80] & 0xC0:
            return False
        return any(self.words[w] >> 14 == 1 and self.words[w] >> bit & 1 for w in (84, 87))

    @property
    def has_write_cache(self) -> bool | None:
        """Whether the volatile write cache is on; None where there is none."""
        if self.words[83] & 0xC000 != 0x4000 or not self.words[82] & 0x20:
            return None
        return bool(self.words[85] & 0x20)

    @property
    def has_versions(self) -> bool:
        """Whether it says which standard it follows."""
        return self.words[80] not in _INVALID or self.words[81] not in _INVALID


def parse_identify(page: bytes) -> AtaIdentity:
    """Read IDENTIFY DEVICE. Raises IntegrityError when it is too short."""
    require_bytes(page, IDENTIFY_BYTES, "IDENTIFY DEVICE")
    words = struct.unpack("<256H", page[:IDENTIFY_BYTES])
    return AtaIdentity(
        words,
        model=read_ata_text(page, 27, 20),
        serial=read_ata_text(page, 10, 10),
        firmware=read_ata_text(page, 23, 4),
    )
