"""What a drill found out, as it is sealed into the store (docs/format/drill.md).

Owns the JSON of the record. Times in seconds (`at_s`) count from the moment the machine's own
recovery began, after its delay.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from appliance.base.errors import IntegrityError
from appliance.base.text import printable
from appliance.formats.names import format_time, parse_time
from appliance.formats.record import DRILL_MAX_BYTES

Verdict = Literal["passed", "failed", "cancelled"]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
DETAIL_MAX = 300


class Phase(msgspec.Struct, frozen=True):
    """Something that was reached, `at_s` after the beginning."""

    name: str
    at_s: NotNegative


class CheckResult(msgspec.Struct, frozen=True):
    """A check: whether it passed, when that was known, and what was seen."""

    kind: str
    title: str
    passed: bool
    at_s: NotNegative
    tries: Count
    detail: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """A file of the drill's folder, and the SHA-256 of its bytes in hex."""

    name: str
    size_bytes: Count
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class MachineResult(msgspec.Struct, frozen=True):
    """One machine of a drill.

    `rto_s` is missing unless it recovered. `rpo_s` is the age of its point when the drill began.
    `began_s` counts from the drill's beginning. `read_bytes` and `reads` are what the guest had
    read of its disks when it was ready.
    """

    name: str
    point: str
    order: Count
    memory_mib: Count
    verdict: Verdict
    began_s: NotNegative
    rpo_s: NotNegative
    rto_s: NotNegative | None = None
    error: str = ""
    accelerator: str = ""
    read_bytes: Count = 0
    reads: Count = 0
    phases: tuple[Phase, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class DrillRecord(msgspec.Struct, frozen=True, tag_field="kind", tag="drill"):
    """A drill. `began` and `ended` are spelled `2026-11-21T09:30:00Z`.

    `rto_s` is from the beginning until the last machine had recovered, delays included.
    """

    format: Literal[1]
    id: str
    plan: str
    plan_sha256: str
    network: str
    began: str
    ended: str
    verdict: Verdict
    program: str
    rto_s: NotNegative | None
    machines: tuple[MachineResult, ...]
    log: Evidence | None = None

    @property
    def points_apart_s(self) -> float:
        """How far apart the points are that were recovered together."""
        ages = [machine.rpo_s for machine in self.machines]
        return max(ages) - min(ages) if ages else 0.0


def encode_drill(record: DrillRecord) -> bytes:
    """The plaintext of the record."""
    return msgspec.json.encode(record)


def decode_drill(data: bytes) -> DrillRecord:
    """Read what `encode_drill` wrote. Raises IntegrityError."""
    if len(data) > DRILL_MAX_BYTES:
        raise IntegrityError(f"drill: longer than {DRILL_MAX_BYTES} bytes")
    try:
        record = msgspec.json.decode(data, type=DrillRecord)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"drill: {printable(str(error))}") from error
    for text in (record.began, record.ended):
        time = parse_time(text)
        if time is None or format_time(time) != text:
            raise IntegrityError("drill: a time is not spelled as times are")
    return record
