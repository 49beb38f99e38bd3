"""What a vault says and signs: docs/format/vault.md, "Statements".

Owns the two lines of a statement and the JSON of `vault.json`, owners and heads. It never
computes a signature: `appliance.keys.signing` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.base.errors import IntegrityError
from appliance.formats.fields import Fields, is_hex
from appliance.formats.keyfile import StoreDescriptor, check_descriptor
from appliance.formats.names import PointName, format_time
from appliance.formats.record import read_time
from appliance.formats.vault_names import BOX, NUMBER_MAX, HeadKey

STATEMENT_MAX_BYTES = 16 << 20
VAULT_ID_BYTES = 16
BOX_ID_BYTES = 16
MACHINE_BYTES = 16
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
LOCK_DAYS_MAX = 36500

_DIGEST_BYTES = 32
_FORMAT = 1
_PREFIX = b"holdfast vault v1\n"
_SIGNATURE = re.compile(rb"ed25519 ([0-9a-f]{128})")


@dataclass(frozen=True)
class VaultSeal:
    """What `vault.json` says: which vault this is, and who can have signed what is in it."""

    vault: bytes
    store: StoreDescriptor
    public_key: bytes
    created: datetime
    lock_days: int


@dataclass(frozen=True)
class Owner:
    """Which box writes in `epoch`; `previous` is the SHA-256 of the owner before."""

    vault: bytes
    epoch: int
    box: bytes
    taken: datetime
    previous: bytes | None


@dataclass(frozen=True)
class Link:
    """A head, by its counter and the SHA-256 of its bytes."""

    counter: int
    digest: bytes


@dataclass(frozen=True)
class Head:
    """What is alive of one machine. Points are named by the time in their file's name.

    Attributes:
        machine: the machine's folder, 32 hex digits.
        points: the SHA-256 of the bill of each point that lives.
        tombstones: when each point that `previous` still had was taken away.
        boot: the machine's newest object in `boots/`.
    """

    vault: bytes
    machine: str
    counter: int
    epoch: int
    written: datetime
    previous: Link | None
    points: Mapping[str, bytes] = field(default_factory=dict)
    tombstones: Mapping[str, datetime] = field(default_factory=dict)
    boot: bytes | None = None

    @property
    def key(self) -> HeadKey:
        """Where it lies."""
        return HeadKey(self.machine, self.counter)


@dataclass(frozen=True)
class BoxHead:
    """The head of the box: its keys, its settings, and the newest head of each machine."""

    vault: bytes
    counter: int
    epoch: int
    written: datetime
    previous: Link | None
    heads: Mapping[str, Link] = field(default_factory=dict)
    wraps: tuple[bytes, ...] = ()
    settings: bytes | None = None

    @property
    def key(self) -> HeadKey:
        """Where it lies."""
        return HeadKey(BOX, self.counter)


# ---- the two lines ----


def signed_bytes(key: str, line: bytes) -> bytes:
    """What the signature of the statement at `key` is made over."""
    return _PREFIX + key.encode() + b"\n" + line


def join_statement(line: bytes, signature: bytes) -> bytes:
    """The whole object."""
    return line + b"\ned25519 " + signature.hex().encode() + b"\n"


def split_statement(data: bytes) -> tuple[bytes, bytes]:
    """(first line, signature) of a statement, not verified. Raises IntegrityError."""
    if len(data) > STATEMENT_MAX_BYTES:
        raise IntegrityError(f"statement: longer than {STATEMENT_MAX_BYTES} bytes")
    parts = data.split(b"\n")
    found = _SIGNATURE.fullmatch(parts[1]) if len(parts) == 3 and not parts[2] else None
    if found is None:
        raise IntegrityError("statement: not one line and its signature")
    return parts[0], bytes.fromhex(found[1].decode())


# ---- the kinds ----


def encode_seal(seal: VaultSeal) -> bytes:
    """The first line of `vault.json`."""
    store = seal.store
    return _encode(
        "vault",
        seal.vault,
        {
            "store": {
                "format": store.format,
                "store_id": store.store_id,
                "created": store.created,
            },
            "public_key": seal.public_key.hex(),
            "created": format_time(seal.created),
            "lock_days": seal.lock_days,
        },
    )


def decode_seal(line: bytes) -> VaultSeal:
    """Read what `encode_seal` wrote.

    Raises IntegrityError, or HoldfastError if this program does not read the store's format.
    """
    fields = _decode("vault", line)
    return VaultSeal(
        fields.hex("vault", VAULT_ID_BYTES),
        check_descriptor(fields.fields("store")),
        fields.hex("public_key", PUBLIC_KEY_BYTES),
        read_time(fields, "created"),
        fields.integer("lock_days", 0, LOCK_DAYS_MAX),
    )


def encode_owner(owner: Owner) -> bytes:
    """The first line of an owner."""
    return _encode(
        "owner",
        owner.vault,
        {
            "epoch": owner.epoch,
            "box": owner.box.hex(),
            "taken": format_time(owner.taken),
            "previous": None if owner.previous is None else owner.previous.hex(),
        },
    )


def decode_owner(line: bytes) -> Owner:
    """Read what `encode_owner` wrote. Raises IntegrityError."""
    fields = _decode("owner", line)
    epoch = fields.integer("epoch", 1, NUMBER_MAX)
    if (fields.get("previous") is None) != (epoch == 1):
        raise fields.fault("previous", "the owner before")
    return Owner(
        fields.hex("vault", VAULT_ID_BYTES),
        epoch,
        fields.hex("box", BOX_ID_BYTES),
        read_time(fields, "taken"),
        _read_digest(fields, "previous"),
    )


def encode_head(head: Head) -> bytes:
    """The first line of a machine's head."""
    return _encode(
        "head",
        head.vault,
        {
            "machine": head.machine,
            **_encode_chain(head),
            "points": {time: digest.hex() for time, digest in sorted(head.points.items())},
            "tombstones": {time: format_time(at) for time, at in sorted(head.tombstones.items())},
            "boot": None if head.boot is None else head.boot.hex(),
        },
    )


