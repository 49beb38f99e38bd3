"""backup, points, status."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from appliance.backup.disks import BackupResult, DiskBackup
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.text import counted, duration, printable, size, table
from appliance.catalog.catalog import Catalog
from appliance.catalog.mirror import mirror_holds
from appliance.catalog.point_list import DAMAGED, PointSummary, list_points, summarize
from appliance.cli.damage import describe_hurts, finding_json
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS, exit_code
from appliance.cli.ranges import named_ranges
from appliance.cli.retain import list_trash
from appliance.cli.session import Session
from appliance.formats.changed import parse_changed
from appliance.formats.names import PointName, format_time, parse_machine_name
from appliance.formats.point import COMPLETE, Gap, Manifest
from appliance.formats.record import Hold
from appliance.native import Stats, kernels
from appliance.sources.disk import DiskSource
from appliance.store.containers import list_names
from appliance.store.findings import read_findings
from appliance.store.leases import Lease, writer_lease
from appliance.store.points import BOX
from appliance.store.store import Store

CHANGED_MAX_BYTES = 256 << 20
FINDINGS_SHOWN = 10


def backup(session: Session, options: argparse.Namespace) -> int:
    """Make a recovery point."""
    if options.machine is not None and not options.sources:
        _take_remembered(session, options)
    if options.sources and str(options.sources[0]).startswith("vm:"):
        return _backup_vm(session, options)
    if options.machine is None:
        raise UsageError("--machine NAME says whose disks these are")
    machine = parse_machine_name(options.machine)
    if options.changed is not None and options.base is None:
        raise UsageError("--changed needs --base POINT: the ranges are changes since that point")
    store, console = session.store, session.console
    with ExitStack() as stack:
        sources = []
        for path in options.sources:
            source = DiskSource(path, allow_inconsistent=options.allow_inconsistent)
            stack.callback(source.close)
            sources.append(source)
        lease = stack.enter_context(writer_lease(store.layout))
        base = _base(store, lease, machine, options.base)
        if base is None and options.base is not None:
            console.note(f"holdfast: {options.base} is damaged: everything is read instead")
        changed = _changed(options.changed, base, len(sources))
        job = DiskBackup(store, session.clock, console.progress, machine, sources)
        result = job.run(lease, base, changed)
    return _report(session, result, {})


def _take_remembered(session: Session, options: argparse.Namespace) -> None:
    """The sources that the machine was given."""
    from appliance.cli.policies import open_book  # slow to import

    record = open_book(session).find(parse_machine_name(options.machine))
    if record is None or not record.sources:
        name = printable(options.machine)
        raise UsageError(
            f"{name} has no sources: name them, or 'holdfast machines add {name} SOURCE...' once",
            code="no-sources",
        )
    options.sources = [Path(source) for source in record.sources]
    options.allow_inconsistent = options.allow_inconsistent or record.allow_inconsistent


def _backup_vm(session: Session, options: argparse.Namespace) -> int:
    from appliance.cli.vm_backup import PREFIX, back_up_vm  # slow to import

    if len(options.sources) > 1 or options.changed is not None or options.base is not None:
        raise UsageError("vm:NAME is all of a VM, and what it changed is known: name nothing else")
    name = str(options.sources[0]).removeprefix(PREFIX)
    result, is_still = back_up_vm(session, name, options.machine)
    if not is_still:
        session.console.note("no guest agent stilled the filesystems: like after a power cut")
    base = result.manifest.base
    more = {"filesystems_still": is_still, "base": None if base is None else str(base)}
    return _report(session, result, more)


def _report(session: Session, result: BackupResult, more: dict[str, Any]) -> int:
    console = session.console
    manifest = result.manifest
    point = summarize(manifest).to_json()
    stages = {
        name: sum(getattr(stats, name) for stats in result.stats)
        for name in Stats._fields
        if name.endswith("_ns")
    }
    stages["write_ns"] = result.write_ns
    answer = {**point, "stages_ns": stages, "kernels": kernels(), **more}
    console.result(answer, str(manifest.name))
    console.note(
        f"read {size(manifest.read_bytes)}, new {size(manifest.new_bytes)}, "
        f"stored {size(manifest.stored_bytes)} in {duration(manifest.seconds)}"
    )
    console.note_bottleneck()
    gaps = [(number, disk.gaps) for number, disk in enumerate(manifest.disks) if disk.gaps]
    for number, found in gaps:
        console.note(
            f"holdfast: disk {number} ({manifest.disks[number].source}) could not be read at "
            f"{named_ranges(found)}: the point is incomplete"
        )
    return DONE_WITH_GAPS if gaps else DONE


def _base(store: Store, lease: Lease, machine: str, text: str | None) -> Manifest | None:
    """The point to compare with, pinned: the one named, or the machine's newest readable one."""
    findings = read_findings(store.layout)
    if text is not None:
        name = store.points.resolve(text)
        if not store.points.exists(name):
            raise UsageError(f"{name} is only in a vault: a base must be on the box")
        if findings.is_hurt(store.points.file_of(name).key):
            return None  # what was taken over from it unread would stay hurt
        return store.open_point(name, lease)
    for file in sorted(store.points.files(machine), key=lambda file: file.stem, reverse=True):
        if findings.is_hurt(file.key):
            continue
        try:
            name = PointName.from_file_time(machine, file.stem)
            return store.open_point(name, lease)
        except (IntegrityError, NotFoundError):
            continue  # a damaged point is no base: everything is read instead
    return None


