"""The changed list, as text and as JSON."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import UsageError
from appliance.formats.changed import ChangedRange, parse_changed
from tests.formats.examples import assert_survives

ranges = st.builds(ChangedRange, st.integers(0, 40), st.integers(0, 9), st.integers(0, 2))


def bytes_of(found: list[ChangedRange]) -> set[tuple[int, int]]:
    return {(disk, at) for offset, length, disk in found for at in range(offset, offset + length)}


@given(st.lists(ranges))
def test_merged_ranges_cover_the_same_bytes_and_never_touch(found: list[ChangedRange]) -> None:
    text = "\n".join(f"{offset} {length} {disk}" for offset, length, disk in found)
    merged = parse_changed(text)
    assert bytes_of(merged) == bytes_of(found)
    for one, next_one in pairwise(merged):
        assert (one.disk, one.offset + one.length) < (next_one.disk, next_one.offset)
    as_json = json.dumps([found_range._asdict() for found_range in found])
    assert parse_changed(as_json) == merged


def test_text_is_read_with_remarks_and_default_disk() -> None:
    text = "# from the hypervisor\n\n4096 512\r\n0\t10 1  # second disk\n 4608 8 \n"
    assert parse_changed(text) == [ChangedRange(4096, 520, 0), ChangedRange(0, 10, 1)]


def test_json_may_leave_out_the_disk() -> None:
    assert parse_changed(' [{"offset": 5, "length": 6}]') == [ChangedRange(5, 6, 0)]


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "[]", "7 0"])
def test_an_empty_list_says_that_nothing_changed(text: str) -> None:
    assert parse_changed(text) == []


def test_the_largest_range_is_taken() -> None:
    assert parse_changed(f"1 {2**63 - 1}") == [ChangedRange(1, 2**63 - 1, 0)]


@pytest.mark.parametrize(
    "line",
    [
        *["5", "5 6 7 8", "-5 6", "5 -6", "5 6 -1", "0x5 6", "5.0 6", "five 6", "5,6", "٣ 4"],
        *[f"1 {2**63}", f"{2**64} 1", "9" * 30 + " 1", "1 2 65536", "\0", "1 2\x0b3 4 5"],
    ],
)
def test_a_wrong_line_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="line 3"):
        parse_changed(f"1 2\n\n{line}\n")


@pytest.mark.parametrize(
    "entry",
    [
        *["1", "[]", "{}", '{"offset": 1}', '{"offset": -1, "length": 1}'],
        *['{"offset": 1.5, "length": 1}', '{"offset": true, "length": 1}'],
        *['{"offset": "1", "length": 1}', f'{{"offset": {2**63}, "length": 1}}'],
        *['{"offset": 1, "length": 1, "disk": 65536}', '{"offset": 1, "length": 1, "disk": "0"}'],
        f'{{"offset": {2**63 - 1}, "length": 2}}',
    ],
)
def test_a_wrong_json_entry_is_named(entry: str) -> None:
    with pytest.raises(UsageError, match="entry 2"):
        parse_changed(f'[{{"offset": 1, "length": 1}}, {entry}]')


@pytest.mark.parametrize("text", ["[", "[1,]", "[NaN]", "[" * 100000, "[" + "9" * 5000 + "]"])
def test_broken_json_is_a_usage_error_of_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^changed list") as caught:
        parse_changed(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["0 512\n4096 512 1\n", '[{"offset": 512, "length": 1, "disk": 0}]']
)
def test_mutated_lists_raise_nothing_but_our_errors(text: str, seed: int) -> None:
    assert_survives(
        lambda data: parse_changed(data.decode("utf-8", "replace")), text.encode(), seed
    )
