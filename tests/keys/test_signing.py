"""Signatures of statements, checked with another crypto library."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.base.errors import IntegrityError
from appliance.formats.vault import split_statement
from appliance.keys.hierarchy import MasterKey
from appliance.keys.signing import open_statement, public_key, sign_statement
from tests.formats.examples import MASTER_SECRET, STORE_ID, read_golden

MASTER = MasterKey(MASTER_SECRET, STORE_ID)
KEY, LINE = "heads/box/0000000001", b'{"format":1}'


def test_another_library_verifies_what_the_page_says() -> None:
    line, signature = split_statement(sign_statement(MASTER, KEY, LINE))
    message = b"holdfast vault v1\nheads/box/0000000001\n" + line
    Ed25519PublicKey.from_public_bytes(public_key(MASTER)).verify(signature, message)


def test_the_golden_statement_is_what_is_written() -> None:
    assert sign_statement(MASTER, KEY, LINE) == read_golden("vault-statement.txt")


def test_a_statement_that_was_changed_or_moved_is_refused() -> None:
    public, data = public_key(MASTER), sign_statement(MASTER, KEY, LINE)
    assert open_statement(public, KEY, data) == LINE
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(IntegrityError, match=KEY):
            open_statement(public, KEY, bytes(damaged))
    with pytest.raises(IntegrityError):
        open_statement(public, "heads/box/0000000002", data)


def test_another_store_signs_with_another_key() -> None:
    other = MasterKey(MASTER_SECRET, bytes(16))
    with pytest.raises(IntegrityError):
        open_statement(public_key(MASTER), KEY, sign_statement(other, KEY, LINE))
    with pytest.raises(IntegrityError):
        open_statement(b"short", KEY, sign_statement(MASTER, KEY, LINE))
