"""Text for people, and foreign text that must not move a terminal's cursor."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base import text


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (2**20, "1.0 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (4 * 2**40, "4.0 TiB"),
        (2**60, "1024.0 PiB"),
        (1234.5, "1.2 KiB"),
    ],
)
def test_sizes_are_in_binary_units(size_bytes: float, expected: str) -> None:
    assert text.size(size_bytes) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (75, "1 min 15 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (7300, "2 h 1 min"),
        (48 * 3600 - 1, "47 h 59 min"),
        (48 * 3600, "2 d 0 h"),
        (100 * 86400 + 7200, "100 d 2 h"),
    ],
)
def test_durations_are_in_two_units(seconds: float, expected: str) -> None:
    assert text.duration(seconds) == expected


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ("web1", "web1"),
        ("Büro 1", "Büro 1"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028and\u2029paragraph", "line\\u2028and\\u2029paragraph"),
        ("\ud800", "\\ud800"),
        ("\x7f\x9b", "\\x7f\\x9b"),
    ],
)
def test_foreign_text_is_made_harmless(foreign: str, expected: str) -> None:
    assert text.printable(foreign) == expected


@given(st.text(alphabet=st.characters()))
def test_whatever_it_was_it_is_one_line_without_controls(foreign: str) -> None:
    shown = text.printable(foreign)
    assert len(shown.splitlines()) <= 1
    assert not [character for character in shown if unicodedata.category(character)[0] == "C"]
    shown.encode()


def test_columns_line_up_whatever_is_in_them() -> None:
    rows = [
        ("POINT", "STATE"),
        ("红@2026", "complete"),
        ("Bu\u0308ro", "x"),
        ("a\x1b[2Jb", "held"),
        ("\uff37", ""),
    ]
    assert text.table(rows).split("\n") == [
        "POINT      STATE",
        "红@2026    complete",
        "Bu\u0308ro       x",
        "a\\x1b[2Jb  held",
        "\uff37",
    ]
    assert text.table([]) == ""
