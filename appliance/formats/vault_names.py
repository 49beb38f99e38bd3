"""Keys of the objects in a vault: docs/format/vault.md. Owns their spelling, nothing else."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple

Kind = Literal["containers", "deltas", "boots", "points", "bills", "settings", "wraps"]
KINDS: tuple[Kind, ...] = (
    "containers",
    "deltas",
    "boots",
    "points",
    "bills",
    "settings",
    "wraps",
)
VAULT_KEY = "vault.json"
OWNERS = "owner/"
HEADS = "heads/"
ADOPTED = "adopted/"
BOX = "box"
NUMBER_MAX = 10**10 - 1

_HASHED = re.compile(rf"({'|'.join(KINDS)})/([0-9a-f]{{2}})/([0-9a-f]{{64}})")
_OWNER = re.compile(r"owner/([0-9]{10})")
_HEAD = re.compile(r"heads/([0-9a-f]{32}|box)/([0-9]{10})")


class HashedKey(NamedTuple):
    """An object that is named by its SHA-256."""

    kind: Kind
    digest: bytes

    def __str__(self) -> str:
        return object_key(self.kind, self.digest)


class HeadKey(NamedTuple):
    """A head; `machine` is the machine's folder, or BOX."""

    machine: str
    counter: int

    def __str__(self) -> str:
        return f"{HEADS}{self.machine}/{self.counter:010d}"


def object_key(kind: Kind, digest: bytes) -> str:
    """The key of the object of `kind` with this SHA-256."""
    name = digest.hex()
    return f"{kind}/{name[:2]}/{name}"


def name_object(kind: Kind, data: bytes) -> HashedKey:
    """The key that `data` has as an object of `kind`."""
    return HashedKey(kind, hashlib.sha256(data).digest())


def parse_object_key(key: str) -> HashedKey | None:
    """What a key says that names its object by hash; None for any other key."""
    found = _HASHED.fullmatch(key)
    if found is None or not found[3].startswith(found[2]):
        return None
    kind = next(kind for kind in KINDS if kind == found[1])
    return HashedKey(kind, bytes.fromhex(found[3]))


def parse_head_key(key: str) -> HeadKey | None:
    """What the key of a head says; None for any other key."""
    found = _HEAD.fullmatch(key)
    return HeadKey(found[1], int(found[2])) if found and int(found[2]) else None


def owner_key(epoch: int) -> str:
    """The key of the owner of `epoch`."""
    return f"{OWNERS}{epoch:010d}"


def parse_owner_key(key: str) -> int | None:
    """The epoch that the key of an owner says; None for any other key."""
    found = _OWNER.fullmatch(key)
    return int(found[1]) if found and int(found[1]) else None
