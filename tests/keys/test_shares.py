"""Any two shares give the key, by the library and by the formula of the format page."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import AccessError, UsageError
from appliance.formats.key_share import KeyShare, parse_share
from appliance.keys.shares import join_shares, split_key
from tests.formats.examples import RECOVERY_KEY, read_golden

_FIELD = (1 << 128) | 0b10000111  # x^128 + x^7 + x^2 + x + 1


def times(one: int, other: int) -> int:
    """The product in the field of the format page."""
    product = 0
    while other:
        if other & 1:
            product ^= one
        one <<= 1
        if one >> 128:
            one ^= _FIELD
        other >>= 1
    return product


def divided(one: int, other: int) -> int:
    """One over the other: every element but 0 to the power of 2^128 - 1 is 1."""
    inverse = 1
    for _ in range(127):
        other = times(other, other)
        inverse = times(inverse, other)
    return times(one, inverse)


def join_by_formula(one: KeyShare, other: KeyShare) -> bytes:
    """(n2 * y1 + n1 * y2) / (n1 + n2) for each half."""
    key = b""
    for at in (0, 16):
        first = int.from_bytes(one.data[at : at + 16], "big")
        second = int.from_bytes(other.data[at : at + 16], "big")
        above = times(other.number, first) ^ times(one.number, second)
        key += divided(above, one.number ^ other.number).to_bytes(16, "big")
    return key


@given(st.binary(min_size=32, max_size=32))
def test_any_two_shares_give_the_key_and_no_share_shows_it(key: bytes) -> None:
    shares = split_key(key)
    assert [share.number for share in shares] == [1, 2, 3]
    for one, other in permutations(shares, 2):
        assert join_shares(one, other) == key
        assert join_by_formula(one, other) == key
    for share in shares:
        assert key[:16] not in share.data
        assert repr(share.data) not in repr(share)


def test_the_golden_shares_give_the_example() -> None:
    shares = [parse_share(read_golden(f"share-{number}.txt").decode()) for number in (1, 2, 3)]
    for one, other in combinations(shares, 2):
        assert join_shares(one, other) == join_by_formula(one, other) == RECOVERY_KEY


def test_a_set_is_new_each_time() -> None:
    one, other = split_key(RECOVERY_KEY), split_key(RECOVERY_KEY)
    assert one[0].set_id != other[0].set_id
    assert one[0].data != other[0].data


def test_the_same_share_twice_is_refused() -> None:
    share, *_ = split_key(RECOVERY_KEY)
    with pytest.raises(UsageError) as caught:
        join_shares(share, share)
    set_id = share.set_id.hex()
    assert str(caught.value) == (
        f"share 1 of set {set_id} was given twice: give two different shares"
    )


def test_shares_of_two_sets_are_refused() -> None:
    one, other = split_key(RECOVERY_KEY)[0], split_key(RECOVERY_KEY)[1]
    with pytest.raises(AccessError) as caught:
        join_shares(one, other)
    assert str(caught.value) == (
        f"share 1 of set {one.set_id.hex()} and share 2 of set {other.set_id.hex()} "
        "do not belong together: take two of one set"
    )


@pytest.mark.parametrize("member", ["data", "key_check", "number"])
def test_a_changed_share_is_refused_even_if_its_checksum_is_right(member: str) -> None:
    one, other, _ = split_key(RECOVERY_KEY)
    changed = {
        "data": replace(one, data=bytes([one.data[0] ^ 1]) + one.data[1:]),
        "key_check": replace(one, key_check=bytes(4)),
        "number": replace(one, number=3),
    }[member]
    with pytest.raises(AccessError, match=r"give no key: one of them was changed$"):
        join_shares(changed, other)