def _changed(path: Path | None, base: Manifest | None, disks: int) -> list[list[Gap]] | None:
    if path is None or base is None:
        return None
    try:
        if path.stat().st_size > CHANGED_MAX_BYTES:
            raise UsageError(f"{path} is larger than {size(CHANGED_MAX_BYTES)}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8") from error
    if disks != len(base.disks):
        raise UsageError(
            f"{base.name} has {counted(len(base.disks), 'disk')} and {disks} are given: "
            "leave --changed away to read everything"
        )
    changed: list[list[Gap]] = [[] for _ in range(disks)]
    for offset, length, disk in parse_changed(text):
        if disk >= disks:
            raise UsageError(f"{path} names disk {disk}: the disks are 0 to {disks - 1}")
        changed[disk].append((offset, length))
    return changed


def points(session: Session, options: argparse.Namespace) -> int:
    """List recovery points."""
    console = session.console
    machine = None if options.machine is None else parse_machine_name(options.machine)
    if not session.has_store():
        console.note(f"there is no store in {session.state}: run 'holdfast init'")
        console.result({"points": []}, "")
        return DONE
    if options.trash:
        return list_trash(session, machine)
    with Catalog(session.state / "catalog.db") as catalog:
        found = list_points(session.store, catalog, machine, is_everywhere=True)
        holds = mirror_holds(session.store, catalog)
    for reason in found.unreadable:
        console.note(f"holdfast: {printable(reason)}")
    files = session.store.points.file_of
    held = {
        point.name: holds[label]
        for point in found.points
        if (label := files(PointName.parse(point.name)).label) in holds
    }
    where = {
        point.name: session.store.points.where(files(PointName.parse(point.name)))
        for point in found.points
    }
    shown = [
        {**point.to_json(), "held": point.name in held, "where": where[point.name]}
        for point in found.points
    ]
    text = _point_table(found.points, held, where)
    if not found.points and machine is not None:
        text = f"no points of {machine}: 'holdfast points' lists what there is"
    console.result({"points": shown}, text)
    return exit_code(IntegrityError()) if found.unreadable else DONE


def _point_table(
    listed: Sequence[PointSummary],
    held: Mapping[str, Hold | None],
    where: Mapping[str, Sequence[str]],
) -> str:
    if not listed:
        return "no points yet: 'holdfast backup SOURCE --machine NAME' makes one"
    has_vaults = any(set(places) - {BOX} for places in where.values())
    rows = [("POINT", "DISKS", "NEW", "STORED", "STATE", "WHERE" if has_vaults else "")]
    rows += [
        (
            point.name,
            " + ".join(size(size_bytes) for size_bytes in point.disks),
            size(point.new_bytes),
            size(point.stored_bytes),
            point.state
            + (" (read while mounted)" if point.inconsistent else "")
            + (_held(held[point.name]) if point.name in held else ""),
            ", ".join(where[point.name]) if has_vaults else "",
        )
        for point in listed
    ]
    return table(rows)


