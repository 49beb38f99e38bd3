"""A history for disks that are examined day after day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from appliance.formats.disk_pages import DiskPages
from appliance.formats.finding import Finding
from appliance.health.disk_examination import DiskExaminer
from tests.clocks import HandClock

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SUBJECT = "disk HF-0001"


@dataclass
class PlainHistory:
    """Remembers everything."""

    values: dict[tuple[str, str], list[tuple[datetime, float]]] = field(default_factory=dict)

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        self.values.setdefault((subject, what), []).append((when, value))

    def recall(self, subject: str, what: str, since: datetime) -> list[tuple[datetime, float]]:
        return [point for point in self.values.get((subject, what), []) if point[0] >= since]


def examine_days(days: Iterable[tuple[float, DiskPages]]) -> list[Finding]:
    """Findings of the last of some readings, each with the day it was made."""
    clock = HandClock(START)
    examiner = DiskExaminer(PlainHistory(), clock)
    findings: list[Finding] = []
    for day, pages in days:
        clock.time = START + timedelta(days=day)
        findings = examiner.judge(pages, SUBJECT).findings
    return findings


def find(findings: list[Finding], rule: str) -> Finding:
    """The one finding of a rule."""
    found = [finding for finding in findings if finding.rule == rule]
    assert len(found) == 1, [finding.rule for finding in findings]
    return found[0]
