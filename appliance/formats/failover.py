"""The note of a failover: what is to be done, what is done, and what undoes it.

Owns the JSON (docs/format/drill.md). It is written after every step, so that whoever comes after a
crash knows where to go on.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from appliance.base.errors import IntegrityError
from appliance.base.text import printable
from appliance.formats.record import DRILL_MAX_BYTES

NOTE_MAX_BYTES = DRILL_MAX_BYTES
StepKind = Literal["start", "check", "name", "name back", "stop"]
State = Literal["waits for approval", "running", "stopped", "done"]


class Step(msgspec.Struct, frozen=True):
    """One thing to do. `item` counts from 0 in the plan's machines, or in its names.

    `before` is what the name said before this failover: addresses, and their time to live.
    """

    kind: StepKind
    item: int
    title: str
    is_done: bool = False
    detail: str = ""
    before: tuple[str, ...] | None = None
    before_ttl_s: int = 0


class FailoverNote(msgspec.Struct, frozen=True, tag_field="kind", tag="failover"):
    """A failover. `plan` is what the plan said when it was prepared; `points` by machine.

    `approvals` are lines of who and when, for the way there and for the way back.
    """

    format: Literal[1]
    id: str
    plan: dict[str, object]
    points: dict[str, str]
    is_way_back: bool
    state: State
    steps: tuple[Step, ...]
    approvals: tuple[str, ...] = ()
    error: str = ""


def encode_failover(note: FailoverNote) -> bytes:
    """The plaintext of the note."""
    return msgspec.json.encode(note)


def decode_failover(data: bytes) -> FailoverNote:
    """Read what `encode_failover` wrote. Raises IntegrityError."""
    if len(data) > NOTE_MAX_BYTES:
        raise IntegrityError(f"failover: longer than {NOTE_MAX_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=FailoverNote)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"failover: {printable(str(error))}") from error
