"""health and acknowledge."""

from __future__ import annotations

import argparse
import hashlib
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError
from appliance.base.text import counted, printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.disk_seats import DiskSeats
from appliance.catalog.finding_log import FindingLog
from appliance.catalog.measurements import Measurements
from appliance.catalog.point_list import list_points
from appliance.cli.access_health import judge_access
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.machine_health import MACHINE, judge_machines, judge_notices
from appliance.cli.session import Session
from appliance.formats.finding import Finding, sort_findings
from appliance.formats.names import PointName, format_time
from appliance.health.disk_examination import DiskExaminer
from appliance.health.kernel_tree import KernelTree
from appliance.health.power import look_at_power
from appliance.health.stakes import Stake, find_stakes
from appliance.health.survey import Report, Survey, glance
from appliance.health.udev import Change, Changes, read_properties
from appliance.health.watch import Watch, Watchdog

_BROKEN = ("critical", "warning")


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
        return any(item.severity in _BROKEN for item in self.findings())

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
        more = [*(found or ()), *judge_notices(session)]
        report = replace(report, findings=sort_findings([*report.findings, *more]))
        log.observe(
            report.findings,
            report.when,
            looked_at=lambda subject: (
                subject not in report.unseen
                and (found is not None or not subject.startswith(MACHINE))
            ),
            began=began,
        )
        known = log.acknowledged_keys()
    stakes = find_stakes(report, tree, session.state, StoreCopies(session))
    return Look(report, stakes, known)


def health(session: Session, options: argparse.Namespace) -> int:
    """Say whether anything is broken."""
    if options.watch:
        return _watch(session, options)
    if options.power:
        return _show_power(session)
    look = take_look(session)
    session.console.result(look.to_json(is_all=options.all), _describe(look, is_all=options.all))
    return DONE_WITH_GAPS if look.is_broken else DONE


def _show_power(session: Session) -> int:
    power = look_at_power(KernelTree())
    lines = ["The power is about to go: stop the box."] if power.wants_stop else []
    for ups in power.supplies:
        charge = "" if ups.charge_percent is None else f", {ups.charge_percent} %"
        state = "silent" if ups.is_silent else "on battery" if ups.is_on_battery else "on line"
        lines.append(f"{ups.name} ({ups.source}): {state}{charge}{', low' if ups.is_low else ''}")
    text = "\n".join(printable(line) for line in lines)
    session.console.result(power.to_json(), text or "No UPS is known.")
    return DONE_WITH_GAPS if power.is_on_battery or power.wants_stop else DONE


def _describe(look: Look, *, is_all: bool) -> str:
    found = look.findings(is_all=is_all)
    broken = [item for item in found if item.severity in _BROKEN]
    report = look.report
    count = (
        f"{counted(len(report.inventory.disks), 'disk')}, {counted(len(report.arrays), 'array')}"
    )
    head = f"{counted(len(broken), 'thing')} to look after" if broken else "Nothing is broken"
    lines = [f"{head}: {count} looked at."]
    lines += [line for item in found for line in describe_finding(item).splitlines()]
    lines += [f"  at stake on {stake}" for stake in look.stakes]
    hidden = len(report.findings) - len(found)
    if hidden:
        lines.append(f"{hidden} acknowledged findings are not shown: --all")
    lines += [f"  could not look: {trouble}" for trouble in report.box.troubles]
    return "\n".join(printable(line) for line in lines)


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


def acknowledge(session: Session, options: argparse.Namespace) -> int:
    """Somebody knows of a finding."""
    with Catalog(session.state / "catalog.db") as catalog:
        log = FindingLog(catalog)
        word = options.finding
        keys = [
            standing.finding.key
            for standing in log.list_standing()
            if word in (short_name(standing.finding), standing.finding.key)
        ]
        standing = log.acknowledge(keys[0] if keys else word, session.clock.now())
    finding = standing.finding
    session.console.result(
        standing.to_json(),
        printable(f"'{finding.subject}: {finding.summary}' is quiet until it becomes worse"),
    )
    return DONE


def _watch(session: Session, options: argparse.Namespace) -> int:
    """Print findings as they come and go, until somebody stops us."""
    teller = _Teller(session)
    with ExitStack() as stack:
        changes = stack.enter_context(Changes(KernelTree()))
        watchdog = Watchdog(options.watchdog) if options.watchdog else None
        if watchdog is not None:
            stack.callback(watchdog.close)
        Watch(
            changes,
            session.clock,
            session.console.progress,
            look=teller.look,
            glance=teller.glance,
            watchdog=watchdog,
        ).run()
    return DONE


class _Teller:
    """Looks, and tells what is new since it last did, whoever noticed it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()  # a glance is taken beside the look at everything
        self._told: int | None = None

    def look(self, seen: list[Change]) -> None:
        """Look at everything. What stood before we came is told once, whenever it was found."""
        take_look(self._session)
        self._tell(seen)

    def glance(self) -> None:
        """What no disk that hangs can hold up: arrays, and what the kernel said of disks."""
        now = self._session.clock.now()
        with Catalog(self._session.state / "catalog.db") as catalog:
            log = FindingLog(catalog)
            began = log.newest()
            log.observe(
                glance(KernelTree(), read_properties, DiskSeats(catalog), now),
                now,
                looked_at=lambda subject: subject.startswith("array "),
                began=began,
            )
        self._tell([])

    def _tell(self, seen: list[Change]) -> None:
        with self._lock, Catalog(self._session.state / "catalog.db") as catalog:
            log = FindingLog(catalog)
            if self._told is None:
                self._told = log.newest()
                standing = [item for item in log.list_standing() if item.acknowledged is None]
                _tell(self._session, seen, [item.finding for item in standing], [])
            else:
                news = log.news_since(self._told)
                self._told = news.number
                if not news.is_quiet or _list_plugged(seen):
                    _tell(self._session, seen, [*news.new, *news.worse], list(news.gone))


def _list_plugged(seen: list[Change]) -> list[Change]:
    """Disks that came or went."""
    return [change for change in seen if change.action in ("add", "remove") and change.name]


def _tell(session: Session, seen: list[Change], came: list[Finding], went: list[Finding]) -> None:
    plugged = _list_plugged(seen)
    if session.console.is_json:
        value = {
            "time": format_time(session.clock.now().replace(microsecond=0)),
            "changes": [{"action": change.action, "name": change.name} for change in plugged],
            "came": [finding_json(item) for item in came],
            "went": [finding_json(item) for item in went],
        }
        session.console.result(value, "")
        return
    lines = [f"{change.action} {change.name}" for change in plugged]
    lines += [line for item in came for line in describe_finding(item).splitlines()]
    lines += [f"over: {item.subject}: {item.summary}" for item in went]
    session.console.result({}, "\n".join(printable(line) for line in lines))
