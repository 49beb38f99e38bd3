"""A share of the recovery key as people keep it: docs/format/keys.md.

Owns its text and finds typing errors. It never computes with shares, and no message shows a part
of one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from appliance.base.errors import AccessError, UsageError
from appliance.formats.recovery_key import TEXT_MAX, group_base32

SHARES = 3
THRESHOLD = 2
SET_BYTES = 4
DATA_BYTES = 32
KEY_CHECK_BYTES = 4

_CHECK_BYTES = 4
_CHECK_PREFIX = b"holdfast share v1"
_MARK = "share:"
_BASE32 = re.compile("[A-Z2-7]{72}")  # 45 bytes
_FILE = """\
# Holdfast recovery key, share {number} of {shares}
# Store {store_id}, created {created}, key {name}, set {set_id}
#
# Any two of the three shares give the recovery key; one alone tells nothing. Keep each with
# another person or in another place. Two of them open the store on any machine:
#   holdfast unlock --recovery-key SHARE --recovery-key SHARE
#   holdfast key join SHARE SHARE --out FILE

share: {base32}
"""


@dataclass(frozen=True)
class KeyShare:
    """One of three shares. `key_check` is the same in a set and shows whether two belong together.

    `data` is two sharings of 16 bytes each, one for each half of the recovery key.
    """

    number: int
    set_id: bytes
    data: bytes = field(repr=False)
    key_check: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"share {self.number} of set {self.set_id.hex()}"


def format_share(share: KeyShare, *, store_id: str, created: str, name: str) -> str:
    """The whole file of a share; `name` is what the box calls the key."""
    return _FILE.format(
        number=share.number,
        shares=SHARES,
        store_id=store_id,
        created=created,
        name=name,
        set_id=share.set_id.hex(),
        base32=group_base32(_encode(share)),
    )


def is_share(text: str) -> bool:
    """Whether `text` means to be a share."""
    lines = _lines(text)
    return any(line.startswith(_MARK) for line in lines) or bool(
        _BASE32.fullmatch(_compact("".join(lines)))
    )


def parse_share(text: str) -> KeyShare:
    """The share in `text`: the whole file, or its line as typed; case does not count.

    Raises UsageError if the text cannot be read, AccessError if it can but its checksum says that
    it was typed wrongly.
    """
    if len(text) > TEXT_MAX:
        raise UsageError(f"a share has at most {TEXT_MAX} characters")
    lines = _lines(text)
    marked = [line for line in lines if line.startswith(_MARK)]
    if len(marked) > 1:
        raise UsageError("more than one share in a file: give each in a file of its own")
    compact = _compact(marked[0].removeprefix(_MARK) if marked else "".join(lines))
    if _BASE32.fullmatch(compact) is None:
        raise UsageError("not a share of a recovery key: it has 72 characters A-Z and 2-7")
    return _decode(base64.b32decode(compact))


def _lines(text: str) -> list[str]:
    lines = [line.strip().lower() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _compact(base32: str) -> str:
    return re.sub(r"[\s-]", "", base32).upper()


def _encode(share: KeyShare) -> bytes:
    body = bytes([share.number]) + share.set_id + share.data + share.key_check
    return body + _check_bytes(body)


def _decode(whole: bytes) -> KeyShare:
    body, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
    if not hmac.compare_digest(check, _check_bytes(body)):
        raise AccessError("the share's checksum does not match: compare it with the paper")
    number, rest = body[0], body[1:]
    if not 1 <= number <= SHARES:
        raise AccessError(f"there is no share {number}: shares are 1 to {SHARES}")
    data_end = SET_BYTES + DATA_BYTES
    return KeyShare(number, rest[:SET_BYTES], rest[SET_BYTES:data_end], rest[data_end:])


def _check_bytes(body: bytes) -> bytes:
    return hashlib.sha256(_CHECK_PREFIX + body).digest()[:_CHECK_BYTES]
