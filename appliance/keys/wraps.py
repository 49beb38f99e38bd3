"""Wraps: the master key sealed with another key, one wrap for each key that opens the store.

Owns the cryptography of docs/format/keys.md, "Wraps". It never touches a file.
"""

from __future__ import annotations

import secrets

from appliance.base.errors import AccessError, IntegrityError
from appliance.formats.keyfile import BOX, PASSPHRASE, RECOVERY, ScryptCost, Wrap
from appliance.keys import cipher
from appliance.keys.hierarchy import MasterKey

# 64 MiB and about 0.2 s a guess on the appliance; small enough for a box with 1 GiB of memory.
SCRYPT_COST = ScryptCost(n=2**16, r=8, p=1)

_SALT_BYTES = 32
_INFO = b"holdfast wrap v1"


def wrap_with_key(master: MasterKey, kind: str, key: bytes) -> Wrap:
    """Wrap the master key with the 32-byte `key` of `kind` (recovery or box)."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return Wrap(kind, salt, None, _seal(master, kind, salt, key))


def wrap_with_passphrase(master: MasterKey, passphrase: str) -> Wrap:
    """Wrap the master key with `passphrase`. Raises UsageError if it is empty or no text."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = cipher.stretch_passphrase(passphrase, salt, SCRYPT_COST)
    return Wrap(PASSPHRASE, salt, SCRYPT_COST, _seal(master, PASSPHRASE, salt, key))


def open_wrap(wrap: Wrap, secret: bytes | str, store_id: bytes) -> MasterKey:
    """The master key in `wrap`; `secret` is a key, or the text of a passphrase.

    Raises AccessError if the secret is not the one it was wrapped with. A damaged wrap looks the
    same.
    """
    if isinstance(secret, str):
        if wrap.scrypt is None:
            raise _wrong(PASSPHRASE)
        secret = cipher.stretch_passphrase(secret, wrap.salt, wrap.scrypt)
    wrapping_key = _wrapping_key(wrap.kind, wrap.salt, secret)
    try:
        return MasterKey(cipher.unseal(wrapping_key, wrap.sealed, _INFO + store_id), store_id)
    except IntegrityError:
        raise _wrong(wrap.kind) from None


def _wrong(kind: str) -> AccessError:
    if kind == RECOVERY:
        return AccessError(
            "the recovery key does not open this store: is it the key of another one?",
            code="wrong-recovery-key",
        )
    if kind == BOX:
        return AccessError(
            "the box key does not open this store: put the right box.key back",
            code="wrong-box-key",
        )
    return AccessError(
        "the passphrase does not open this store: try again", code="wrong-passphrase"
    )


def _seal(master: MasterKey, kind: str, salt: bytes, secret: bytes) -> bytes:
    return cipher.seal(_wrapping_key(kind, salt, secret), master.secret, _INFO + master.store_id)


def _wrapping_key(kind: str, salt: bytes, secret: bytes) -> bytes:
    return cipher.derive_key(secret, salt, _INFO + b" " + kind.encode())
