"""Bills and strays: what docs/format/vault.md fixes, and what is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError
from appliance.formats.bill import (
    Bill,
    Need,
    Stray,
    decode_bill,
    decode_strays,
    encode_bill,
    encode_strays,
)
from tests.formats.examples import ID_A, ID_B, ID_C, assert_survives, read_golden

BILL = Bill(ID_A, (Need(ID_B, 33_554_432), Need(ID_C, 7, "deltas")), b"sealed strays")
STRAYS = [Stray(ID_A, 1, 7), Stray(ID_C, 0, 0)]


def test_a_bill_is_read_back_and_is_the_golden_one() -> None:
    assert decode_bill(encode_bill(BILL)) == BILL
    assert encode_bill(BILL) == read_golden("bill.bin")
    assert decode_bill(encode_bill(Bill(ID_A, ()))) == Bill(ID_A, ())


def test_a_bill_names_its_objects() -> None:
    assert BILL.needs[1].key == f"deltas/{ID_C.hex()[:2]}/{ID_C.hex()}"
    assert str(BILL.point_key) == f"points/{ID_A.hex()[:2]}/{ID_A.hex()}"


@pytest.mark.parametrize(
    ("at", "patch"),
    [
        (0, b"X"),
        (8, b"\x02"),
        (10, b"\x01"),
        (48, b"\x01"),
        (48, b"\xff\xff\xff\xff"),
        (52, b"\x01"),
        (56, b"\x01"),
        (64, ID_C),
        (64, b"\xff"),
        (128, bytes(4)),
        (136, b"\x02"),
    ],
)
def test_a_bill_that_is_not_valid_is_refused(at: int, patch: bytes) -> None:
    data = bytearray(encode_bill(BILL))
    data[at : at + len(patch)] = patch
    with pytest.raises(IntegrityError, match="bill:"):
        decode_bill(bytes(data))


def test_strays_are_read_back() -> None:
    assert list(decode_strays(encode_strays(STRAYS), 2)) == STRAYS
    assert list(decode_strays(encode_strays([]), 0)) == []


def test_strays_that_are_not_valid_are_refused() -> None:
    for strays, needs in ((STRAYS, 1), (STRAYS[::-1], 2), ([STRAYS[0], STRAYS[0]], 2)):
        with pytest.raises(IntegrityError, match="strays:"):
            list(decode_strays(encode_strays(strays), needs))


@given(st.binary(max_size=300))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_bill(data)
    with pytest.raises(IntegrityError):
        list(decode_strays(data, 1))


def test_a_damaged_bill_is_refused_or_read(seed: int) -> None:
    assert_survives(decode_bill, encode_bill(BILL), seed)
    assert_survives(lambda data: list(decode_strays(data, 2)), encode_strays(STRAYS), seed)


def test_counts_that_overflow_are_refused_before_memory_is_spent() -> None:
    data = bytearray(encode_bill(BILL))
    data[48:56] = struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF)
    with pytest.raises(IntegrityError):
        decode_bill(bytes(data))