def decode_head(line: bytes) -> Head:
    """Read what `encode_head` wrote. Raises IntegrityError."""
    fields = _decode("head", line)
    counter, epoch, written, previous = _read_chain(fields)
    points, tombstones = fields.fields("points"), fields.fields("tombstones")
    head = Head(
        fields.hex("vault", VAULT_ID_BYTES),
        fields.hex("machine", MACHINE_BYTES).hex(),
        counter,
        epoch,
        written,
        previous,
        {_read_point_time(time): points.hex(time, _DIGEST_BYTES) for time in points.names()},
        {_read_point_time(time): read_time(tombstones, time) for time in tombstones.names()},
        _read_digest(fields, "boot"),
    )
    if head.points.keys() & head.tombstones.keys():
        raise fields.fault("tombstones", "without the points that live")
    return head


def encode_box_head(head: BoxHead) -> bytes:
    """The first line of a head of the box."""
    return _encode(
        "box",
        head.vault,
        {
            **_encode_chain(head),
            "heads": {machine: _encode_link(link) for machine, link in sorted(head.heads.items())},
            "wraps": [digest.hex() for digest in head.wraps],
            "settings": None if head.settings is None else head.settings.hex(),
        },
    )


def decode_box_head(line: bytes) -> BoxHead:
    """Read what `encode_box_head` wrote. Raises IntegrityError."""
    fields = _decode("box", line)
    counter, epoch, written, previous = _read_chain(fields)
    heads = fields.fields("heads")
    if not all(is_hex(machine, MACHINE_BYTES) for machine in heads.names()):
        raise fields.fault("heads", "named by machines")
    return BoxHead(
        fields.hex("vault", VAULT_ID_BYTES),
        counter,
        epoch,
        written,
        previous,
        {machine: _read_link(heads.fields(machine)) for machine in heads.names()},
        tuple(_read_digests(fields, "wraps")),
        _read_digest(fields, "settings"),
    )


def _encode(kind: str, vault: bytes, members: dict[str, object]) -> bytes:
    whole = {"format": _FORMAT, "kind": kind, "vault": vault.hex(), **members}
    return json.dumps(whole, separators=(",", ":")).encode()


def _decode(kind: str, line: bytes) -> Fields:
    fields = Fields.parse(line, f"vault's {kind}", STATEMENT_MAX_BYTES)
    fields.integer("format", _FORMAT, _FORMAT)
    fields.choice("kind", (kind,))
    return fields


def _encode_chain(head: Head | BoxHead) -> dict[str, object]:
    return {
        "counter": head.counter,
        "epoch": head.epoch,
        "written": format_time(head.written),
        "previous": None if head.previous is None else _encode_link(head.previous),
    }


def _read_chain(fields: Fields) -> tuple[int, int, datetime, Link | None]:
    counter = fields.integer("counter", 1, NUMBER_MAX)
    previous = None if fields.get("previous") is None else _read_link(fields.fields("previous"))
    if previous is not None and previous.counter >= counter:
        raise fields.fault("previous", "a head before this one")
    return counter, fields.integer("epoch", 1, NUMBER_MAX), read_time(fields, "written"), previous


def _encode_link(link: Link) -> dict[str, object]:
    return {"counter": link.counter, "sha256": link.digest.hex()}


def _read_link(fields: Fields) -> Link:
    return Link(fields.integer("counter", 1, NUMBER_MAX), fields.hex("sha256", _DIGEST_BYTES))


def _read_point_time(text: str) -> str:
    return PointName.from_file_time("m", text).file_time


def _read_digest(fields: Fields, name: str) -> bytes | None:
    return None if fields.get(name) is None else fields.hex(name, _DIGEST_BYTES)


def _read_digests(fields: Fields, name: str) -> list[bytes]:
    texts = fields.items(name)
    if not all(isinstance(text, str) and is_hex(text, _DIGEST_BYTES) for text in texts):
        raise fields.fault(name, "a list of SHA-256")
    return [bytes.fromhex(str(text)) for text in texts]
