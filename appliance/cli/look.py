"""One look at everything, as the commands take it, and findings in words.

Owns what is put together for a look: the catalog, the store, and who else has findings.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError
from appliance.catalog.catalog import Catalog
from appliance.catalog.disk_seats import DiskSeats
from appliance.catalog.finding_log import FindingLog
from appliance.catalog.measurements import Measurements
from appliance.catalog.point_list import list_points
from appliance.cli.access_health import judge_access, judge_own_releases
from appliance.cli.machine_health import SUBJECTS, judge_machines, judge_notices
from appliance.cli.session import Session
from appliance.formats.finding import Finding, sort_findings
from appliance.formats.names import PointName
from appliance.health.disk_examination import DiskExaminer
from appliance.health.kernel_tree import KernelTree
from appliance.health.stakes import Stake, find_stakes
from appliance.health.survey import Report, Survey
from appliance.health.udev import read_properties
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_findings import judge_vms
from appliance.recovery.vms import list_vms

BROKEN = ("critical", "warning")
"""Severities for which somebody has to do something."""


@dataclass(frozen=True)
class Look:
    """A report, what is at stake, and which findings somebody knows of."""

    report: Report
    stakes: list[Stake]
    acknowledged: frozenset[str]

    def findings(self, *, is_all: bool = False) -> list[Finding]:
        """Those that nobody acknowledged, or all."""
        found = self.report.findings
        return [item for item in found if is_all or item.key not in self.acknowledged]

    @property
    def is_broken(self) -> bool:
        """Whether somebody has to do something."""
        return any(item.severity in BROKEN for item in self.findings())

    def to_json(self, *, is_all: bool) -> dict[str, Any]:
        """As `--json` prints it."""
        report = self.report
        return {
            "healthy": not self.is_broken,
            "findings": [
                {**finding_json(item), "acknowledged": item.key in self.acknowledged}
                for item in self.findings(is_all=is_all)
            ],
            "at_stake": [stake.to_json() for stake in self.stakes],
            "disks": len(report.inventory.disks),
            "arrays": [item.to_json() for item in report.arrays],
            "pools": [item.to_json() for item in report.pools],
            "box": report.box.to_json(),
            "wants_stop": report.wants_stop,
        }


class StoreCopies:
    """Where the points of this box are, as the box remembers its vaults."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def only_here(self) -> list[str]:
        """Names of points; without the key nobody knows their names."""
        try:
            if not self._session.has_store():
                return []
            points = self._session.store.points
            with Catalog(self._session.state / "catalog.db") as catalog:
                found = list_points(self._session.store, catalog)
            return [
                point.name
                for point in found.points
                if not points.remote.where(points.file_of(PointName.parse(point.name)).key)
            ]
        except HoldfastError:
            return []


def take_look(session: Session) -> Look:
    """Look at everything once, and remember what was found."""
    tree = KernelTree()
    with suppress(HoldfastError):  # without a place to remember, trends are unknown
        make_directory(session.state)
    with Catalog(session.state / "catalog.db") as catalog:
        history = Measurements(catalog)
        examiner = DiskExaminer(history, session.clock)
        survey = Survey(
            tree,
            session.clock,
            history,
            lambda disk: examiner.examine(disk.path, disk.transport, disk.subject),
            read_properties,
            seats=DiskSeats(catalog),
        )
        log = FindingLog(catalog)
        began = log.newest()
        report = survey.run()
        report = replace(report, findings=sort_findings([*report.findings, *judge_access(session)]))
        found = judge_machines(session, catalog)
        vms = judge_vms(list_vms(Runtime(session.state)), session.clock.now())
        more = [*(found or ()), *judge_notices(session), *vms, *judge_own_releases(session)]
        report = replace(report, findings=sort_findings([*report.findings, *more]))
        log.observe(
            report.findings,
            report.when,
            looked_at=lambda subject: (
                subject not in report.unseen
                and (found is not None or not subject.startswith(SUBJECTS))
            ),
            began=began,
        )
        known = log.acknowledged_keys()
    stakes = find_stakes(report, tree, session.state, StoreCopies(session))
    return Look(report, stakes, known)


def describe_finding(item: Finding) -> str:
    """A finding in a few lines: what, why, what follows, what to do."""
    lines = [f"[{short_name(item)}] {item.severity}: {item.subject}: {item.summary}"]
    for evidence in item.evidence:
        values = " -> ".join(f"{value}" for _, value in evidence.values[-4:])
        limit = f" (limit {evidence.limit})" if evidence.limit else ""
        lines.append(f"    because {evidence.what}: {values} {evidence.unit}{limit}".rstrip())
    return "\n".join([*lines, f"    then    {item.consequence}", f"    do      {item.action}"])


def short_name(item: Finding) -> str:
    """A word for a finding that is the same tomorrow, short enough to type."""
    return hashlib.sha256(item.key.encode()).hexdigest()[:8]


def finding_json(item: Finding) -> dict[str, Any]:
    """A finding and the word by which it is acknowledged."""
    return {"name": short_name(item), **item.to_json()}
