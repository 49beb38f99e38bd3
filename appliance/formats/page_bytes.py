"""Numbers and texts out of pages that a disk sent: short, spoiled or plain garbage.

Owns the step from a range of bytes to a value. A slice that reaches behind the end reads as if
zeros followed, so that no page, however short, makes a reader fail in the middle.
"""

from __future__ import annotations

from appliance.base.errors import IntegrityError


def read_le(data: bytes, at: int, size_bytes: int) -> int:
    """An unsigned number, least significant byte first (ATA, NVMe)."""
    return int.from_bytes(data[at : at + size_bytes], "little")


def read_be(data: bytes, at: int, size_bytes: int) -> int:
    """An unsigned number, most significant byte first (SCSI)."""
    piece = data[at : at + size_bytes]
    return int.from_bytes(piece + bytes(size_bytes - len(piece)), "big")


def read_text(data: bytes, at: int, size_bytes: int) -> str:
    """Characters without what surrounds them; what cannot be printed becomes `?`."""
    text = data[at : at + size_bytes].split(b"\0")[0].strip(b" ")
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in text)


def read_ata_text(data: bytes, word: int, words: int) -> str:
    """Characters of an IDENTIFY page, where the bytes of each word are swapped."""
    raw = data[2 * word : 2 * (word + words)]
    swapped = bytearray(len(raw))
    swapped[0::2], swapped[1::2] = raw[1::2] + bytes(len(raw) % 2), raw[0::2]
    return read_text(bytes(swapped), 0, len(swapped))


def require_bytes(data: bytes, size_bytes: int, what: str) -> None:
    """Raises IntegrityError unless page `what` has at least `size_bytes`."""
    if len(data) < size_bytes:
        raise IntegrityError(f"{what}: {len(data)} bytes, expected at least {size_bytes}")


def has_checksum(page: bytes) -> bool:
    """Whether a sector of ATA SMART data adds up to zero, as its last byte promises."""
    return sum(page[:512]) & 0xFF == 0
