"""The door to the crypto library: vectors of the RFCs, and when it is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from appliance.base.errors import HoldfastError, IntegrityError, UsageError
from appliance.formats.keyfile import ScryptCost
from appliance.keys import cipher


def test_hkdf_gives_the_bytes_of_the_rfc() -> None:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))  # RFC 5869, A.1
    assert cipher.derive_key(b"\x0b" * 22, salt, info).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    )


def test_scrypt_gives_the_bytes_of_the_rfc() -> None:
    found = cipher.stretch_passphrase("password", b"NaCl", ScryptCost(1024, 8, 16))
    assert found.hex() == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"


def test_a_passphrase_is_the_same_however_its_letters_are_composed() -> None:
    cost = ScryptCost(2, 1, 1)
    composed = cipher.stretch_passphrase("B\u00fcro", b"salt", cost)
    assert cipher.stretch_passphrase("Bu\u0308ro", b"salt", cost) == composed


@pytest.mark.parametrize("passphrase", ["", "a\udc80b"])
def test_an_empty_or_broken_passphrase_is_a_usage_error(passphrase: str) -> None:
    with pytest.raises(UsageError, match="passphrase"):
        cipher.stretch_passphrase(passphrase, b"salt", ScryptCost(2, 1, 1))


def test_scrypt_without_memory_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("Crypto.Protocol.KDF.scrypt", fail)
    with pytest.raises(HoldfastError, match="needs 64 MiB"):
        cipher.stretch_passphrase("x", b"salt", ScryptCost(2**16, 8, 1))


def test_unseal_opens_what_seal_sealed_and_nothing_else() -> None:
    key, sealed = bytes(32), cipher.seal(bytes(32), b"plain", b"associated")
    assert cipher.unseal(key, sealed, b"associated") == b"plain"
    for wrong in [(b"k" * 32, sealed, b"associated"), (key, sealed, b""), (key, sealed[1:], b"")]:
        with pytest.raises(IntegrityError, match="authenticate"):
            cipher.unseal(*wrong)
    with pytest.raises(IntegrityError, match="shorter"):
        cipher.unseal(key, sealed[:15], b"associated")


def test_importing_the_keys_does_not_import_the_slow_library() -> None:
    program = "import appliance.keys.keyring, sys; sys.exit('Crypto' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
