"""disks, disks show, disks locate, disks test, disks replace."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from appliance.base.errors import NotFoundError
from appliance.base.text import printable, size, table
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements
from appliance.cli.arrays import follow
from appliance.cli.exit_codes import DONE
from appliance.cli.look import describe_finding, take_look
from appliance.cli.session import Session
from appliance.formats.finding import SEVERITIES, Finding
from appliance.formats.names import format_time
from appliance.health.counter_rules import RULES
from appliance.health.disk_examination import Examination, choose_protocol
from appliance.health.disk_measures import measure_disk
from appliance.health.disk_self_test import (
    Kind,
    find_running,
    start_self_test,
    stop_self_test,
)
from appliance.health.enclosures import light_bay, list_bays
from appliance.health.inventory import Disk, Inventory
from appliance.health.kernel_tree import KernelTree
from appliance.health.replacement import Consent, plan_replacement, require_disk
from appliance.health.survey import Report
from appliance.health.udev import read_properties
from appliance.native.smart import DiskProbe

_GOOD = "good"
_TRENDS = timedelta(days=180)
_MEASURES = {
    "temperature": ("temperature", " °C"),
    "power-on-hours": ("has run for", " hours"),
    "used": ("worn", " % of its life"),
    "spare": ("spare blocks", " %"),
}
_COUNTERS = frozenset((*(rule.key for rule in RULES), "link-errors", "command-timeouts"))


def disks(session: Session, options: argparse.Namespace) -> int:
    """List disks, or do something with one."""
    actions = {None: _list, "show": _show, "locate": _locate, "test": _test, "replace": _replace}
    return actions[options.action](session, options)


def _list(session: Session, _: argparse.Namespace) -> int:
    report = take_look(session).report
    found = report.inventory.disks
    session.console.result(
        {
            "disks": [
                {**disk.to_json(), "verdict": _verdict(disk, report.findings)} for disk in found
            ],
            "bays": report.inventory.list_places(),
        },
        _table(found, report.findings) if found else "There is no disk.",
    )
    return DONE


def _verdict(disk: Disk, findings: list[Finding]) -> str:
    """The worst that is known of a disk."""
    severities = [item.severity for item in findings if item.subject == disk.subject]
    return min(severities, key=SEVERITIES.index, default=_GOOD)


def _table(found: list[Disk], findings: list[Finding]) -> str:
    rows = [("DISK", "BAY", "MODEL", "SERIAL", "SIZE", "VERDICT", "CARRIES")]
    rows += [
        (
            disk.name,
            disk.bay or "-",
            disk.model or "-",
            disk.serial or "-",
            size(disk.size_bytes),
            _verdict(disk, findings),
            _carries(disk),
        )
        for disk in found
    ]
    return table(rows)


def _carries(disk: Disk) -> str:
    if disk.hidden is not None:
        level = f" {disk.hidden.level}" if disk.hidden.level else ""
        return f"volume of a RAID controller ({disk.hidden.driver}{level}): members hidden"
    return ", ".join(f"{use.kind} {use.name}" for use in disk.uses) or "-"


def _show(session: Session, options: argparse.Namespace) -> int:
    look = take_look(session)
    disk = require_disk(look.report.inventory, options.disk)
    findings = [item for item in look.report.findings if item.subject == disk.subject]
    stakes = [stake for stake in look.stakes if stake.name == disk.name]
    examined = look.report.examined.get(disk.name)
    lines = [f"{disk.name}: {_verdict(disk, look.report.findings)}"]
    facts = {
        "model": disk.model,
        "serial number": disk.serial,
        "firmware": disk.firmware,
        "WWN": disk.wwn,
        "size": f"{size(disk.size_bytes)} ({disk.size_bytes} bytes)",
        "rotation": _rotation(disk),
        "attached by": disk.transport,
        "bay": disk.bay,
        "path": disk.bus_path,
        "carries": _carries(disk),
    }
    facts |= _describe_measures(examined)
    lines += [f"  {name:<14}{text}" for name, text in facts.items() if text]
    lines += [f"  at stake: {stake}" for stake in stakes]
    lines += [line for item in findings for line in describe_finding(item).splitlines()]
    session.console.result(
        {
            "disk": disk.to_json(),
            "verdict": _verdict(disk, look.report.findings),
            "findings": [item.to_json() for item in findings],
            "at_stake": [stake.to_json() for stake in stakes],
            "smart": examined.to_json() if examined is not None else {},
            "trends": _recall_trends(session, disk.subject),
        },
        "\n".join(printable(line) for line in lines),
    )
    return DONE


def _describe_measures(examined: Examination | None) -> dict[str, str]:
    """What the disk says of itself, in the words of people who own one."""
    if examined is None or examined.disk is None:
        return {"says": "nothing: it sleeps" if examined and examined.is_asleep else ""}
    measures = measure_disk(examined.disk)
    facts = {}
    for key, (name, unit) in _MEASURES.items():
        if key in measures:
            facts[name] = f"{measures[key].value:.0f}{unit}"
    counted = [f"{one.what}: {one.value:.0f}" for key, one in measures.items() if key in _COUNTERS]
    running = find_running(examined.disk)
    if running is not None:
        left = "" if running.left_percent is None else f", {running.left_percent} % to go"
        facts["self-test"] = f"runs{left}"
    return {**facts, "counts": ", ".join(counted)}


def _recall_trends(session: Session, subject: str) -> dict[str, list[dict[str, Any]]]:
    """What was measured of a disk in the last months, oldest first, for programs."""
    since = session.clock.now() - _TRENDS
    with Catalog(session.state / "catalog.db") as catalog:
        trends = Measurements(catalog).recall_all(subject, since)
    return {
        what: [
            {"time": format_time(when.replace(microsecond=0)), "value": value}
            for when, value in values
        ]
        for what, values in trends.items()
    }


def _rotation(disk: Disk) -> str:
    if disk.rotation_rpm:
        return f"{disk.rotation_rpm} rpm"
    return "yes" if disk.is_rotating else "none"


def _locate(session: Session, options: argparse.Namespace) -> int:
    tree = KernelTree()
    bays = list_bays(tree)
    name = options.bay
    disk = Inventory(tree, read_properties).find(name)
    if disk is not None and disk.bay not in (disk.name, name):
        if not disk.bay:
            raise NotFoundError(
                f"{disk.name} is in no bay with a light: its path is {disk.bus_path}"
            )
        name = disk.bay
    bay = light_bay(bays, name, is_on=not options.off)
    state = "off" if options.off else "on"
    session.console.result(
        {"bay": bay.name, "enclosure": bay.enclosure, "light": state},
        f"the light of bay {printable(bay.name)} is {state}",
    )
    return DONE


def _test(session: Session, options: argparse.Namespace) -> int:
    disk = require_disk(Inventory(KernelTree(), read_properties), options.disk)
    kind: Kind = "long" if options.long else "short"
    with DiskProbe(disk.path) as probe:
        protocol = choose_protocol(probe, disk.transport)
        if options.stop:
            stop_self_test(probe, protocol, subject=disk.subject)
        else:
            start_self_test(probe, protocol, kind, subject=disk.subject)
    done = "stopped" if options.stop else f"{kind} test started"
    text = f"{disk.name}: {done}; 'holdfast disks show {disk.name}' tells how it ended"
    session.console.result({"disk": disk.name, "done": done}, printable(text))
    return DONE


def _replace(session: Session, options: argparse.Namespace) -> int:
    report: Report = take_look(session).report
    sick = {item.subject for item in report.findings if item.severity != "notice"}
    plan = plan_replacement(
        report.inventory,
        report.arrays,
        options.old,
        options.new,
        sick=sick,
        consent=Consent(options.erase, options.healthy_too),
    )
    names = [str(name) for name in plan.facts.get("arrays", [])]
    return follow(session, options, plan, KernelTree(), names)
