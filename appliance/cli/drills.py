"""drill run, list, show, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.base import durable
from appliance.base.text import counted, duration
from appliance.cli.exit_codes import DONE, FAILED
from appliance.cli.session import Session
from appliance.cli.virtual import serve_argv
from appliance.drills.places import clear_killed, evidence_folder
from appliance.drills.plan import Plan, plan_of_machine, read_plan
from appliance.drills.records import DrillRecords, DrillSummary
from appliance.drills.run import DrillRoom, run_drill
from appliance.formats.names import is_plan_file, parse_machine_name
from appliance.recovery.runtime import Runtime

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.formats.drill import DrillRecord, MachineResult
    from appliance.formats.names import PointName


def drill(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    return {"run": _run, "list": _list, "show": _show, "report": _report}[options.action](
        session, options
    )


def heal(session: Session) -> None:
    """Remove what killed drills left running."""
    for name in clear_killed(Runtime(session.state)):
        session.console.note(f"drill {name} had been killed: its VMs are removed")


def open_records(session: Session) -> DrillRecords:
    """The drill records of the store."""
    return DrillRecords(session.store.points.records)


def resolve_points(
    session: Session, plan: Plan, as_of: datetime | None = None
) -> dict[str, PointName]:
    """The point of each machine of a plan; `as_of` is what `latest` means. Raises NotFoundError."""
    points = session.store.points
    return {each.name: points.resolve(f"{each.name}@{each.point}", as_of) for each in plan.machines}


def _run(session: Session, options: argparse.Namespace) -> int:
    what: str = options.what
    if is_plan_file(what):
        plan = read_plan(Path(what))
    else:
        plan = plan_of_machine(parse_machine_name(what), options.memory)
    points = resolve_points(session, plan, options.as_of)
    room = DrillRoom(
        runtime=Runtime(session.state),
        records=open_records(session),
        serve_argv=serve_argv(session),
        clock=session.clock,
    )
    record = run_drill(room, plan, points, session.console.progress)
    session.console.result(_record_json(session, record), _describe(record))
    return DONE if record.verdict == "passed" else FAILED


def _list(session: Session, options: argparse.Namespace) -> int:
    from appliance.catalog.catalog import Catalog

    with Catalog(session.state / "catalog.db") as catalog:
        summaries, damaged = open_records(session).list(catalog)
    wanted = [
        each
        for each in summaries
        if options.plan in (None, each.plan)
        and (options.machine is None or any(m.name == options.machine for m in each.machines))
    ]
    for name in damaged:
        session.console.note(f"the record of drill {name} is damaged")
    import msgspec

    session.console.result(
        {"drills": [msgspec.to_builtins(each) for each in wanted], "damaged": damaged},
        "\n".join(_line(each) for each in wanted)
        or "no drills yet: 'holdfast drill run MACHINE' makes one",
    )
    return DONE


def _line(summary: DrillSummary) -> str:
    machines = ", ".join(
        f"{each.name} {_time(each.rto_s) if each.rto_s is not None else each.verdict}"
        for each in summary.machines
    )
    total = "" if summary.rto_s is None else f" in {_time(summary.rto_s)}"
    return f"{summary.id}  {summary.verdict}{total}  plan {summary.plan}: {machines}"


def _show(session: Session, options: argparse.Namespace) -> int:
    record = open_records(session).read(options.drill)
    session.console.result(_record_json(session, record), _describe(record))
    return DONE


def _report(session: Session, options: argparse.Namespace) -> int:
    from appliance.cli.drill_report import collect_subjects, hash_records
    from appliance.drills.report import render_report

    subjects = collect_subjects(session, options.drill)
    names = {subject.record.id for subject in subjects}
    page = render_report(subjects, session.clock.now(), options.title, hash_records(session, names))
    durable.write_file(options.out.absolute(), page.encode(), 0o644)
    session.console.result(
        {"file": str(options.out), "machines": [subject.name for subject in subjects]},
        f"{options.out}: {counted(len(subjects), 'machine')}; open it in a browser, print it, "
        "sign it",
    )
    return DONE


def _record_json(session: Session, record: DrillRecord) -> dict[str, object]:
    import msgspec

    value: dict[str, object] = msgspec.to_builtins(record)
    return value | {
        "folder": str(evidence_folder(Runtime(session.state), record.id)),
        "points_apart_s": record.points_apart_s,
    }


def _describe(record: DrillRecord) -> str:
    total = "" if record.rto_s is None else f", everything within {_time(record.rto_s)}"
    lines = [f"drill {record.id} of plan '{record.plan}': {record.verdict}{total}"]
    if len(record.machines) > 1:
        lines.append(f"  points of one moment, give or take {_time(record.points_apart_s)}")
    for machine in record.machines:
        lines += _describe_machine(machine)
    return "\n".join(lines)


def _describe_machine(machine: MachineResult) -> list[str]:
    measured = "" if machine.rto_s is None else f", RTO {_time(machine.rto_s)}"
    lines = [
        f"{machine.name}: {machine.verdict}{measured}, RPO {_time(machine.rpo_s)} ({machine.point})"
    ]
    before_s = 0.0
    for phase in machine.phases:
        lines.append(f"  {phase.at_s:8.2f} s  {phase.name} (+{phase.at_s - before_s:.2f} s)")
        before_s = phase.at_s
    for check in machine.checks:
        word = "passed" if check.passed else "FAILED"
        lines.append(f"  {check.at_s:8.2f} s  {word}: {check.title}: {check.detail}")
    if machine.error:
        lines.append(f"  {machine.error}")
    return lines


def _time(seconds: float) -> str:
    return duration(seconds)
