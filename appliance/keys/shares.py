"""The recovery key in three shares, of which any two give it back: docs/format/keys.md.

Owns the mathematics, which the crypto library does. It never touches a file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from appliance.base.errors import AccessError, UsageError
from appliance.formats.key_share import KEY_CHECK_BYTES, SET_BYTES, SHARES, THRESHOLD, KeyShare

_HALF_BYTES = 16  # what the library shares at once
_CHECK_PREFIX = b"holdfast share set v1"


def split_key(key: bytes) -> tuple[KeyShare, ...]:
    """Three shares of a 32-byte recovery key, a new set each time."""
    from Crypto.Protocol.SecretSharing import Shamir  # noqa: PLC0415

    set_id = secrets.token_bytes(SET_BYTES)
    check = _key_check(set_id, key)
    halves = [
        Shamir.split(THRESHOLD, SHARES, key[at : at + _HALF_BYTES])
        for at in range(0, len(key), _HALF_BYTES)
    ]
    return tuple(
        KeyShare(number, set_id, first + second, check)
        for (number, first), (_, second) in zip(*halves, strict=True)
    )


def join_shares(one: KeyShare, other: KeyShare) -> bytes:
    """The recovery key.

    Raises UsageError for the same share twice, AccessError if the two are not of one set.
    """
    from Crypto.Protocol.SecretSharing import Shamir  # noqa: PLC0415

    if one.set_id != other.set_id:
        raise AccessError(f"{one} and {other} do not belong together: take two of one set")
    if one.number == other.number:
        raise UsageError(f"{one} was given twice: give two different shares")
    key = b"".join(
        Shamir.combine(
            [(share.number, share.data[at : at + _HALF_BYTES]) for share in (one, other)]
        )
        for at in range(0, len(one.data), _HALF_BYTES)
    )
    checks = (one.key_check, other.key_check, _key_check(one.set_id, key))
    if not all(hmac.compare_digest(check, checks[0]) for check in checks):
        raise AccessError(f"{one} and {other} give no key: one of them was changed")
    return key


def _key_check(set_id: bytes, key: bytes) -> bytes:
    return hashlib.sha256(_CHECK_PREFIX + set_id + key).digest()[:KEY_CHECK_BYTES]
