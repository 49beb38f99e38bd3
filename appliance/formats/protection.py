"""What is promised to a machine, and what the box knows of it: sealed records (format/record.md).

Owns the JSON of both records and the ranges of their members. What a schedule means is in
`appliance.policies`; which points stay is in `formats.policy`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import printable
from appliance.formats.names import format_time, parse_machine_name, parse_time
from appliance.formats.record import RECORD_MAX_BYTES
from appliance.formats.vault_settings import check_vault_name
from appliance.formats.window import Window

TARGET_MIN_S = 60
TARGET_MAX_S = 10 * 366 * 86400
JITTER_MAX_S = 6 * 3600
SCHEDULE_MAX = 16
PRIORITY = 50

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
State = Literal["active", "paused", "retired"]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=r"^[^\x00\r\n]+$")]
Target = Annotated[int, msgspec.Meta(ge=TARGET_MIN_S, le=TARGET_MAX_S)]
Days = Annotated[tuple[Weekday, ...], msgspec.Meta(min_length=1, max_length=7)]
_EVERY_DAY: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Times(msgspec.Struct, frozen=True, tag_field="kind", tag="times"):
    """At these times of day, local time of the box."""

    at: Annotated[tuple[Clock, ...], msgspec.Meta(min_length=1, max_length=96)]
    weekdays: Days = _EVERY_DAY


class Hourly(msgspec.Struct, frozen=True, tag_field="kind", tag="hourly"):
    """Every so many hours from `first_h` up to `last_h`, at `minute`, local time of the box."""

    every_h: Annotated[int, msgspec.Meta(ge=1, le=12)] = 1
    first_h: Annotated[int, msgspec.Meta(ge=0, le=23)] = 0
    last_h: Annotated[int, msgspec.Meta(ge=0, le=23)] = 23
    minute: Annotated[int, msgspec.Meta(ge=0, le=59)] = 0
    weekdays: Days = _EVERY_DAY


class Cron(msgspec.Struct, frozen=True, tag_field="kind", tag="cron"):
    """Five fields, as Debian's cron reads them; also `L`, and `6#1` for the first Saturday."""

    expression: Annotated[str, msgspec.Meta(min_length=9, max_length=200)]


Slots = Times | Hourly | Cron
Schedule = Annotated[tuple[Slots, ...], msgspec.Meta(max_length=SCHEDULE_MAX)]


class Protection(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="protection"):
    """What is promised. Without a `schedule` nothing runs by itself.

    Attributes:
        machine: whose; None for all that have none of their own.
        since: when it was set; slots before that are not missed.
        preset: what it was made from, "" for nothing.
        blackout: when no backup begins, as `Window` spells it.
        jitter_s: a backup begins up to so much after its slot, so that not all begin at once.
        priority: 0 runs first, 100 last.
        vaults: where its points go; None for every vault of the box.
        offsite_rpo_s: how old its newest point in these vaults may be; None: the vault says.
        drill: when its recovery is rehearsed; nothing for never.
        rpo_s: how old its newest good point may be; None: what the schedule comes to.
        rto_s: how long a drill may take.
    """

    format: Literal[1] = 1
    machine: str | None = None
    since: str = "1970-01-01T00:00:00Z"
    preset: Annotated[str, msgspec.Meta(max_length=64)] = ""
    schedule: Schedule = ()
    blackout: Annotated[tuple[Line, ...], msgspec.Meta(max_length=64)] = ()
    jitter_s: Annotated[int, msgspec.Meta(ge=0, le=JITTER_MAX_S)] = 0
    priority: Annotated[int, msgspec.Meta(ge=0, le=100)] = PRIORITY
    vaults: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] | None = None
    offsite_rpo_s: Target | None = None
    drill: Schedule = ()
    rpo_s: Target | None = None
    rto_s: Target | None = None


class MachineRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="machine"):
    """What the box knows of a machine besides its points.

    Attributes:
        sources: what `backup` reads, in the order of its disks; none: somebody else backs it up.
        since: when it was added, paused, resumed or retired; slots before that are not missed.
        allow_inconsistent: whether mounted block devices are read.
    """

    format: Literal[1] = 1
    machine: str
    state: State = "active"
    sources: Annotated[tuple[Line, ...], msgspec.Meta(max_length=64)] = ()
    since: str
    allow_inconsistent: bool = False


NOTHING = Protection()
"""What holds where nobody promised anything."""

_Record = TypeVar("_Record", Protection, MachineRecord)


def encode_protection(protection: Protection) -> bytes:
    """The plaintext of the record. Raises UsageError for what could not be read again."""
    return _encode(protection)


def decode_protection(data: bytes) -> Protection:
    """Read what `encode_protection` wrote. Raises IntegrityError."""
    found = _decode(data, Protection, "protection")
    try:
        check_protection(found)
    except UsageError as error:
        raise IntegrityError(f"protection: {printable(str(error))}") from error
    return found


def check_protection(protection: Protection) -> Protection:
    """`protection`, if its texts are what they should be. Raises UsageError."""
    for text in protection.blackout:
        Window.parse(text)
    for name in protection.vaults or ():
        check_vault_name(name)
    for slots in (*protection.schedule, *protection.drill):
        if isinstance(slots, Hourly) and slots.first_h > slots.last_h:
            raise UsageError("hours go from an earlier to a later one: give two schedules")
    return protection


def encode_machine(machine: MachineRecord) -> bytes:
    """The plaintext of the record. Raises UsageError for what could not be read again."""
    return _encode(machine)


def decode_machine(data: bytes) -> MachineRecord:
    """Read what `encode_machine` wrote. Raises IntegrityError."""
    return _decode(data, MachineRecord, "machine")


def _encode(record: Protection | MachineRecord) -> bytes:
    data = msgspec.json.encode(record)
    try:
        msgspec.json.decode(data, type=type(record))
    except msgspec.ValidationError as error:
        raise UsageError(f"this cannot be kept: {error}") from error
    return data


def _decode(data: bytes, kind: type[_Record], what: str) -> _Record:
    if len(data) > RECORD_MAX_BYTES:
        raise IntegrityError(f"{what}: longer than {RECORD_MAX_BYTES} bytes")
    try:
        found = msgspec.json.decode(data, type=kind)
        if found.machine is not None and parse_machine_name(found.machine) != found.machine:
            raise IntegrityError(f"{what}: 'machine' is not the name of a machine")
    except (ValueError, RecursionError, UsageError) as error:
        raise IntegrityError(f"{what}: {printable(str(error))}") from error
    time = parse_time(found.since)
    if time is None or format_time(time) != found.since:
        raise IntegrityError(f"{what}: 'since' is not spelled as times are")
    return found
