"""Sealed records: small files that say what must not be deleted yet (docs/format/record.md).

Owns the header of such a file, and the JSON of holds, trash notes, backup notes and the clock's
mark; policies are in `formats.policy`. It never encrypts: `appliance.keys` does.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import datetime

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.fields import Fields
from appliance.formats.names import PointName, format_time, parse_machine_name, parse_time

RECORD_HEADER_BYTES = 32
RECORD_MAX_BYTES = 64 << 10
DRILL_MAX_BYTES = 1 << 20  # of a hundred machines, each with its checks
REASON_MAX = 1000
AT_ONCE = "at once"

_FORMAT = 1
_HEADER = struct.Struct("<8sH6s16s")
_MAGIC = b"HFRECRD1"
_VERSION = 1
_SALT_BYTES = 16


@dataclass(frozen=True)
class Hold:
    """A point that nobody may forget; without `until`, before it is released by hand."""

    point: PointName
    made: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True)
class TrashNote:
    """When a point was forgotten and when it may go; without `ends` it may go at once."""

    point: PointName
    forgotten: datetime
    ends: datetime | None


@dataclass(frozen=True)
class BackupNote:
    """A machine's backup that made no point yet: its first attempt, and its last one."""

    machine: str
    began_ns: int
    renewed: datetime


@dataclass(frozen=True)
class ClockMark:
    """The time that is believed: seen at `monotonic_s` seconds of boot `boot`."""

    time: datetime
    boot: str
    monotonic_s: float


def encode_record_header(salt: bytes) -> bytes:
    """The first 32 bytes of a record's file; `salt` is 16 random bytes."""
    if len(salt) != _SALT_BYTES:
        raise ValueError(f"a record's salt has {_SALT_BYTES} bytes")
    return _HEADER.pack(_MAGIC, _VERSION, b"", salt)


def decode_record_header(data: bytes) -> bytes:
    """The salt that the first 32 bytes state. Raises IntegrityError if no record begins so."""
    if len(data) < RECORD_HEADER_BYTES:
        raise IntegrityError(f"record: {len(data)} bytes are too short")
    magic, version, zero, salt = _HEADER.unpack_from(data)
    if magic != _MAGIC or any(zero):
        raise IntegrityError("record: the header is not that of a record")
    if version != _VERSION:
        raise IntegrityError(f"record: version {version} is unknown")
    return bytes(salt)


def encode_fields(kind: str, members: dict[str, object]) -> bytes:
    """The plaintext of a record of `kind`."""
    return encode_json({"format": _FORMAT, "kind": kind, **members})


def encode_json(members: dict[str, object]) -> bytes:
    """The plaintext with these members."""
    return json.dumps(members).encode()


def decode_fields(kind: str, data: bytes) -> Fields:
    """The members of a record, which must be of `kind`. Raises IntegrityError."""
    fields = Fields.parse(data, kind, RECORD_MAX_BYTES)
    fields.integer("format", _FORMAT, _FORMAT)
    fields.choice("kind", (kind,))
    return fields


# ---- the kinds ----


def encode_hold(hold: Hold) -> bytes:
    """The plaintext of a hold."""
    return encode_fields(
        "hold",
        {
            "point": str(hold.point),
            "made": format_time(hold.made),
            "until": None if hold.until is None else format_time(hold.until),
            "reason": hold.reason,
        },
    )


def decode_hold(data: bytes) -> Hold:
    """Read what `encode_hold` wrote. Raises IntegrityError."""
    fields = decode_fields("hold", data)
    return Hold(
        _read_point(fields),
        read_time(fields, "made"),
        None if fields.get("until") is None else read_time(fields, "until"),
        fields.text("reason"),
    )


def encode_trash_note(note: TrashNote) -> bytes:
    """The plaintext of a trash note."""
    return encode_fields(
        "trash",
        {
            "point": str(note.point),
            "forgotten": format_time(note.forgotten),
            "ends": AT_ONCE if note.ends is None else format_time(note.ends),
        },
    )


def decode_trash_note(data: bytes) -> TrashNote:
    """Read what `encode_trash_note` wrote. Raises IntegrityError."""
    fields = decode_fields("trash", data)
    is_consented = fields.text("ends") == AT_ONCE
    ends = None if is_consented else read_time(fields, "ends")
    return TrashNote(_read_point(fields), read_time(fields, "forgotten"), ends)


def encode_backup_note(note: BackupNote) -> bytes:
    """The plaintext of a backup note."""
    return encode_fields(
        "backup",
        {
            "machine": note.machine,
            "began_ns": note.began_ns,
            "renewed": format_time(note.renewed),
        },
    )


def decode_backup_note(data: bytes) -> BackupNote:
    """Read what `encode_backup_note` wrote. Raises IntegrityError."""
    fields = decode_fields("backup", data)
    return BackupNote(
        read_machine(fields), fields.integer("began_ns"), read_time(fields, "renewed")
    )


def encode_clock_mark(mark: ClockMark) -> bytes:
    """The plaintext of the clock's mark."""
    return encode_fields(
        "clock",
        {
            "time": format_time(mark.time),
            "boot": mark.boot,
            "monotonic_s": mark.monotonic_s,
        },
    )


def decode_clock_mark(data: bytes) -> ClockMark:
    """Read what `encode_clock_mark` wrote. Raises IntegrityError."""
    fields = decode_fields("clock", data)
    return ClockMark(read_time(fields, "time"), fields.text("boot"), fields.seconds("monotonic_s"))


def read_time(fields: Fields, name: str) -> datetime:
    """Member `name`, a time."""
    time = parse_time(fields.text(name))
    if time is None:
        raise fields.fault(name, "a time")
    return time


def read_machine(fields: Fields) -> str:
    """Member `machine`, a machine's name."""
    machine = fields.text("machine")
    try:
        if parse_machine_name(machine) == machine:
            return machine
    except UsageError:
        pass
    raise fields.fault("machine", "the name of a machine")


def _read_point(fields: Fields) -> PointName:
    try:
        return PointName.parse(fields.text("point"))
    except UsageError as error:
        raise fields.fault("point", "the name of a point") from error