def _held(hold: Hold | None) -> str:
    if hold is None:
        return ", held (damaged record)"
    until = "" if hold.until is None else f" until {format_time(hold.until)}"
    return f", held{until}" + (f": {printable(hold.reason)}" if hold.reason else "")


def status(session: Session, _: argparse.Namespace) -> int:
    """What is protected, since when, space, health, in one screen."""
    console = session.console
    if not session.has_store():
        console.result(
            {"state": str(session.state), "store": None},
            f"no store in {session.state}: 'holdfast init' makes one",
        )
        return DONE
    with Catalog(session.state / "catalog.db") as catalog:
        found = list_points(session.store, catalog)
    now = session.clock.now()
    machines: dict[str, dict[str, Any]] = {}
    for point in found.points:
        machine = machines.setdefault(
            point.machine, {"points": 0, "since": point.time, "newest": None, "damaged": 0}
        )
        machine["points"] += 1
        machine["damaged"] += point.state == DAMAGED
        if point.state == COMPLETE:
            machine["newest"] = point.time
            age = now - PointName.parse(point.name).time
            machine["newest_age_s"] = max(0, int(age.total_seconds()))
    findings = [
        finding_json(session.store, finding)
        for finding in read_findings(session.store.layout).findings
    ]
    usage = psutil.disk_usage(str(session.state))
    layout = session.store.layout
    containers = [layout.container(name) for name in list_names(layout)]
    stored = sum(path.stat().st_size for path in containers if path.exists())
    value = {
        "state": str(session.state),
        "machines": [{"name": name, **machines[name]} for name in sorted(machines)],
        "store": {
            "containers": len(containers),
            "stored_bytes": stored,
            "free_bytes": usage.free,
            "total_bytes": usage.total,
        },
        "unreadable_points": len(found.unreadable),
        "findings": findings,
        "healthy": not found.unreadable
        and not any(m["damaged"] for m in machines.values())
        and not any(finding["severity"] != "notice" for finding in findings),
    }
    console.result(value, _status_text(value))
    return DONE


def _status_text(value: dict[str, Any]) -> str:
    machines = value["machines"]
    late = [machine for machine in machines if machine["newest"] is None]
    bad = [machine for machine in machines if machine["damaged"]]
    if not machines:
        lines = ["Nothing is protected yet: 'holdfast backup SOURCE --machine NAME'."]
    elif bad or value["unreadable_points"]:
        lines = ["Damage was found: 'holdfast verify' names it, 'holdfast scrub' what healed."]
    elif late:
        lines = [f"No complete point: {len(late)} of {counted(len(machines), 'machine')}."]
    else:
        all_of_them = (
            "The machine has" if len(machines) == 1 else f"All {len(machines)} machines have"
        )
        lines = [f"{all_of_them} a complete point."]
    for machine in machines:
        newest = "no complete point"
        if machine["newest"] is not None:
            newest = f"newest {duration(machine['newest_age_s'])} ago ({machine['newest']})"
        damaged = f", {machine['damaged']} damaged" if machine["damaged"] else ""
        lines.append(
            f"  {machine['name']}: {newest}, {counted(machine['points'], 'point')} since "
            f"{machine['since']}{damaged}"
        )
    for finding in value["findings"][:FINDINGS_SHOWN]:
        hurt = counted(finding["hurt_points"], "point")
        lines.append(f"  {finding['severity']}: {finding['what']}, hurt: {hurt}")
        lines += [f"  {line}" for line in describe_hurts(finding)]
    if len(value["findings"]) > FINDINGS_SHOWN:
        lines.append(f"  and {len(value['findings']) - FINDINGS_SHOWN} more findings")
    store = value["store"]
    lines.append(
        f"Store: {size(store['stored_bytes'])} in {counted(store['containers'], 'container')}, "
        f"{size(store['free_bytes'])} of {size(store['total_bytes'])} free at {value['state']}"
    )
    return "\n".join(lines)
