"""Settings, claims and bundles of vaults: what their pages fix, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.policy import Policy
from appliance.formats.vault import Link
from appliance.formats.vault_settings import (
    Claim,
    VaultSettings,
    check_vault_name,
    decode_bundle,
    decode_claim,
    decode_settings,
    encode_bundle,
    encode_claim,
    encode_settings,
)
from tests.formats.examples import ID_A, ID_B, assert_survives, read_golden

SETTINGS = VaultSettings(
    "far-1",
    "s3://b/p?endpoint=https://e&region=r&style=path",
    bytes(range(16)),
    30,
    1 << 20,
    machine_rpo_s={"file1": 3600},
    windows=("22:00-06:00",),
    retention=Policy(keep_daily=7),
)
CLAIM = Claim(bytes(range(16)), 3, Link(7, ID_A), ID_B)
CODECS: list[tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (SETTINGS, encode_settings, decode_settings),
    (VaultSettings("v", "file:///v", bytes(16)), encode_settings, decode_settings),
    (CLAIM, encode_claim, decode_claim),
    (Claim(bytes(16)), encode_claim, decode_claim),
]
FILES = {
    "policies/default.policy": b"sealed",
    f"holds/{'ab' * 16}-20261121T093000Z.hold": b"\x00\xff",
    "vaults/far-1.vault": b"1",
    "vaults/far-1.credentials": b"2",
    f"machines/{'cd' * 16}.machine": b"3",
    "notices/hook-1.channel": b"4",
    "box/daemon.toml": b"heavy_jobs = 3\n",
    "box/plans/the shop.toml": b"5",
    "box/presets/Büro 1.json": b"{}",
}


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_record_is_read_back(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(("value", "encode", "decode"), CODECS)
def test_a_record_with_a_member_of_another_type_is_refused(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    members = json.loads(encode(value))
    wrongs: tuple[object, ...] = ([1], True, -1, {"x": []})
    for name in members:
        if name == "sha256" and not value.head:
            continue  # without a counter it means nothing
        for wrong in wrongs:
            with pytest.raises(IntegrityError):
                decode(json.dumps({**members, name: wrong}).encode())


def test_a_bundle_is_read_back() -> None:
    assert decode_bundle(encode_bundle(FILES)) == FILES


@pytest.mark.parametrize(
    "place",
    [
        *("../box.key", "keys/box.json", "policies/../x.policy", "vaults/a.claim", "/etc/passwd"),
        *("box/access.sqlite", "box/plans/../x.toml", "box/plans/.x.toml", "box/plans/a/b.toml"),
        *("box/presets/x\0.json", "box/daemon.toml/x", "machines/x.machine", "notices/..channel"),
        *("box/plans/" + "x" * 99 + ".toml", "box/box.key", "box/tls/key.pem"),
    ],
)
def test_a_bundle_writes_nothing_elsewhere(place: str) -> None:
    assert decode_bundle(encode_bundle({**FILES, place: b"x"})) == FILES


def test_the_golden_bundle_is_what_the_page_describes() -> None:
    golden = read_golden("vault-settings.json.zst")
    assert decode_bundle(golden) == FILES
    plain = zstandard.ZstdDecompressor().decompress(golden)
    assert zstandard.ZstdDecompressor().decompress(encode_bundle(FILES)) == plain


@given(st.binary(max_size=200))
def test_garbage_is_an_integrity_error(data: bytes) -> None:
    for decode in (decode_settings, decode_claim, decode_bundle):
        with pytest.raises(IntegrityError):
            decode(data)


def test_damage_is_refused_or_read(seed: int) -> None:
    for value, encode, decode in CODECS:
        assert_survives(decode, encode(value), seed)
    assert_survives(decode_bundle, encode_bundle(FILES), seed)


@pytest.mark.parametrize("name", ["", "A", "1a", "a/b", "..", "a" * 33, "a b"])
def test_a_vault_cannot_be_called_anything(name: str) -> None:
    with pytest.raises(UsageError):
        check_vault_name(name)
