"""Findings: damage that is known, kept in the store until it is gone (docs/format/findings.md).

Owns `findings.json`. Whoever looks for a base to compare with asks here which points are hurt: what
was taken over from a hurt point unread would stay hurt for ever. Every change is made under the
commit lock. Points are named by their files, never by their machines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from appliance.base import durable
from appliance.store.containers import container_name
from appliance.store.layout import Layout

Severity = Literal["critical", "warning", "notice"]
CONTAINER = "container "
POINT = "point file "
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class HurtPoint:
    """What is lost of one point; `key` names its file."""

    key: str
    hurt_bytes: int
    ranges: tuple[tuple[int, int, int], ...]
    """(disk, offset, length), the first of them."""


@dataclass(frozen=True)
class Finding:
    """One damaged thing. It stays until nothing is hurt by it any more."""

    what: str
    """`container HEX` or `point file KEY`."""
    evidence: str
    noticed: str
    is_quarantined: bool = False
    hurt_points: int = 0
    hurts: tuple[HurtPoint, ...] = ()
    """The first of the points it hurts."""

    @property
    def severity(self) -> Severity:
        """Critical: points have lost something; notice: nothing is lost or at risk any more."""
        if self.hurt_points or self.what.startswith(POINT):
            return "critical"
        return "notice" if self.is_quarantined else "warning"

    @property
    def advice(self) -> str:
        """What to do."""
        if self.what.startswith(POINT):
            return "put the file back from a copy of the store, or 'holdfast forget' the point"
        if self.hurt_points:
            return (
                "back up the machines again: what is still on their disks is stored anew; "
                "'holdfast scrub' then tells what healed"
            )
        if self.is_quarantined:
            return "nothing is lost: look after the disk, then delete the file in quarantine"
        return "look after the disk; 'holdfast scrub' reads it again"


@dataclass(frozen=True)
class Record:
    """All that is known."""

    findings: tuple[Finding, ...] = ()
    hurt: Mapping[str, int] | None = None
    """Key of a point -> bytes lost, 0 where nobody looked yet; None: any point may be hurt."""

    def is_hurt(self, key: str) -> bool:
        """Whether a point must not be the base of another."""
        return self.hurt is None or key in self.hurt


EMPTY = Record((), {})


def read_findings(layout: Layout) -> Record:
    """What is known. A damaged file means that any point may be hurt, until the next scrub."""
    try:
        data = layout.findings.read_bytes()
    except FileNotFoundError:
        return EMPTY
    except OSError:
        return Record()
    return decode_findings(data)


def decode_findings(data: bytes) -> Record:
    """What `write_findings` wrote; of anything else nothing is believed."""
    try:
        raw = json.loads(data)
        findings = tuple(_decode(item) for item in raw["findings"])
        return Record(findings, {str(key): int(lost) for key, lost in raw["hurt"].items()})
    except _MALFORMED:
        return Record()


def write_findings(layout: Layout, record: Record) -> None:
    """Replace all, durably. The caller holds the commit lock."""
    if not record.findings and record.hurt == {}:
        durable.remove_file(layout.findings)
        return
    text = json.dumps(
        {
            "format": 1,
            "findings": [_encode(finding) for finding in record.findings],
            "hurt": dict(record.hurt or {}),
        }
    )
    durable.write_file(layout.findings, text.encode())


def note_doubt(
    layout: Layout, key: str, base_key: str | None, is_needed: Callable[[bytes], bool]
) -> None:
    """Remember that the point about to be written may be hurt, if it may.

    The caller holds the commit lock. While a backup ran, what it counted on may have been
    quarantined, or its base found to be hurt; then the next backup must not build on it.
    """
    record = read_findings(layout)
    is_doubtful = (base_key is not None and record.is_hurt(base_key)) or any(
        is_needed(name) for name in quarantined(layout)
    )
    if is_doubtful and record.hurt is not None:
        write_findings(layout, Record(record.findings, {**record.hurt, key: 0}))


def quarantined(layout: Layout) -> list[bytes]:
    """The containers in quarantine."""
    names = (container_name(path.name) for path in layout.quarantine.iterdir())
    return [name for name in names if name is not None]


def _encode(finding: Finding) -> dict[str, Any]:
    return {
        "what": finding.what,
        "evidence": finding.evidence,
        "noticed": finding.noticed,
        "quarantined": finding.is_quarantined,
        "hurt_points": finding.hurt_points,
        "hurts": [
            {"point": hurt.key, "hurt_bytes": hurt.hurt_bytes, "ranges": hurt.ranges}
            for hurt in finding.hurts
        ],
    }


def _decode(raw: dict[str, Any]) -> Finding:
    hurts = []
    for hurt in raw["hurts"]:
        ranges = tuple((int(disk), int(at), int(length)) for disk, at, length in hurt["ranges"])
        hurts.append(HurtPoint(str(hurt["point"]), int(hurt["hurt_bytes"]), ranges))
    return Finding(
        what=str(raw["what"]),
        evidence=str(raw["evidence"]),
        noticed=str(raw["noticed"]),
        is_quarantined=bool(raw["quarantined"]),
        hurt_points=int(raw["hurt_points"]),
        hurts=tuple(hurts),
    )
