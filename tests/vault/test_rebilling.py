"""Bills after a merging: they name what took the place of containers, and where chunks went."""

from __future__ import annotations

from dataclasses import replace

from appliance.formats.bill import (
    WHOLE,
    Bill,
    Need,
    Stray,
    decode_bill,
    encode_bill,
    encode_strays,
)
from appliance.vault.rebilling import Successor, read_strays, rewrite_bill
from tests.store.stores import KEYS

A, B, C, D, M, N = (bytes([number]) * 32 for number in range(1, 7))
ONE, TWO, GONE, OLD, BASE = (bytes([number]) * 32 for number in range(101, 106))


def make_bill(needs: tuple[Need, ...], strays: tuple[Stray, ...] = ()) -> Bill:
    bill = Bill(bytes(32), needs)
    sealed = KEYS.seal_record(bill.place, encode_strays(sorted(strays))) if strays else b""
    return decode_bill(encode_bill(replace(bill, strays=sealed)))


def test_a_bill_names_the_full_container_once_and_says_what_went_there() -> None:
    bill = make_bill((Need(A, 10), Need(B, 20), Need(C, 30)))
    full = Successor(Need(M, 99), {ONE: 0})
    found = decode_bill(rewrite_bill(bill, {A: full, C: full}, KEYS))
    assert found.point == bill.point
    assert found.needs == (Need(B, 20), Need(M, 99))
    assert list(read_strays(found, KEYS)) == [(A, M, WHOLE), (C, M, WHOLE)]


def test_strays_move_with_their_containers_and_what_nothing_needs_is_dropped() -> None:
    needs = (Need(A, 10), Need(B, 20, "deltas"), Need(C, 30), Need(D, 40))
    strays = (
        *(Stray(ONE, 0, 5), Stray(TWO, 1, 6), Stray(GONE, 2, 7), Stray(BASE, 3, 8)),
        Stray(OLD, 0, WHOLE),
    )
    bill = make_bill(needs, strays)
    successors = {
        A: Successor(Need(M, 99), {ONE: 1}),
        B: Successor(Need(N, 98, "deltas"), {TWO: 2}),
        C: None,
    }
    found = decode_bill(rewrite_bill(bill, successors, KEYS))
    assert found.needs == (Need(D, 40), Need(M, 99), Need(N, 98, "deltas"))
    assert {one: (name, at) for one, name, at in read_strays(found, KEYS)} == {
        ONE: (M, 1),
        TWO: (N, 2),
        BASE: (D, 8),
        OLD: (M, WHOLE),
        A: (M, WHOLE),
    }


def test_a_bill_without_anything_merged_stays_what_it_is() -> None:
    bill = make_bill((Need(A, 10), Need(B, 20)))
    assert decode_bill(rewrite_bill(bill, {C: None}, KEYS)) == bill
