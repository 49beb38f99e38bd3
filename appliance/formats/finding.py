"""Findings: what a person should know about a disk, an array or the box, with the reasons.

Owns the shape of a finding and its JSON. What damage the store knows of is in
`appliance.store.findings`; which rules make a finding of a disk is in `appliance.health`. Never
decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any, Literal, cast

from appliance.formats.fields import Fields
from appliance.formats.names import format_time, parse_time

Severity = Literal["critical", "warning", "notice"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "notice")
"""Worst first: act now; act soon; good to know."""


@dataclass(frozen=True)
class Evidence:
    """One thing that was measured, as it was over time.

    Attributes:
        what: the attribute, named as its standard names it.
        values: (when, value), oldest first; the last is the present one.
        unit: of the values, "" for counts and texts.
        limit: what the value is held against, as a person reads it; "" where there is none.
    """

    what: str
    values: tuple[tuple[datetime, float | str], ...]
    unit: str = ""
    limit: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is kept, and as `--json` prints it."""
        values = [
            {"time": format_time(when.replace(microsecond=0)), "value": value}
            for when, value in self.values
        ]
        return {"what": self.what, "values": values, "unit": self.unit, "limit": self.limit}


@dataclass(frozen=True)
class Finding:
    """One verdict. `subject` and `rule` are its identity, over restarts too.

    Attributes:
        subject: kind and name: `disk SERIAL`, `array md0`, `box`, `filesystem /srv`.
        rule: what was judged, stable, as in `disk.pending-sectors`.
        severity: one of SEVERITIES.
        summary: one line: what is wrong with what.
        evidence: why this is said.
        consequence: what happens if nobody does anything.
        action: what to do.
        measure: grows as it gets worse within one severity: a count, a rate, per cent used.
    """

    subject: str
    rule: str
    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...]
    consequence: str
    action: str
    measure: float = 0.0

    @property
    def key(self) -> str:
        """The identity as one text."""
        return f"{self.subject}: {self.rule}"

    def is_worse_than(self, severity: Severity, measure: float) -> bool:
        """Whether it is more severe than that, or as severe with a higher measure."""
        mine, other = SEVERITIES.index(self.severity), SEVERITIES.index(severity)
        return mine < other or (mine == other and self.measure > measure)

    def to_json(self) -> dict[str, Any]:
        """As it is kept, and as `--json` prints it."""
        return {
            "subject": self.subject,
            "rule": self.rule,
            "severity": self.severity,
            "summary": self.summary,
            "evidence": [item.to_json() for item in self.evidence],
            "consequence": self.consequence,
            "action": self.action,
            "measure": self.measure,
        }


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first, then by subject and rule: the same order everywhere."""
    return sorted(findings, key=lambda item: (SEVERITIES.index(item.severity), item.key))


def decode_finding(value: object) -> Finding:
    """Read what `Finding.to_json` gave. Raises IntegrityError for anything else."""
    fields = Fields(value, "finding")
    return Finding(
        subject=fields.text("subject"),
        rule=fields.text("rule"),
        severity=cast(Severity, fields.choice("severity", SEVERITIES)),
        summary=fields.text("summary"),
        evidence=tuple(_decode_evidence(item) for item in fields.items("evidence")),
        consequence=fields.text("consequence"),
        action=fields.text("action"),
        measure=_decode_number(fields, "measure"),
    )


def _decode_evidence(value: object) -> Evidence:
    fields = Fields(value, "evidence")
    values = [Fields(item, "value of evidence") for item in fields.items("values")]
    return Evidence(
        what=fields.text("what"),
        values=tuple((_decode_time(item), _decode_value(item)) for item in values),
        unit=fields.text("unit"),
        limit=fields.text("limit"),
    )


def _decode_time(fields: Fields) -> datetime:
    when = parse_time(fields.text("time"))
    if when is None:
        raise fields.fault("time", "a time")
    return when


def _decode_value(fields: Fields) -> float | str:
    value = fields.get("value")
    return value if isinstance(value, str) else _decode_number(fields, "value")


def _decode_number(fields: Fields, name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise fields.fault(name, "a number")
    return value
