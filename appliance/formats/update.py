"""Update files, and what a box notes of its releases (docs/format/update.md).

Owns bytes and the order of versions. It verifies no signature and touches no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import BinaryIO

from appliance.base.errors import IntegrityError
from appliance.formats.fields import Fields
from appliance.formats.names import parse_time

MAGIC = b"HFUPDAT1"
SUFFIX = ".update"
SIGNATURE_BYTES = 64
HEADER_MAX_BYTES = 64 << 10
PAYLOAD_MAX_BYTES = 512 << 20
TREE_MAX_BYTES = 4 << 30
TREE_MAX_FILES = 200_000
NOTES_MAX = 4000
EVENTS_MAX = 100
NOTE_MAX_BYTES = 64 << 10
TRIES_MAX = 9
READY_WITHIN_MAX_S = 3600
OUTCOMES = ("running", "failed")

_FORMAT = 1
_LENGTH_BYTES = 4
_CONTEXT = b"holdfast update v1\n"
_NUMBER = "(?:0|[1-9][0-9]{0,5})"
_VERSION = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{1,3}}")
_WORD = re.compile(r"[a-z0-9_-]{1,32}")
_KEY_BYTES = 8


@dataclass(frozen=True)
class UpdateHeader:
    """What an update is.

    Attributes:
        version: of the release, as `0.2.0`.
        follows: the least version that it may follow.
        machine, python: what it runs on: `x86_64`, `cpython-311`.
        built: as `format_time` writes it.
        notes: what is new, for people.
        formats: name of a format -> the newest number that this release reads and writes.
        key: fingerprint of the key that signs.
        payload_sha256, payload_bytes: of what follows the signature.
        tree_bytes, tree_files: what it becomes when it is unpacked.
    """

    version: str
    follows: str
    machine: str
    python: str
    built: str
    notes: str
    formats: Mapping[str, int]
    key: str
    payload_sha256: bytes
    payload_bytes: int
    tree_bytes: int
    tree_files: int


@dataclass(frozen=True)
class Head:
    """Everything before the payload: the header, its bytes, and the signature over them."""

    header: UpdateHeader
    data: bytes
    signature: bytes

    @property
    def size_bytes(self) -> int:
        """Where the payload begins."""
        return len(MAGIC) + _LENGTH_BYTES + len(self.data) + SIGNATURE_BYTES


@dataclass(frozen=True)
class Trial:
    """A release that has yet to show that it becomes ready.

    Attributes:
        previous: what is gone back to.
        began: as `format_time` writes it.
        tries_left: so often it may still be started.
        ready_within_s: from its start; after that it is ended.
    """

    version: str
    previous: str
    began: str
    tries_left: int
    ready_within_s: int


@dataclass(frozen=True)
class Event:
    """What became of a release. `began` names its trial; empty for the first one of a box."""

    time: str
    version: str
    previous: str
    outcome: str
    began: str


def version_key(text: str) -> tuple[int, ...]:
    """What versions are compared by. Raises IntegrityError for a text that is no version."""
    if not _VERSION.fullmatch(text):
        raise IntegrityError("a version has two to four numbers, as 1.2.0")
    numbers = [int(part) for part in text.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


def signed_bytes(header: bytes) -> bytes:
    """What is signed for the header in these bytes."""
    return _CONTEXT + header


def encode_header(header: UpdateHeader) -> bytes:
    """The bytes of a header: JSON in ASCII, members in order, no spaces."""
    members = asdict(header) | {
        "formats": dict(sorted(header.formats.items())),
        "payload_sha256": header.payload_sha256.hex(),
    }
    return json.dumps({"format": _FORMAT, **members}, separators=(",", ":")).encode("ascii")


def join_head(data: bytes, signature: bytes) -> bytes:
    """The bytes before the payload, of a header's bytes and the signature over them."""
    return MAGIC + len(data).to_bytes(_LENGTH_BYTES, "little") + data + signature


def read_head(file: BinaryIO) -> Head:
    """The head at the beginning of `file`, not verified. Raises IntegrityError."""
    if file.read(len(MAGIC)) != MAGIC:
        raise IntegrityError("this is no update of Holdfast")
    size_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if size_bytes > HEADER_MAX_BYTES:
        raise IntegrityError(f"its header is longer than {HEADER_MAX_BYTES} bytes")
    data, signature = file.read(size_bytes), file.read(SIGNATURE_BYTES)
    if len(data) < size_bytes or len(signature) < SIGNATURE_BYTES:
        raise IntegrityError("it ends within its header")
    return Head(decode_header(data), data, signature)


def decode_header(data: bytes) -> UpdateHeader:
    """Read what `encode_header` wrote. Raises IntegrityError."""
    fields = Fields.parse(data, "update", HEADER_MAX_BYTES)
    fields.integer("format", _FORMAT, _FORMAT)
    notes = fields.text("notes")
    if len(notes) > NOTES_MAX:
        raise fields.fault("notes", f"at most {NOTES_MAX} characters")
    for name in ("machine", "python"):
        if not _WORD.fullmatch(fields.text(name)):
            raise fields.fault(name, "a word")
    formats = fields.fields("formats")
    return UpdateHeader(
        version=_version(fields, "version"),
        follows=_version(fields, "follows"),
        machine=fields.text("machine"),
        python=fields.text("python"),
        built=_time(fields, "built"),
        notes=notes,
        formats={name: formats.integer(name, 1) for name in formats.names()},
        key=fields.hex("key", _KEY_BYTES).hex(),
        payload_sha256=fields.hex("payload_sha256", 32),
        payload_bytes=fields.integer("payload_bytes", 1, PAYLOAD_MAX_BYTES),
        tree_bytes=fields.integer("tree_bytes", 1, TREE_MAX_BYTES),
        tree_files=fields.integer("tree_files", 1, TREE_MAX_FILES),
    )


def encode_trial(trial: Trial) -> bytes:
    """The bytes of `trial.json`."""
    return json.dumps(asdict(trial)).encode("ascii")


def decode_trial(data: bytes) -> Trial:
    """Read what `encode_trial` wrote. Raises IntegrityError."""
    fields = Fields.parse(data, "trial", NOTE_MAX_BYTES)
    return Trial(
        _version(fields, "version"),
        _version(fields, "previous"),
        _time(fields, "began"),
        fields.integer("tries_left", 0, TRIES_MAX),
        fields.integer("ready_within_s", 1, READY_WITHIN_MAX_S),
    )


def encode_history(events: list[Event]) -> bytes:
    """The bytes of `history.json`: the newest events, oldest first."""
    return json.dumps({"events": [asdict(event) for event in events[-EVENTS_MAX:]]}).encode("ascii")


def decode_history(data: bytes) -> list[Event]:
    """Read what `encode_history` wrote. Raises IntegrityError."""
    found = []
    for item in Fields.parse(data, "history", NOTE_MAX_BYTES).items("events"):
        fields = Fields(item, "history")
        began, previous = fields.text("began"), fields.text("previous")
        found.append(
            Event(
                _time(fields, "time"),
                _version(fields, "version"),
                previous and _version(fields, "previous"),
                fields.choice("outcome", OUTCOMES),
                began and _time(fields, "began"),
            )
        )
    return found


def _version(fields: Fields, name: str) -> str:
    text = fields.text(name)
    try:
        version_key(text)
    except IntegrityError:
        raise fields.fault(name, "a version") from None
    return text


def _time(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if parse_time(text) is None:
        raise fields.fault(name, "a time")
    return text
