"""One disk as its judges see it: what it says now, and what it said before.

Owns how evidence is made of a measure. The rules are in `counter_rules`, `limit_rules` and
`verdict_rules`; each is a function of an Exam and of nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.formats.disk_report import Disk
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.health.disk_measures import Measure
from appliance.health.trends import Series, shorten


@dataclass(frozen=True)
class Exam:
    """What is known of one disk.

    Attributes:
        subject: `disk SERIAL`.
        history: key of a measure -> its values, oldest first, the present one last.
        faults: pages that did not come -> why.
    """

    subject: str
    now: datetime
    disk: Disk
    measures: Mapping[str, Measure]
    history: Mapping[str, Series] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def value(self, key: str) -> float | None:
        """The present value of a measure; None where the disk does not say."""
        measure = self.measures.get(key)
        return None if measure is None else measure.value

    def series(self, key: str) -> Series:
        """Values of a measure over time; at least the present one where the disk says it."""
        known = self.history.get(key, ())
        value = self.value(key)
        if value is None or (known and known[-1][0] >= self.now):
            return known
        return [*known, (self.now, value)]

    def evidence(self, key: str, limit: str = "") -> Evidence:
        """A measure and how it came to be."""
        measure = self.measures[key]
        return Evidence(measure.what, shorten(self.series(key)), measure.unit, limit)

    def said(self, what: str, value: float | str, unit: str = "", limit: str = "") -> Evidence:
        """Something that has no history."""
        return Evidence(what, ((self.now, value),), unit, limit)

    def finding(
        self,
        rule: str,
        severity: Severity,
        summary: str,
        evidence: tuple[Evidence, ...],
        *,
        consequence: str,
        action: str,
        measure: float = 0.0,
    ) -> Finding:
        """A finding about this disk."""
        return Finding(
            self.subject, f"disk.{rule}", severity, summary, evidence, consequence, action, measure
        )
