"""Text for people: sizes, durations, and foreign text made harmless for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(size_bytes: float) -> str:
    """A size in binary units.

    >>> size(512), size(1536), size(3 * 2**30)
    ('512 B', '1.5 KiB', '3.0 GiB')
    """
    value = float(size_bytes)
    for step in _STEPS:
        if value < 1024 or step == _STEPS[-1]:
            break
        value /= 1024
    return f"{value:.0f} B" if step == "B" else f"{value:.1f} {step}"


def duration(seconds: float) -> str:
    """A duration in the two largest units that matter.

    >>> duration(0.5), duration(75), duration(7300)
    ('0.5 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things; `plural` where it is not `noun` with an s.

    >>> counted(1, "point"), counted(0, "point"), counted(2, "directory", "directories")
    ('1 point', '0 points', '2 directories')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
    r"""Foreign text with control, format and bidirectional characters shown as escapes.

    >>> printable('a\x1b[31mb\u202ec')
    'a\\x1b[31mb\\u202ec'
    """
    return "".join(
        character
        if unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    r"""Rows of as many cells each, in columns that line up on a terminal; cells may be foreign.

    >>> print(table([("红", "1"), ("a\x1b", "22")]))
    红     1
    a\x1b  22
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in shown
    )


def _width(text: str) -> int:
    """How many columns of a terminal it takes."""
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me") else 1 + _is_wide(one) for one in text
    )


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in ("W", "F")
