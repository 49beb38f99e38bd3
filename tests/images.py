"""Disk images for tests: mixed content, seeded, with a second generation."""

from __future__ import annotations

import random
from pathlib import Path

MIB = 1 << 20


def mixed_image(seed: int, size_mib: int) -> bytearray:
    """Zeros, random bytes and text, in runs of 64 KiB to 1 MiB."""
    chooser = random.Random(seed)
    words = [chooser.randbytes(chooser.randrange(3, 12)).hex().encode() for _ in range(500)]
    image = bytearray()
    while len(image) < size_mib * MIB:
        length = chooser.randrange(64 << 10, MIB)
        kind = chooser.randrange(4)
        if kind == 0:
            image += bytes(length)
        elif kind == 1:
            image += chooser.randbytes(length)
        else:
            image += b" ".join(chooser.choices(words, k=length // 12)).ljust(length, b"\n")
    return image[: size_mib * MIB]


def edited(seed: int, image: bytearray, edits: int = 20) -> bytearray:
    """The same image after `edits` small writes, and one insertion that shifts a stretch."""
    chooser = random.Random(seed)
    copy = bytearray(image)
    for _ in range(edits):
        at = chooser.randrange(len(copy) - 5000)
        copy[at : at + 5000] = chooser.randbytes(5000)
    at = chooser.randrange(len(copy) // 2)
    copy[at:at] = b"inserted"
    return copy[: len(image)]


def write_image(path: Path, image: bytearray) -> Path:
    """Put the image into a file."""
    path.write_bytes(image)
    return path
