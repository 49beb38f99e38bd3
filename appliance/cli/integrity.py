"""verify, scrub."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from appliance.base.errors import AccessError, IntegrityError, NotFoundError, UsageError
from appliance.base.text import counted, size
from appliance.browse.owners import Owners
from appliance.catalog.catalog import Catalog
from appliance.cli.damage import describe_hurts, finding_json, lost_json, name_ranges
from appliance.cli.exit_codes import DONE, exit_code
from appliance.cli.hurt_files import describe_files, files_json, name_files
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.store.impact import Assessment, Hurt
from appliance.store.layout import Layout
from appliance.store.quarantine import Quarantine, give_back
from appliance.store.scrub import Scrub
from appliance.store.store import Store
from appliance.store.verify import Report, Verification, verify_ciphertext


def verify(session: Session, options: argparse.Namespace) -> int:
    """Read and authenticate; name what is damaged and which points it hurts."""
    console = session.console
    store = _open(session, options)
    if store is None:
        report = verify_ciphertext(Layout(session.state), console.progress)
    else:
        only = None
        if options.point is not None:
            only = store.points.file_of(store.points.resolve(options.point))
        if not options.look_only:
            give_back(store.layout)
        with store.lease("reader"):
            report = Verification(store, console.progress, options.depth).run(only)
        report = _treat(session, options, store, report)
    assessment = report.assessment
    owners = name_files(session, assessment.hurts.values()) if assessment is not None else {}
    console.result(_report_json(report, owners), _report_text(report, owners))
    return DONE if report.is_sound else exit_code(IntegrityError())


def _treat(session: Session, options: argparse.Namespace, store: Store, report: Report) -> Report:
    """Set damage aside, and keep what is known of it up to date."""
    assessment = report.assessment
    assert assessment is not None
    repaired: set[bytes] = set()
    if not options.look_only:
        quarantine = Quarantine(store, session.clock.now(), session.console.progress)
        if not report.is_sound or assessment.missed:
            assessment = quarantine.treat(report.faults)
            repaired = quarantine.repaired
        elif options.point is None:
            quarantine.settle(assessment, {}, is_whole=True)
    _note_damage(session, assessment)
    return replace(report, assessment=assessment, repaired=frozenset(repaired))


def scrub(session: Session, options: argparse.Namespace) -> int:
    """Read the share of the containers that is due; treat damage, tell what is known of it."""
    if options.days <= 0 or options.rate < 0 or (options.for_s is not None and options.for_s < 0):
        raise UsageError("--days is more than 0, --rate and --for are not below it")
    store = session.store
    with store.lease("reader"):
        scrubbed = Scrub(
            store,
            session.clock,
            session.console.progress,
            days=options.days,
            bytes_per_s=options.rate * (1 << 20) or None,
        ).run(is_all=options.all, for_s=options.for_s)
    if scrubbed.assessment is not None:
        _note_damage(session, scrubbed.assessment)
    findings = [finding_json(store, finding) for finding in scrubbed.record.findings]
    oldest_s = scrubbed.oldest_read_s
    oldest = datetime.fromtimestamp(oldest_s, UTC) if oldest_s else None
    value = {
        "read_containers": scrubbed.read_containers,
        "read_bytes": scrubbed.read_bytes,
        "damaged_containers": [fault.name.hex() for fault in scrubbed.faults],
        "repaired_containers": sorted(name.hex() for name in scrubbed.repaired),
        "finished": scrubbed.is_finished,
        "all_read_since": None if oldest is None else format_time(oldest),
        "findings": findings,
    }
    session.console.result(value, _scrub_text(value))
    is_whole = all(fault.name in scrubbed.repaired for fault in scrubbed.faults)
    is_sound = is_whole and all(one["severity"] == "notice" for one in findings)
    return DONE if is_sound else exit_code(IntegrityError())


def _scrub_text(value: dict[str, Any]) -> str:
    since = value["all_read_since"]
    lines = [
        f"{counted(value['read_containers'], 'container')}, {size(value['read_bytes'])} read"
        + ("" if value["finished"] else "; the rest stays due")
        + (f"; all were read since {since}" if since else "; not all were read yet")
    ]
    for finding in value["findings"]:
        lines.append(f"{finding['severity']}: {finding['evidence']}")
        lines += describe_hurts(finding)
        lines.append(f"  {finding['advice']}")
    return "\n".join(lines)


def _open(session: Session, options: argparse.Namespace) -> Store | None:
    """The store; None where its key is not there and is not needed."""
    try:
        return session.store
    except (AccessError, IntegrityError, NotFoundError) as error:
        is_needed = options.depth != "ciphertext" or options.point is not None
        if is_needed or session.passphrase_file is not None:
            raise
        if not Layout(session.state).containers.is_dir():
            raise
        session.console.note(f"holdfast: {error}; without the key only containers are checked")
        return None


def _note_damage(session: Session, assessment: Assessment) -> None:
    """Let the lists of points say which are damaged."""
    hurt = {str(hurt.point): hurt.hurt_bytes for hurt in assessment.hurts.values()}
    now = format_time(session.clock.now().replace(microsecond=0))
    with Catalog(session.state / "catalog.db") as catalog:
        catalog.set_damage(set(assessment.names), hurt, now)


def _report_json(report: Report, owners: Mapping[str, Owners]) -> dict[str, Any]:
    found = report.assessment or Assessment()
    return {
        "sound": report.is_sound,
        "depth": report.depth,
        "without_key": report.assessment is None,
        "checked_containers": report.checked_containers,
        "checked_bytes": report.checked_bytes,
        "checked_points": len(found.names),
        "repaired_containers": sorted(name.hex() for name in report.repaired),
        "only_off_site_containers": len(found.elsewhere),
        "damages": [{"what": what, "reason": reason} for what, reason in _damages(report)],
        "hurt_points": [_hurt_json(hurt, owners) for hurt in found.hurts.values()],
    }


def _damages(report: Report) -> list[tuple[str, str]]:
    """(what, reason) of all that is damaged or missing."""
    found = report.assessment or Assessment()
    return [
        *((f"point file {key}", reason) for key, reason in found.unreadable.items()),
        *((f"container {fault.name.hex()}", fault.reason) for fault in report.faults),
        *((f"container {name.hex()}", reason) for name, reason in report.missing),
    ]


def _hurt_json(hurt: Hurt, owners: Mapping[str, Owners]) -> dict[str, Any]:
    name = str(hurt.point)
    return {
        "name": name,
        **lost_json(hurt.hurt_bytes, hurt.ranges),
        **files_json(owners.get(name)),
    }


def _report_text(report: Report, owners: Mapping[str, Owners]) -> str:
    found = report.assessment
    points = "without the key no points" if found is None else counted(len(found.names), "point")
    checked = (
        f"{points}, {counted(report.checked_containers, 'container')}, "
        f"{size(report.checked_bytes)} checked ({report.depth})"
    )
    if found is not None and found.elsewhere:
        checked += f"; {len(found.elsewhere)} more are only in the vault"
    if report.repaired:
        checked += f"; {len(report.repaired)} damaged ones were repaired from the vault"
    if report.is_sound:
        return f"sound: {checked}"
    lines = [f"damaged: {checked}"]
    lines += [f"  {reason}" for _, reason in _damages(report)]
    if found is not None:
        for hurt in found.hurts.values():
            ranges = name_ranges(lost_json(0, hurt.ranges)["ranges"])
            lines.append(f"  hurts {hurt.point}: {size(hurt.hurt_bytes)} at {ranges}")
            lines += describe_files(owners.get(str(hurt.point)))
        if not found.hurts:
            lines.append("  no point is hurt")
        lines.append("  everything else restores; a new backup of the machines makes whole points")
    return "\n".join(lines)
