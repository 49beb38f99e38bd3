"""Sealed records: what docs/format/record.md fixes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats import policy, record
from appliance.formats.names import PointName
from appliance.formats.policy import KEEP_ALL, RULE_MAX, Policy
from appliance.formats.record import BackupNote, ClockMark, Hold, TrashNote
from tests.formats.examples import assert_survives, read_golden

TIME = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
POINT = PointName("web1", TIME)
counts = st.integers(0, RULE_MAX)
CODECS: list[tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (Hold(POINT, TIME, None, "why\n\u202e"), record.encode_hold, record.decode_hold),
    (Hold(POINT, TIME, TIME, ""), record.encode_hold, record.decode_hold),
    (TrashNote(POINT, TIME, None), record.encode_trash_note, record.decode_trash_note),
    (TrashNote(POINT, TIME, TIME), record.encode_trash_note, record.decode_trash_note),
    (
        BackupNote("web1", 1_763_717_400_000_000_123, TIME),
        record.encode_backup_note,
        record.decode_backup_note,
    ),
    (ClockMark(TIME, "boot", 1.5), record.encode_clock_mark, record.decode_clock_mark),
]
DECODERS = [
    record.decode_hold,
    record.decode_trash_note,
    record.decode_backup_note,
    record.decode_clock_mark,
    policy.decode_policy,
    record.decode_record_header,
]


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_record_is_read_back(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_record_with_any_member_missing_or_of_another_type_is_refused(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    members = json.loads(encode(value))
    wrongs: tuple[object, ...] = ([], True, -1)
    for name in members:
        for wrong in wrongs:
            with pytest.raises(IntegrityError):
                decode(json.dumps({**members, name: wrong}).encode())
        if name != "until":  # a hold without an end does not end
            rest = {member: had for member, had in members.items() if member != name}
            with pytest.raises(IntegrityError):
                decode(json.dumps(rest).encode())


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(IntegrityError, match="hold: 'kind'"):
        record.decode_hold(record.encode_trash_note(TrashNote(POINT, TIME, TIME)))


@given(st.lists(counts, min_size=6, max_size=6), counts, counts, st.booleans(), st.booleans())
def test_a_policy_is_read_back(
    numbers: list[int], days: int, trash: int, may_skip: bool, forever: bool
) -> None:
    if not (any(numbers) or days or forever):
        return
    last, hourly, daily, weekly, monthly, yearly = numbers
    made = Policy(
        last,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
        keep_days=0 if forever else days,
        keep_forever=forever,
        trash_days=trash,
        may_skip_trash=may_skip,
    )
    assert policy.decode_policy(policy.encode_policy(made, None)) == (made, None)
    assert policy.decode_policy(policy.encode_policy(made, "web1")) == (made, "web1")


@pytest.mark.parametrize(
    "options",
    [{}, {"keep_last": -1}, {"keep_last": RULE_MAX + 1}, {"keep_last": 1, "trash_days": -1}],
)
def test_a_policy_that_keeps_nothing_or_is_out_of_range_is_none(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Policy(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"keep_last": -1}, {"keep_days": "never"}, {"keep_days": 0}, {"machine": "a/b"}]
)
def test_a_policy_out_of_range_in_a_file_is_damage(change: dict[str, object]) -> None:
    members = {**json.loads(policy.encode_policy(KEEP_ALL, None)), **change}
    with pytest.raises(IntegrityError):
        policy.decode_policy(json.dumps(members).encode())


@given(st.binary(max_size=200))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(IntegrityError):
            decode(data)


def test_a_damaged_record_is_refused_or_read(seed: int) -> None:
    for value, encode, decode in CODECS:
        assert_survives(decode, encode(value), seed)


def test_a_header_is_read_back() -> None:
    header = record.encode_record_header(b"s" * 16)
    assert header == b"HFRECRD1\x01\x00" + bytes(6) + b"s" * 16
    assert record.decode_record_header(header + b"more") == b"s" * 16
    for at in range(16):
        damaged = bytearray(header)
        damaged[at] ^= 1
        with pytest.raises(IntegrityError):
            record.decode_record_header(bytes(damaged))


def test_the_golden_hold_is_what_the_page_describes() -> None:
    hold = record.decode_hold(read_golden("hold.json"))
    assert hold == Hold(POINT, TIME, datetime(2027, 1, 31, tzinfo=UTC), "audit")
    assert record.encode_hold(hold) == read_golden("hold.json")
