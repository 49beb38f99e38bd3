"""Examines disks: asks one, remembers its numbers, and says what is wrong with it.

Owns which commands a disk is asked by, and what is said of one that does not answer. Safe to call
for many disks at once, each from a thread of its own: every disk has its own probe and deadline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError
from appliance.formats.disk_pages import DiskPages
from appliance.formats.disk_pages import Protocol as DiskProtocol
from appliance.formats.disk_report import Disk, disk_to_json, parse_disk
from appliance.formats.finding import Evidence, Finding, sort_findings
from appliance.health.counter_rules import judge_counters
from appliance.health.disk_exam import Exam
from appliance.health.disk_measures import measure_disk
from appliance.health.disk_reading import DiskAsleepError, read_disk
from appliance.health.limit_rules import judge_spare, judge_temperature, judge_wear
from appliance.health.verdict_rules import (
    judge_pages,
    judge_self_tests,
    judge_status,
    judge_thresholds,
)
from appliance.native.smart import Command, DiskProbe, Operation, Result, Transport

HISTORY = timedelta(days=365)
_RULES = (
    *(judge_status, judge_thresholds, judge_counters, judge_wear, judge_spare),
    *(judge_temperature, judge_self_tests, judge_pages),
)
_NVME_NAMESPACE = re.compile(r"nvme\d+n(\d+)$")
_BRIDGED = ("usb", "")
_ATA_VENDOR = b"ATA     "
_INQUIRY_BYTES = 36


class History(Protocol):
    """What was measured before."""

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        """Remember a value."""

    def recall(self, subject: str, what: str, since: datetime) -> Sequence[tuple[datetime, float]]:
        """Values of `what`, oldest first."""


@dataclass(frozen=True)
class Examination:
    """What came of it. `disk` is None for a disk that sleeps or said nothing."""

    findings: list[Finding]
    pages: DiskPages | None = None
    disk: Disk | None = None
    is_asleep: bool = False
    faults: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What the disk said, by the keys that smartctl gives it."""
        return disk_to_json(self.disk) if self.disk is not None else {}


class DiskExaminer:
    """Examines any number of disks."""

    def __init__(
        self,
        history: History,
        clock: Clock,
        open_transport: Callable[[str], DiskProbe] = DiskProbe,
    ) -> None:
        self._history = history
        self._clock = clock
        self._open_transport = open_transport

    def examine(self, path: str, transport: str, subject: str) -> Examination:
        """Ask the disk at `path`; `transport` is what udev calls it: nvme, sata, sas, usb, ...

        Takes as long as the disk takes, and gives up at the deadline of each command.
        """
        with self._open_transport(path) as probe:
            protocol = choose_protocol(probe, transport)
            namespace = _NVME_NAMESPACE.search(path)
            try:
                pages = read_disk(probe, protocol, nsid=int(namespace[1]) if namespace else 1)
            except DiskAsleepError:
                return Examination([], is_asleep=True)
        return self.judge(pages, subject)

    def judge(self, pages: DiskPages, subject: str) -> Examination:
        """What the pages of one reading, and those before, say."""
        now = self._clock.now()
        try:
            disk = parse_disk(pages)
        except IntegrityError:
            return Examination(_judge_silence(pages, subject, now), pages)
        measures = measure_disk(disk)
        history = {}
        for key, measure in measures.items():
            self._history.note(subject, key, now, measure.value)
            history[key] = self._history.recall(subject, key, now - HISTORY)
        exam = Exam(subject, now, disk, measures, history, pages.faults)
        found = [finding for rule in _RULES for finding in rule(exam)]
        return Examination(
            sort_findings([*found, *_judge_silence(pages, subject, now)]), pages, disk
        )


def choose_protocol(transport: Transport, name: str) -> DiskProtocol:
    """By which commands a disk is asked; bridges are asked who is behind them."""
    if name == "nvme":
        return "nvme"
    if name in ("sata", "ata"):
        return "ata"
    if name in _BRIDGED:
        if transport.send(Command(Operation.ATA_IDENTIFY)).result is Result.OK:
            return "ata"
        return "scsi"
    inquiry = transport.send(Command(Operation.SCSI_INQUIRY, length_bytes=_INQUIRY_BYTES))
    return "ata" if inquiry.data[8:16] == _ATA_VENDOR else "scsi"


def _judge_silence(pages: DiskPages, subject: str, now: datetime) -> list[Finding]:
    """A disk that hangs or is gone; one that only lacks health pages is no finding."""
    faults = set(pages.faults.values())
    if faults & {"hung", "timeout"}:
        return [
            Finding(
                subject,
                "disk.hung",
                "critical" if "hung" in faults else "warning",
                "it does not answer" if "hung" in faults else "it did not answer in time",
                (Evidence("health command", ((now, "no answer in time"),)),),
                consequence="Everything that waits for it waits; an array will throw it out.",
                action="Reseat it; if it hangs again: 'holdfast disks replace'.",
            )
        ]
    if "gone" in faults:
        return [
            Finding(
                subject,
                "disk.gone",
                "critical",
                "it vanished while it was asked",
                (Evidence("health command", ((now, "no such device"),)),),
                consequence="Nothing on it can be read.",
                action="Reseat it and check its power and its cable.",
            )
        ]
    return []
