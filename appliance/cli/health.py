"""health and acknowledge."""

from __future__ import annotations

import argparse

from appliance.base.text import counted, printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.health_watch import watch
from appliance.cli.look import BROKEN, Look, describe_finding, short_name, take_look
from appliance.cli.session import Session
from appliance.health.kernel_tree import KernelTree
from appliance.health.power import look_at_power


def health(session: Session, options: argparse.Namespace) -> int:
    """Say whether anything is broken."""
    if options.watch:
        return watch(session, options)
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
    broken = [item for item in found if item.severity in BROKEN]
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
