"""Byte ranges in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

# Ranges named on one line; the rest is counted.
NAMED_MAX = 10


def named_ranges(ranges: Sequence[tuple[int, int]]) -> str:
    """The first ranges as OFFSET+LENGTH, and how many more there are."""
    shown = ", ".join(f"{offset}+{length}" for offset, length in ranges[:NAMED_MAX])
    rest = len(ranges) - NAMED_MAX
    return shown + (f" and {rest} more" if rest > 0 else "") + " (offset+length in bytes)"
