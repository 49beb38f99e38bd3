"""What a box keeps of its vaults, as sealed records (docs/format/record.md and vault.md).

Owns the JSON of a vault's settings and its claim, and the bundle that travels.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.fields import Fields
from appliance.formats.policy import Policy, policy_from_fields
from appliance.formats.record import decode_fields, encode_fields
from appliance.formats.vault import BOX_ID_BYTES, LOCK_DAYS_MAX, VAULT_ID_BYTES, Link
from appliance.formats.vault_names import NUMBER_MAX

NAME_RULE = "1 to 32 of a-z, 0-9 and '-', beginning with a letter"
URL_MAX = 2048
WINDOWS_MAX = 64
BUNDLE_MAX_BYTES = 64 << 20
SHARE_PERCENT = 80
RPO_S = 86_400
GRACE_DAYS = 14

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PLACE = re.compile(
    r"(holds/[0-9a-f]{32}-[0-9TZ]{16}\.hold|policies/([0-9a-f]{32}|default)\.(policy|protection)"
    r"|machines/[0-9a-f]{32}\.machine|notices/[a-z][a-z0-9-]{0,31}\.channel"
    r"|names\.record"
    r"|vaults/[a-z][a-z0-9-]{0,31}\.(vault|credentials)"
    r"|box/(daemon\.toml|plans/\w[\w .-]{0,79}\.toml|presets/\w[\w .-]{0,79}\.json))"
)
_NUMBERS = {
    "lock_days": LOCK_DAYS_MAX,
    "limit_bytes_per_s": 1 << 50,
    "share_percent": 100,
    "budget_bytes_per_day": 1 << 60,
    "rpo_s": 1 << 32,
    "cache_bytes": 1 << 50,
}
# Not in records of before it was made.
_LATER = ("cache_bytes",)


@dataclass(frozen=True)
class VaultSettings:
    """One vault as the box knows it.

    Attributes:
        lock_days: for how long what is written stays locked; 0 without lock.
        limit_bytes_per_s: upload no faster; 0 without limit.
        share_percent: of what the line carries at most.
        windows: when uploading is allowed, as `vault limit --window` takes it; none: always.
        budget_bytes_per_day: upload no more on one day (UTC); 0 without budget.
        rpo_s: how old a machine's newest point in the vault should be at most.
        cache_bytes: keep so much of what was read from it at most; 0: as much as fits well.
        machine_rpo_s: the same for machines that have a target of their own.
        retention: which points stay in the vault; None: all.
    """

    name: str
    url: str
    vault: bytes
    lock_days: int = 0
    limit_bytes_per_s: int = 0
    share_percent: int = SHARE_PERCENT
    windows: tuple[str, ...] = ()
    budget_bytes_per_day: int = 0
    rpo_s: int = RPO_S
    cache_bytes: int = 0
    machine_rpo_s: Mapping[str, int] = field(default_factory=dict)
    retention: Policy | None = None

    def rpo_of(self, machine: str) -> int:
        """The target of one machine, in seconds."""
        return self.machine_rpo_s.get(machine, self.rpo_s)

    def to_json(self) -> dict[str, Any]:
        """As it is sealed, and as `--json` prints it."""
        return {
            "name": self.name,
            "url": self.url,
            "vault": self.vault.hex(),
            **{name: getattr(self, name) for name in _NUMBERS},
            "machine_rpo_s": dict(self.machine_rpo_s),
            "windows": list(self.windows),
            "retention": None if self.retention is None else self.retention.to_json(),
        }


@dataclass(frozen=True)
class Claim:
    """What this box says of itself in a vault, and remembers of what it wrote there.

    Attributes:
        box: who it is.
        epoch: in which it owns the vault; 0: it only reads.
        head: the newest head of the box that it knows.
        next: SHA-256 of the head that it was about to write when it was seen last.
    """

    box: bytes
    epoch: int = 0
    head: Link | None = None
    next: bytes | None = None


def check_vault_name(name: str) -> str:
    """`name`, if a vault can be called so. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"a vault's name is {NAME_RULE}")
    return name


def encode_settings(settings: VaultSettings) -> bytes:
    """The plaintext of a vault's record."""
    return encode_fields("vault", settings.to_json())


def decode_settings(data: bytes) -> VaultSettings:
    """Read what `encode_settings` wrote. Raises IntegrityError."""
    found = decode_fields("vault", data)
    name, url = found.text("name"), found.text("url")
    if not _NAME.fullmatch(name):
        raise found.fault("name", NAME_RULE)
    if len(url) > URL_MAX:
        raise found.fault("url", f"at most {URL_MAX} characters")
    windows = found.items("windows")
    if len(windows) > WINDOWS_MAX or not all(isinstance(window, str) for window in windows):
        raise found.fault("windows", "a list of times")
    numbers = {
        member: found.integer(member, 0, high)
        for member, high in _NUMBERS.items()
        if member not in _LATER or found.get(member) is not None
    }
    own = found.fields("machine_rpo_s")
    retention = None
    if found.get("retention") is not None:
        retention = policy_from_fields(found.fields("retention"))
    return VaultSettings(
        name,
        url,
        found.hex("vault", VAULT_ID_BYTES),
        **numbers,
        windows=tuple(map(str, windows)),
        machine_rpo_s={name: own.integer(name, 0, _NUMBERS["rpo_s"]) for name in own.names()},
        retention=retention,
    )


def encode_claim(claim: Claim) -> bytes:
    """The plaintext of the record of a claim."""
    head = claim.head
    return encode_fields(
        "claim",
        {
            "box": claim.box.hex(),
            "epoch": claim.epoch,
            "counter": 0 if head is None else head.counter,
            "sha256": None if head is None else head.digest.hex(),
            "next": None if claim.next is None else claim.next.hex(),
        },
    )


def decode_claim(data: bytes) -> Claim:
    """Read what `encode_claim` wrote. Raises IntegrityError."""
    found = decode_fields("claim", data)
    counter = found.integer("counter", 0, NUMBER_MAX)
    head = Link(counter, found.hex("sha256", 32)) if counter else None
    return Claim(
        found.hex("box", BOX_ID_BYTES),
        found.integer("epoch", 0, NUMBER_MAX),
        head,
        None if found.get("next") is None else found.hex("next", 32),
    )


def encode_bundle(files: Mapping[str, bytes]) -> bytes:
    """The plaintext of what travels: sealed records, and files of the box, by their place."""
    texts = {place: base64.b64encode(data).decode() for place, data in sorted(files.items())}
    plain = json.dumps({"format": 1, "files": texts}).encode()
    return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(plain)


def decode_bundle(data: bytes) -> dict[str, bytes]:
    """Read what `encode_bundle` wrote; places that no page names are left out.

    Raises IntegrityError.
    """
    try:
        if not 0 <= zstandard.frame_content_size(data) <= BUNDLE_MAX_BYTES:
            raise IntegrityError("settings: they state no size, or more than 64 MiB")
        plain = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("settings: they do not decompress") from error
    bundle = Fields.parse(plain, "settings", BUNDLE_MAX_BYTES)
    bundle.integer("format", 1, 1)
    files = bundle.fields("files")
    try:
        return {
            place: base64.b64decode(files.text(place), validate=True)
            for place in files.names()
            if _PLACE.fullmatch(place)
        }
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("settings: a file is not base64") from error
