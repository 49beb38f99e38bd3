"""What is protected while the power fails: disks that guest and host make alike from a number.

Owns: the bytes of each machine's generations. Imports nothing of the product.
"""

from __future__ import annotations

import random

MACHINES = ("a", "b")
_PIECE_BYTES = 64 << 10
_PIECES = 40
_CHANGED_PIECES = 6


def make_disk(machine: str, generation: int) -> bytes:
    """A disk of 5 MiB: shared and own pieces, holes; each generation rewrites a few pieces."""
    pieces = [_make_piece(f"shared {number}") for number in range(_PIECES // 2)]
    pieces += [_make_piece(f"{machine} {number}") for number in range(_PIECES // 2)]
    for past in range(1, generation + 1):
        generator = random.Random(f"{machine} {past}")
        for number in generator.sample(range(_PIECES), _CHANGED_PIECES):
            pieces[number] = _make_piece(f"{machine} {past} {number}")
    return b"".join(pieces) + bytes(_PIECES * _PIECE_BYTES)


def _make_piece(name: str) -> bytes:
    generator = random.Random(name)
    noise = generator.randbytes(_PIECE_BYTES // 2)
    return noise + (name.encode() + b"\n").ljust(64, b".") * (_PIECE_BYTES // 128)
