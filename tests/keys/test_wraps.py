"""Wraps of the master key, held against another crypto library."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.base.errors import AccessError
from appliance.formats.keyfile import ScryptCost, Wrap, decode_wrap
from appliance.keys import wraps
from appliance.keys.hierarchy import MasterKey
from appliance.keys.wraps import open_wrap, wrap_with_key, wrap_with_passphrase
from tests.formats.examples import (
    BOX_KEY,
    MASTER_SECRET,
    PASSPHRASE,
    RECOVERY_KEY,
    SMALL_SCRYPT,
    STORE_ID,
    read_golden,
)

MASTER = MasterKey(MASTER_SECRET, STORE_ID)


@pytest.fixture
def small_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wraps, "SCRYPT_COST", SMALL_SCRYPT)


def test_the_cost_of_a_passphrase_is_that_of_the_design() -> None:
    assert ScryptCost(n=65536, r=8, p=1) == wraps.SCRYPT_COST


@pytest.mark.parametrize(
    ("kind", "secret"), [("recovery", RECOVERY_KEY), ("box", BOX_KEY), ("passphrase", PASSPHRASE)]
)
def test_the_golden_wraps_open(kind: str, secret: bytes | str) -> None:
    wrap = decode_wrap(read_golden(f"wrap-{kind}.json"))
    assert wrap.kind == kind
    assert open_wrap(wrap, secret, STORE_ID) == MASTER


@pytest.mark.usefixtures("small_scrypt")
def test_another_library_opens_our_wraps() -> None:
    box, passphrase = (
        wrap_with_key(MASTER, "box", BOX_KEY),
        wrap_with_passphrase(MASTER, PASSPHRASE),
    )
    cost = SMALL_SCRYPT
    stretched = Scrypt(passphrase.salt, 32, cost.n, cost.r, cost.p).derive(PASSPHRASE.encode())
    for wrap, secret in [(box, BOX_KEY), (passphrase, stretched)]:
        info = f"holdfast wrap v1 {wrap.kind}".encode()
        key = HKDF(SHA256(), 32, wrap.salt, info).derive(secret)
        associated = b"holdfast wrap v1" + STORE_ID
        assert AESGCM(key).decrypt(bytes(12), wrap.sealed, associated) == MASTER_SECRET


def test_two_wraps_of_one_key_share_nothing() -> None:
    one, two = (wrap_with_key(MASTER, "box", BOX_KEY) for _ in range(2))
    assert one.salt != two.salt
    assert one.sealed != two.sealed


@pytest.mark.usefixtures("small_scrypt")
def test_a_wrong_secret_is_one_line_of_refusal() -> None:
    cases: list[tuple[Wrap, bytes | str, str]] = [
        (wrap_with_key(MASTER, "recovery", RECOVERY_KEY), BOX_KEY, "recovery key"),
        (wrap_with_key(MASTER, "box", BOX_KEY), RECOVERY_KEY, "box key"),
        (wrap_with_key(MASTER, "box", BOX_KEY), "text", "passphrase"),
        (wrap_with_passphrase(MASTER, PASSPHRASE), "Wrong", "passphrase"),
    ]
    for wrap, wrong, word in cases:
        with pytest.raises(AccessError, match=f"^the {word} does not open this store") as caught:
            open_wrap(wrap, wrong, STORE_ID)
        assert "\n" not in str(caught.value)


def test_a_wrap_serves_one_store_and_one_kind() -> None:
    wrap = wrap_with_key(MASTER, "box", BOX_KEY)
    with pytest.raises(AccessError):
        open_wrap(wrap, BOX_KEY, b"x" * 16)
    with pytest.raises(AccessError):
        open_wrap(replace(wrap, kind="recovery"), BOX_KEY, STORE_ID)
