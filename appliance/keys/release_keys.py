"""Public keys of those who may sign releases (docs/format/update.md): Ed25519, RFC 8032, in PEM.

Owns how a signature is verified and what a key is called. It makes no signature and no key: those
are the builder's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from appliance.base.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

_NAME_BYTES = 8
_CURVE = "Ed25519"


def name_key(pem: bytes) -> str:
    """The fingerprint of a public key: 16 hex digits. Raises UsageError if it is none."""
    raw = _read(pem).export_key(format="raw")
    return hashlib.sha256(raw).hexdigest()[: 2 * _NAME_BYTES]


def verify_signature(pem: bytes, message: bytes, signature: bytes) -> None:
    """Raises IntegrityError unless the owner of the public key in `pem` signed `message`."""
    from Crypto.Signature import eddsa  # noqa: PLC0415

    try:
        eddsa.new(_read(pem), "rfc8032").verify(message, signature)
    except ValueError:
        raise IntegrityError("its signature does not verify: it was changed") from None


def _read(pem: bytes) -> EccKey:
    from Crypto.PublicKey import ECC  # noqa: PLC0415

    try:
        key = ECC.import_key(pem.decode("ascii"))
    except (ValueError, IndexError, TypeError) as error:
        raise UsageError("this is no public key in PEM") from error
    if key.curve != _CURVE or key.has_private():
        raise UsageError("this is no public key of Ed25519")
    return key
