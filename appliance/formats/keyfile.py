"""Store descriptor, key wraps and box key file: docs/format/keys.md.

Owns their text and its limits. It never computes with a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.text import printable
from appliance.formats.fields import Fields
from appliance.formats.names import parse_time

# The number of the whole store (docs/format/README.md, "Versions"); files carry their own.
STORE_FORMAT = 2
FORMAT = 1
KEY_BYTES = 32
STORE_ID_BYTES = 16
RECOVERY = "recovery"
BOX = "box"
PASSPHRASE = "passphrase"  # noqa: S105
KINDS = (RECOVERY, BOX, PASSPHRASE)
FILE_MAX_BYTES = 4096
FINGERPRINT_BYTES = 4
LABEL_MAX = 64
SCRYPT_N_MAX = 2**20
SCRYPT_R_MAX = 16
SCRYPT_P_MAX = 4

_SALT_BYTES = 32
_SEALED_BYTES = KEY_BYTES + 16
_HKDF = "hkdf-sha256"
_SCRYPT = "scrypt"
_BOX_KEY = re.compile(r"holdfast-box-key-v1:([0-9a-f]{64})")


@dataclass(frozen=True)
class StoreDescriptor:
    """What a store is. `store_id` is 32 hex digits, `created` as `2026-11-21T09:30:00Z`."""

    format: int
    store_id: str
    created: str


@dataclass(frozen=True)
class ScryptCost:
    """The parameters of scrypt (RFC 7914): memory is 128 * n * r bytes."""

    n: int
    r: int
    p: int


@dataclass(frozen=True)
class Wrap:
    """The master key, sealed with one other key. `scrypt` is given for a passphrase only.

    `created` (as in StoreDescriptor) and `label` are remarks for people, empty where nobody made
    them; nothing that opens a store depends on them.
    """

    kind: str
    salt: bytes
    scrypt: ScryptCost | None
    sealed: bytes = field(repr=False)
    created: str = ""
    label: str = ""

    @property
    def fingerprint(self) -> str:
        """What people call this key by: 8 hex digits that tell nothing about it."""
        return self.salt[:FINGERPRINT_BYTES].hex()


def encode_descriptor(descriptor: StoreDescriptor) -> bytes:
    """The bytes of `store.json`."""
    return _encode_json(
        {
            "format": descriptor.format,
            "store_id": descriptor.store_id,
            "created": descriptor.created,
        }
    )


def decode_descriptor(data: bytes) -> StoreDescriptor:
    """Read `store.json`.

    Raises IntegrityError if it is damaged, HoldfastError if this program does not read its format.
    """
    return check_descriptor(Fields.parse(data, "store.json", FILE_MAX_BYTES))


def check_descriptor(fields: Fields) -> StoreDescriptor:
    """The descriptor that these members make. Raises as `decode_descriptor` does."""
    version = fields.integer("format", 1)
    if version > STORE_FORMAT:
        raise HoldfastError(
            f"the store has format {version}, newer than the {STORE_FORMAT} this program knows: "
            "upgrade holdfast"
        )
    if version < STORE_FORMAT:
        raise HoldfastError(
            f"the store has format {version} of before 1.0, this program reads {STORE_FORMAT}: "
            "restore it with the restore.py of its time, and begin a new store"
        )
    created = fields.text("created")
    if parse_time(created) is None:
        raise fields.fault("created", "a time")
    return StoreDescriptor(version, fields.hex("store_id", STORE_ID_BYTES).hex(), created)


def encode_wrap(wrap: Wrap) -> bytes:
    """The bytes of a file in `keys/`."""
    cost = wrap.scrypt
    kdf: dict[str, object] = {"name": _HKDF}
    if cost is not None:
        kdf = {"name": _SCRYPT, "n": cost.n, "r": cost.r, "p": cost.p}
    members: dict[str, object] = {
        "format": FORMAT,
        "kind": wrap.kind,
        "salt": wrap.salt.hex(),
        "kdf": kdf,
        "sealed": wrap.sealed.hex(),
    }
    remarks = {"created": wrap.created, "label": wrap.label}
    return _encode_json(members | {name: text for name, text in remarks.items() if text})


def decode_wrap(data: bytes) -> Wrap:
    """Read a file in `keys/`. Raises IntegrityError if it is damaged or exceeds the limits."""
    fields = Fields.parse(data, "key wrap", FILE_MAX_BYTES)
    fields.integer("format", FORMAT, FORMAT)
    kind = fields.choice("kind", KINDS)
    return Wrap(
        kind=kind,
        salt=fields.hex("salt", _SALT_BYTES),
        scrypt=_read_kdf(fields.fields("kdf"), kind),
        sealed=fields.hex("sealed", _SEALED_BYTES),
        created=_read_remark(fields, "created", lambda text: parse_time(text) is not None),
        label=_read_remark(fields, "label", is_label),
    )


def is_label(text: str) -> bool:
    """Whether `text` can be the label of a key: one short line that a terminal can show."""
    return len(text) <= LABEL_MAX and printable(text) == text and text == text.strip()


def encode_box_key(key: bytes) -> bytes:
    """The bytes of `box.key`."""
    return f"holdfast-box-key-v1:{key.hex()}\n".encode()


def decode_box_key(data: bytes) -> bytes:
    """Read `box.key`. Raises IntegrityError if it is damaged; the message shows nothing of it."""
    found = _BOX_KEY.fullmatch(data[:FILE_MAX_BYTES].decode("ascii", "replace").strip())
    if found is None:
        raise IntegrityError("box key: not one line 'holdfast-box-key-v1:' and 64 hex digits")
    return bytes.fromhex(found[1])


def _read_remark(fields: Fields, name: str, is_sound: Callable[[str], bool]) -> str:
    """A remark, or nothing: a key must not be lost because its label is damaged."""
    text = fields.get(name)
    return text if isinstance(text, str) and is_sound(text) else ""


def _read_kdf(fields: Fields, kind: str) -> ScryptCost | None:
    if kind != PASSPHRASE:
        fields.choice("name", (_HKDF,))
        return None
    fields.choice("name", (_SCRYPT,))
    n = fields.integer("n", 2, SCRYPT_N_MAX)
    if n & (n - 1):
        raise fields.fault("n", "a power of two")
    return ScryptCost(n, fields.integer("r", 1, SCRYPT_R_MAX), fields.integer("p", 1, SCRYPT_P_MAX))


def _encode_json(value: dict[str, object]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
