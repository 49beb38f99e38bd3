"""Signatures of statements (docs/format/vault.md): whoever has the master key signs, all verify.

Owns the cryptography of Ed25519 (RFC 8032). It never touches a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.base.errors import IntegrityError
from appliance.formats.vault import join_statement, signed_bytes, split_statement
from appliance.keys import cipher
from appliance.keys.hierarchy import MasterKey

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

_INFO = b"holdfast signing v1"


def public_key(master: MasterKey) -> bytes:
    """The 32 bytes with which anybody verifies what this store signs."""
    return bytes(_signing_key(master).public_key().export_key(format="raw"))


def sign_statement(master: MasterKey, key: str, line: bytes) -> bytes:
    """The whole object for the statement `line` that will lie at `key`."""
    from Crypto.Signature import eddsa  # noqa: PLC0415

    signature = eddsa.new(_signing_key(master), "rfc8032").sign(signed_bytes(key, line))
    return join_statement(line, signature)


def open_statement(public: bytes, key: str, data: bytes) -> bytes:
    """The first line of the statement at `key`.

    Raises IntegrityError if it was damaged, moved here, or signed by another key than `public`.
    """
    from Crypto.Signature import eddsa  # noqa: PLC0415

    try:
        line, signature = split_statement(data)
        verifier = eddsa.new(eddsa.import_public_key(public), "rfc8032")
        verifier.verify(signed_bytes(key, line), signature)
    except ValueError:
        raise IntegrityError(f"{key}: its signature does not verify") from None
    except IntegrityError as error:
        raise IntegrityError(f"{key}: {error}") from None
    return line


def _signing_key(master: MasterKey) -> EccKey:
    from Crypto.PublicKey import ECC  # noqa: PLC0415

    seed = cipher.derive_key(master.secret, master.store_id, _INFO)
    return ECC.construct(curve="Ed25519", seed=seed)
