"""Statements of a vault: what docs/format/vault.md fixes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats import vault
from appliance.formats.vault import BoxHead, Head, Link, Owner, VaultSeal
from appliance.formats.vault_names import (
    KINDS,
    HashedKey,
    HeadKey,
    name_object,
    owner_key,
    parse_head_key,
    parse_object_key,
    parse_owner_key,
)
from tests.formats.examples import DESCRIPTOR, ID_A, ID_B, ID_C, TIME, assert_survives, read_golden

VAULT, MACHINE = bytes(range(16)), "ab" * 16
SEAL = VaultSeal(VAULT, DESCRIPTOR, ID_A, TIME, 30)
OWNER = Owner(VAULT, 2, bytes(range(16, 32)), TIME, ID_B)
HEAD = Head(
    VAULT,
    MACHINE,
    7,
    2,
    TIME,
    Link(4, ID_A),
    {"20261121T093000Z": ID_B},
    {"20261120T093000Z": TIME},
    ID_C,
)
FIRST_HEAD = Head(VAULT, MACHINE, 1, 1, TIME, None)
BOX_HEAD = BoxHead(VAULT, 9, 2, TIME, Link(8, ID_C), {MACHINE: Link(7, ID_A)}, (ID_B,), ID_C)
CODECS: list[tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (SEAL, vault.encode_seal, vault.decode_seal),
    (OWNER, vault.encode_owner, vault.decode_owner),
    (HEAD, vault.encode_head, vault.decode_head),
    (FIRST_HEAD, vault.encode_head, vault.decode_head),
    (BOX_HEAD, vault.encode_box_head, vault.decode_box_head),
]
GOLDEN: dict[str, tuple[Any, Callable[[Any], bytes]]] = {
    "vault.json": (SEAL, vault.encode_seal),
    "vault-owner.json": (OWNER, vault.encode_owner),
    "vault-head.json": (HEAD, vault.encode_head),
    "vault-box.json": (BOX_HEAD, vault.encode_box_head),
}


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_statement_is_read_back(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    assert decode(encode(value)) == value
    assert b"\n" not in encode(value)


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_statement_with_any_member_missing_or_of_another_type_is_refused(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    members = json.loads(encode(value))
    wrongs: tuple[object, ...] = (True, -1, "x", [[]], {"x": 1})
    for name in members:
        for wrong in wrongs:
            with pytest.raises(HoldfastError):
                decode(json.dumps({**members, name: wrong}).encode())
        rest = {member: had for member, had in members.items() if member != name}
        if name not in ("previous", "boot", "settings"):  # null says the same
            with pytest.raises(HoldfastError):
                decode(json.dumps(rest).encode())


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_statements_hold_the_examples(name: str) -> None:
    value, encode = GOLDEN[name]
    assert encode(value) == read_golden(name)


@pytest.mark.parametrize(
    "change",
    [
        {"previous": {"counter": 7, "sha256": ID_A.hex()}},
        {"points": {"20261120T093000Z": ID_B.hex()}},
        {"points": {"../20261120T093000Z": ID_B.hex()}},
        {"points": {"20261132T093000Z": ID_B.hex()}},
        {"machine": "box"},
        {"machine": "../" * 11},
        {"counter": 0},
        {"counter": 10**10},
    ],
)
def test_a_head_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    members = {**json.loads(vault.encode_head(HEAD)), **change}
    with pytest.raises(IntegrityError):
        vault.decode_head(json.dumps(members).encode())


def test_only_the_first_owner_has_none_before_it() -> None:
    members = json.loads(vault.encode_owner(OWNER))
    for change in ({"previous": None}, {"epoch": 1}):
        with pytest.raises(IntegrityError):
            vault.decode_owner(json.dumps({**members, **change}).encode())


@given(st.binary(max_size=300))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    for _, _, decode in CODECS:
        with pytest.raises(IntegrityError):
            decode(data)
    with pytest.raises(IntegrityError):
        vault.split_statement(data)


def test_a_damaged_statement_is_refused_or_read(seed: int) -> None:
    for value, encode, decode in CODECS:
        assert_survives(decode, encode(value), seed)
    statement = vault.join_statement(vault.encode_head(HEAD), bytes(64))
    assert_survives(vault.split_statement, statement, seed)


def test_the_two_lines_come_apart_again() -> None:
    line = vault.encode_head(HEAD)
    assert vault.split_statement(vault.join_statement(line, bytes(range(64)))) == (
        line,
        bytes(range(64)),
    )


def test_keys_are_read_back() -> None:
    for kind in KINDS:
        key = name_object(kind, b"data")
        assert parse_object_key(str(key)) == key
    assert parse_head_key(str(HEAD.key)) == HEAD.key == HeadKey(MACHINE, 7)
    assert parse_head_key(str(BOX_HEAD.key)) == BOX_HEAD.key
    assert parse_owner_key(owner_key(12)) == 12


@pytest.mark.parametrize(
    "key",
    [
        "containers/00/" + "ab" * 32,
        "containers/ab/" + "AB" * 32,
        "container/ab/" + "ab" * 32,
        "../containers/ab/" + "ab" * 32,
        "containers/ab/" + "ab" * 32 + "\n",
        "heads/../0000000001",
        f"heads/{MACHINE}/1",
        f"heads/{MACHINE}/0000000000",
        "owner/0000000000",
        "owner/" + "\u0661" * 10,
    ],
)
def test_foreign_keys_are_none_of_ours(key: str) -> None:
    assert parse_object_key(key) is None
    assert parse_head_key(key) is None
    assert parse_owner_key(key) is None


def test_an_object_is_named_by_its_bytes() -> None:
    assert str(name_object("points", b"")) == (
        "points/e3/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert HashedKey("points", b"\xe3" * 32) != name_object("points", b"")
