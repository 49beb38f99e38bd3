"""The audit log's entries, their chain, and the record that seals its head (docs/format/audit.md).

Owns bytes only; what is written down when is `appliance.access`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from appliance.base.errors import IntegrityError
from appliance.formats.fields import Fields
from appliance.formats.record import decode_fields, encode_fields

GENESIS = "0" * 64
"""What stands for the digest before the first entry."""
ENTRY_MAX_BYTES = 16 << 10
MARK_PLACE = "access.mark"


@dataclass(frozen=True)
class AuditEntry:
    """Who did what.

    Attributes:
        number: 1 for the first, then one more each.
        time: as `format_time` writes it.
        who: a user, `token:NAME`, `box` for the local socket, empty for nobody known.
        address: where from; empty at the box.
        action: a verb, a route or a word like `login`.
        target: what it was done to.
        outcome: `done`, `refused` or `failed`.
        detail: more, as text; never a secret.
    """

    number: int
    time: str
    who: str
    address: str
    action: str
    target: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class AccessMark:
    """Sealed in the store: that there was an administrator, and how far the audit log was."""

    since: str
    number: int
    digest: str


def encode_entry(entry: AuditEntry) -> bytes:
    """The bytes that are hashed: JSON in ASCII, members in order, no spaces."""
    return json.dumps(asdict(entry), separators=(",", ":")).encode("ascii")


def decode_entry(data: bytes) -> AuditEntry:
    """Read what `encode_entry` wrote. Raises IntegrityError."""
    fields = Fields.parse(data, "audit", ENTRY_MAX_BYTES)
    texts = {
        name: fields.text(name)
        for name in ("time", "who", "address", "action", "target", "outcome", "detail")
    }
    return AuditEntry(number=fields.integer("number", 1), **texts)


def chain_digest(previous: str, entry: bytes) -> str:
    """The digest after `entry`, whose predecessor's digest is `previous`."""
    return hashlib.sha256(bytes.fromhex(previous) + entry).hexdigest()


def encode_mark(mark: AccessMark) -> bytes:
    """The plaintext of the record at `access.mark`."""
    return encode_fields("access", asdict(mark))


def decode_mark(data: bytes) -> AccessMark:
    """Read what `encode_mark` wrote. Raises IntegrityError."""
    fields = decode_fields("access", data)
    digest = fields.text("digest")
    if len(digest) != len(GENESIS) or set(digest) - set("0123456789abcdef"):
        raise IntegrityError("access: 'digest' is not a SHA-256")
    return AccessMark(fields.text("since"), fields.integer("number"), digest)
