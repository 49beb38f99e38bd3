"""Damage that is damage for sure: a byte set to a value may have had it, once in 256 times.

Owns only the bytes. What was sealed is random, and so is what stands at its end.
"""

from __future__ import annotations


def flip_last(data: bytes) -> bytes:
    """`data` with one bit of its last byte turned over."""
    return data[:-1] + bytes((data[-1] ^ 1,))
