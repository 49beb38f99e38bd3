"""The record of a bucket's keys: what docs/format/record.md fixes."""

from __future__ import annotations

from appliance.formats.vault_credentials import (
    Credentials,
    decode_credentials,
    encode_credentials,
)
from tests.formats.examples import assert_survives, read_golden

GOLDEN = read_golden("vault-credentials.json")


def test_the_golden_record_is_what_is_written() -> None:
    credentials = Credentials("EXAMPLEACCESS", "example/secret+key=", None)
    assert encode_credentials(credentials) == GOLDEN
    assert decode_credentials(GOLDEN) == credentials


def test_damage_is_an_integrity_error(seed: int) -> None:
    assert_survives(decode_credentials, GOLDEN, seed)
