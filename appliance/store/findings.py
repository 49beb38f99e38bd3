"""Findings: damage that is known, kept in the store until it is gone (docs/format/findings.md).

Owns `findings.json`. Whoever looks for a base to compare with asks here which points are hurt: what
was taken over from a hurt point unread would stay hurt for ever. Every change is made under the
commit lock. Points are named by their files, never by their machines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from appliance.base import durable
from appliance.base.locks import FileLock
from appliance.formats.names import format_time
from appliance.store.containers import container_name
from appliance.store.layout import Layout

Severity = Literal["critical", "warning", "notice"]
CONTAINER = "container "
POINT = "point file "
VAULT = "vault "
# How long it is told that an object in a vault was damaged and is repaired.
_TOLD_DAYS = 30
_LOSSES_MAX = 20  # of one container in one point; a scrub counts them all
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


@dataclass(frozen=True)
class HurtPoint:
    """What is lost of one point; `key` names its file."""

    key: str
    hurt_bytes: int
    ranges: tuple[tuple[int, int, int], ...]
    """(disk, offset, length), the first of them."""


@dataclass(frozen=True)
class Loss:
    """Bytes that a reader did not get: `key` is the point's, `place` is (disk, offset, length)."""

    key: str
    place: tuple[int, int, int]


@dataclass(frozen=True)
class Finding:
    """One damaged thing. It stays until nothing is hurt by it any more."""

    what: str
    """`container HEX`, `point file KEY` or `vault NAME object KEY`."""
    evidence: str
    noticed: str
    is_quarantined: bool = False
    hurt_points: int = 0
    hurts: tuple[HurtPoint, ...] = ()
    """The first of the points it hurts."""
    repaired: str = ""
    """When a sound copy from elsewhere was put in its place; empty: never."""

    @property
    def severity(self) -> Severity:
        """Critical: points have lost something; notice: nothing is lost or at risk any more."""
        if self.hurt_points or self.what.startswith(POINT):
            return "critical"
        return "notice" if self.is_quarantined or self.repaired else "warning"

    @property
    def advice(self) -> str:
        """What to do."""
        if self.what.startswith(POINT):
            return "put the file back from a copy of the store, or 'holdfast forget' the point"
        if self.hurt_points:
            return (
                "'holdfast verify POINT' names the files; back up the machines again: what is "
                "still on their disks is stored anew, and 'holdfast scrub' tells what healed"
            )
        if self.what.startswith(VAULT):
            return (
                "it was sent again from this box: nothing needs to be done"
                if self.repaired
                else "'holdfast vault verify' on the box that owns the vault sends it again"
            )
        if self.repaired:
            return (
                "repaired from the second copy: look after the disk, then delete the file in "
                "quarantine"
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


def note_vault_object(layout: Layout, vault: str, key: str, now: str, *, is_repaired: bool) -> None:
    """Remember that an object in a vault was damaged; durable on return. `now` as in `noticed`."""
    what = f"{VAULT}{vault} object {key}"
    evidence = f"{key} in vault {vault} is not what was sent"
    finding = Finding(what, evidence, now, repaired=now if is_repaired else "")
    with FileLock(layout.locks / "commit"):
        record = read_findings(layout)
        if record.hurt is None:
            return  # any point may be hurt, and that must stay known
        others = (one for one in record.findings if one.what != what)
        write_findings(layout, Record((*others, finding), record.hurt))


def note_loss(layout: Layout, what: str, evidence: str, now: str, loss: Loss) -> None:
    """Remember that a reader did not get some bytes of a point; durable on return.

    The point is no base any more. The next scrub looks at all of it, and says what is true.
    """
    with FileLock(layout.locks / "commit"):
        record = read_findings(layout)
        if record.hurt is None:
            return  # any point may be hurt, which says more
        others = {finding.what: finding for finding in record.findings}
        finding = others.pop(what, Finding(what, evidence, now))
        hurts = {hurt.key: hurt for hurt in finding.hurts}
        hurt = hurts.get(loss.key, HurtPoint(loss.key, 0, ()))
        if loss.place in hurt.ranges:
            return
        if len(hurt.ranges) < _LOSSES_MAX:
            lost_bytes = hurt.hurt_bytes + loss.place[2]
            hurts[loss.key] = HurtPoint(loss.key, lost_bytes, (*hurt.ranges, loss.place))
        finding = replace(
            finding,
            repaired="",
            hurt_points=max(finding.hurt_points, len(hurts)),
            hurts=tuple(hurts.values()),
        )
        known_bytes = max(record.hurt.get(loss.key, 0), hurts[loss.key].hurt_bytes)
        write_findings(
            layout, Record((*others.values(), finding), {**record.hurt, loss.key: known_bytes})
        )


def vault_findings(record: Record, now: datetime) -> list[Finding]:
    """Those about vaults that still count: a repaired one is told for a month."""
    oldest = format_time((now - timedelta(days=_TOLD_DAYS)).replace(microsecond=0))
    return [
        finding
        for finding in record.findings
        if finding.what.startswith(VAULT) and not (finding.repaired and finding.repaired < oldest)
    ]


def note_doubt(
    layout: Layout, key: str, base_key: str | None, is_needed: Callable[[bytes], bool]
) -> None:
    """Remember that the point about to be written may be hurt, if it may.

    The caller holds the commit lock. While a backup ran, what it counted on may have been
    quarantined, or its base found to be hurt; then the next backup must not build on it.
    """
    record = read_findings(layout)
    is_doubtful = (base_key is not None and record.is_hurt(base_key)) or any(
        is_needed(name) for name in quarantined(layout) if not layout.container(name).exists()
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
        "repaired": finding.repaired,
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
        repaired=str(raw.get("repaired", "")),
        hurt_points=int(raw["hurt_points"]),
        hurts=tuple(hurts),
    )
