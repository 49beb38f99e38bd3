"""The commands of failover: run, approve, reverse, list, show."""

from __future__ import annotations

import argparse

import msgspec

from appliance.cli.drills import resolve_points
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.virtual import serve_argv
from appliance.drills.failover import Failovers, plan_of
from appliance.drills.failover_steps import Steps
from appliance.drills.journal import Journal
from appliance.drills.plan import read_plan
from appliance.formats.failover import FailoverNote
from appliance.recovery.runtime import Runtime


def failover(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    actions = {
        "run": _run,
        "approve": _approve,
        "reverse": _reverse,
        "list": _list,
        "show": _show,
    }
    return actions[options.action](session, options)


def _open(session: Session) -> Failovers:
    folder = Runtime(session.state).state / "failovers"
    return Failovers(session.store.points.records, folder, session.clock)


def _run(session: Session, options: argparse.Namespace) -> int:
    plan = read_plan(options.plan)
    note = _open(session).prepare(plan, resolve_points(session, plan, options.as_of))
    _show_waiting(session, note)
    return DONE


def _reverse(session: Session, options: argparse.Namespace) -> int:
    _show_waiting(session, _open(session).prepare_reverse(options.failover))
    return DONE


def _show_waiting(session: Session, note: FailoverNote) -> None:
    text = (
        f"{_describe(note)}\n"
        f"nothing has happened yet: 'holdfast failover approve {note.id} --by NAME' does it"
    )
    session.console.result(_to_json(note), text)


def _approve(session: Session, options: argparse.Namespace) -> int:
    def make_steps(note: FailoverNote, journal: Journal) -> Steps:
        return Steps(
            failover=note.id,
            plan=plan_of(note),
            points=note.points,
            runtime=Runtime(session.state),
            serve_argv=serve_argv(session),
            clock=session.clock,
            journal=journal,
        )

    note = _open(session).approve(
        options.failover, options.by, make_steps, session.console.progress
    )
    session.console.result(_to_json(note), _describe(note))
    return DONE


def _list(session: Session, _: argparse.Namespace) -> int:
    notes = list(_open(session).list())
    lines = [f"{note.id}  {_state(note)}  plan {note.plan['name']}" for note in notes]
    session.console.result(
        {"failovers": [_to_json(note) for note in notes]},
        "\n".join(lines) or "no failovers: 'holdfast failover run PLAN' prepares one",
    )
    return DONE


def _show(session: Session, options: argparse.Namespace) -> int:
    failovers = _open(session)
    note = failovers.read(options.failover)
    log = failovers.log(options.failover)
    session.console.result({**_to_json(note), "log": log}, f"{_describe(note)}\n{log}".rstrip())
    return DONE


def _to_json(note: FailoverNote) -> dict[str, object]:
    value: dict[str, object] = msgspec.to_builtins(note)
    return value


def _state(note: FailoverNote) -> str:
    return f"{'way back ' if note.is_way_back else ''}{note.state}"


def _describe(note: FailoverNote) -> str:
    lines = [f"failover {note.id} of plan '{note.plan['name']}': {_state(note)}"]
    lines += [f"  {machine} from {point}" for machine, point in note.points.items()]
    for number, step in enumerate(note.steps, 1):
        mark = "done" if step.is_done else "    "
        lines.append(f"  {number:2d}. {mark}  {step.title}")
    if note.error:
        lines.append(f"  stopped: {note.error}; approve it again to go on")
    return "\n".join(lines)
