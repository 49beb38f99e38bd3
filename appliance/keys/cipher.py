"""The one door to the crypto library: HKDF, scrypt and AES-256-GCM for short messages.

Bulk data is sealed in `native/`, not here. The library is imported on first use and commands that
need no key do not pay for it. HKDF beside AES, which
opening any wrap needs anyway, costs 2 to 7 ms more: too little to keep an HKDF of our own.
"""

from __future__ import annotations

import unicodedata

from appliance.base.errors import HoldfastError, IntegrityError, UsageError
from appliance.formats.keyfile import KEY_BYTES, ScryptCost

TAG_BYTES = 16
# Every key that comes here seals one message only (docs/format/keys.md), so no nonce repeats.
_NONCE = bytes(12)


def derive_key(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869): 32 bytes from a secret that is already random."""
    from Crypto.Hash import SHA256  # noqa: PLC0415
    from Crypto.Protocol.KDF import HKDF  # noqa: PLC0415

    return HKDF(secret, KEY_BYTES, salt, SHA256, context=info)


def stretch_passphrase(passphrase: str, salt: bytes, cost: ScryptCost) -> bytes:
    """32 bytes by scrypt (RFC 7914) from a passphrase in normal form C.

    Raises UsageError if the passphrase is empty or no text, HoldfastError without memory.
    """
    from Crypto.Protocol.KDF import scrypt  # noqa: PLC0415

    if not passphrase:
        raise UsageError("the passphrase is empty", code="no-passphrase")
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:
        raise UsageError("the passphrase is not UTF-8 text") from None
    try:
        return scrypt(secret, salt, KEY_BYTES, cost.n, cost.r, cost.p)
    except (MemoryError, ValueError) as error:
        needed_mib = 128 * cost.n * cost.r >> 20
        raise HoldfastError(f"the passphrase needs {needed_mib} MiB of free memory") from error


def seal(key: bytes, plain: bytes, associated: bytes) -> bytes:
    """AES-256-GCM: the ciphertext, then the tag. `key` must never seal anything else."""
    from Crypto.Cipher import AES  # noqa: PLC0415

    cipher = AES.new(key, AES.MODE_GCM, nonce=_NONCE)
    cipher.update(associated)
    ciphertext, tag = cipher.encrypt_and_digest(plain)
    return ciphertext + tag


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """What `seal` sealed. Raises IntegrityError if the tag does not verify."""
    from Crypto.Cipher import AES  # noqa: PLC0415

    if len(sealed) < TAG_BYTES:
        raise IntegrityError("sealed bytes are shorter than their tag")
    cipher = AES.new(key, AES.MODE_GCM, nonce=_NONCE)
    cipher.update(associated)
    try:
        return cipher.decrypt_and_verify(sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    except ValueError:
        raise IntegrityError("sealed bytes do not authenticate") from None
