"""forget, unforget, hold, release, prune, policy, and the list of the trash."""

from __future__ import annotations

import argparse
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from appliance.base.errors import AccessError, BusyError, IntegrityError, UsageError
from appliance.base.text import counted, printable, table
from appliance.cli.exit_codes import DONE, exit_code
from appliance.cli.session import Session
from appliance.formats.names import (
    PointName,
    PointSelector,
    format_time,
    parse_machine_name,
    parse_time,
)
from appliance.formats.policy import COUNT_RULES, FOREVER, KEEP_ALL, RULE_MAX, Policy
from appliance.formats.record import REASON_MAX

if TYPE_CHECKING:
    from appliance.policies.book import Book
    from appliance.retention.prune import Plan

_RULES = (*(f"keep_{rule}" for rule in COUNT_RULES), "keep_days")


def forget(session: Session, options: argparse.Namespace) -> int:
    """Put a recovery point into the trash; a hold or a VM that needs it stands in the way."""
    store, console = session.store, session.console
    name = _name(session, options.point)
    _refuse_if_booted(session, name)
    policy = store.points.policies.of(name.machine)
    window = timedelta(days=policy.trash_days)
    if options.now:
        _demand_root("forget --now")
        if not policy.may_skip_trash:
            raise AccessError(
                f"the policy of {name.machine} forbids --now: forget {name} without it, "
                f"and it goes after {policy.trash_days} days"
            )
    store.points.forget(name, None if options.now else window)
    if options.now:
        after = "; 'holdfast collect' frees its space"
    else:
        after = f": 'holdfast unforget {name}' brings it back within {policy.trash_days} days"
    console.result(
        {"forgotten": str(name), "trash_days": 0 if options.now else policy.trash_days},
        f"{name} is forgotten{after}",
    )
    return DONE


def unforget(session: Session, options: argparse.Namespace) -> int:
    """Bring a forgotten point back."""
    name = PointName.parse(options.point)
    session.store.points.unforget(name)
    session.console.result({"name": str(name)}, f"{name} is back")
    return DONE


def hold(session: Session, options: argparse.Namespace) -> int:
    """Forbid that a point is forgotten."""
    if len(options.reason) > REASON_MAX:
        raise UsageError(f"the reason is longer than {REASON_MAX} characters")
    until = None if options.until is None else _parse_date(options.until)
    if until is not None and until <= session.clock.now():
        raise UsageError(f"{options.until} is over: choose a date to come")
    name = _name(session, options.point)
    made = session.store.points.hold(name, options.reason, until)
    shown = None if made.until is None else format_time(made.until)
    console = session.console
    console.result(
        {"held": str(name), "until": shown, "reason": made.reason},
        f"{name} is held until {shown or 'it is released'}",
    )
    return DONE


def release(session: Session, options: argparse.Namespace) -> int:
    """Take a hold away."""
    name = _name(session, options.point)
    session.store.points.release(name)
    session.console.result({"released": str(name)}, f"{name} is no longer held")
    return DONE


def prune(session: Session, options: argparse.Namespace) -> int:
    """Forget what no policy keeps, or show what that would be."""
    from appliance.catalog.catalog import Catalog  # slow to import: not for a hold
    from appliance.policies.book import Book
    from appliance.retention.prune import carry_out, plan_prune, refuse_in_doubt

    store, console = session.store, session.console
    machine = None if options.machine is None else parse_machine_name(options.machine)
    override = chosen_rules(options, KEEP_ALL)
    if override is not None and not options.simulate:
        raise UsageError(
            "--keep options are for --simulate: 'holdfast policy set' makes them count"
        )
    if options.trust_clock:
        _demand_root("prune --trust-clock")
        if not options.simulate:
            store.points.timekeeper.trust()
    if not options.simulate:
        refuse_in_doubt(store)
    with Catalog(session.state / "catalog.db") as catalog:
        book = Book(store.points)
        plan = plan_prune(
            store,
            catalog,
            lambda name: _booted(session, name),
            machine,
            override,
            is_retired=lambda name: _is_retired(book, name),
        )
    forgotten: list[str] = []
    troubles = list(plan.troubles)
    if not options.simulate:
        pruned = carry_out(store, plan, console.progress)
        forgotten = [str(name) for name in pruned.forgotten]
        troubles += [*pruned.troubles, *store.points.trash.troubles()]
    for trouble in troubles:
        console.note(f"holdfast: {printable(trouble)}")
    console.result(
        {
            "simulated": options.simulate,
            "points": [
                {"name": str(verdict.name), "goes": verdict.goes, "reasons": verdict.reasons}
                for machine_plan in plan.machines
                for verdict in machine_plan.verdicts
            ],
            "forgotten": forgotten,
            "troubles": troubles,
        },
        _plan_text(plan) if options.simulate else _pruned_text(plan, forgotten),
    )
    return exit_code(IntegrityError()) if plan.troubles else DONE


def _is_retired(book: Book, machine: str) -> bool:
    """Whether somebody said so; what cannot be read says nothing."""
    try:
        record = book.find(machine)
    except IntegrityError:
        return False
    return record is not None and record.state == "retired"


def _plan_text(plan: Plan) -> str:
    verdicts = [verdict for machine in plan.machines for verdict in machine.verdicts]
    rows = [
        (str(verdict.name), "goes" if verdict.goes else "stays", ", ".join(verdict.reasons))
        for verdict in verdicts
    ]
    going = sum(verdict.goes for verdict in verdicts)
    last = f"{going} of {counted(len(verdicts), 'point')} would go; nothing was changed"
    return f"{table(rows)}\n{last}" if rows else last


def _pruned_text(plan: Plan, forgotten: list[str]) -> str:
    total = sum(len(machine.verdicts) for machine in plan.machines)
    text = f"forgotten: {len(forgotten)} of {counted(total, 'point')}"
    if forgotten:
        text += ": 'holdfast points --trash' shows until when each can be brought back"
    elif plan.machines and all(machine.policy.keep_forever for machine in plan.machines):
        text += ": everything is kept until 'holdfast policy set' says otherwise"
    return text


def describe(shown: Policy) -> str:
    """A policy in a line."""
    words = [f"{rule} {shown.count(rule)}" for rule in COUNT_RULES if shown.count(rule)]
    if shown.keep_forever:
        words.append("everything for ever")
    elif shown.keep_days:
        words.append(f"{shown.keep_days} days")
    skip = "" if shown.may_skip_trash else ", which --now cannot skip"
    return f"keep {', '.join(words)}; {shown.trash_days} days in the trash{skip}"


def list_trash(session: Session, machine: str | None) -> int:
    """What `points --trash` shows: forgotten points, and until when they can be brought back."""
    from appliance.catalog.catalog import Catalog  # slow to import: not for a hold
    from appliance.catalog.mirror import mirror_trash

    store, console = session.store, session.console
    with Catalog(session.state / "catalog.db") as catalog:
        notes = mirror_trash(store, catalog)
    notes = [note for note in notes if machine in (None, note.point.machine)]
    troubles = list(store.points.trash.troubles())
    for trouble in troubles:
        console.note(f"holdfast: {printable(trouble)}")
    rows = [
        (
            str(note.point),
            f"goes at {'the next collection' if note.ends is None else format_time(note.ends)}",
        )
        for note in notes
    ]
    console.result(
        {
            "trash": [
                {
                    "name": str(note.point),
                    "forgotten": format_time(note.forgotten),
                    "ends": None if note.ends is None else format_time(note.ends),
                }
                for note in notes
            ],
            "troubles": troubles,
        },
        table(rows) or "the trash is empty",
    )
    return DONE


# ---- reading what was typed ----


def chosen_rules(options: argparse.Namespace, base: Policy) -> Policy | None:
    """The policy that the --keep options make, the rest as in `base`; None without any."""
    given = {rule: value for rule in _RULES if (value := getattr(options, rule)) is not None}
    if not given:
        return None
    days = given.pop("keep_days", "0")
    for option, number in [*given.items(), *([("keep_days", days)] if days != FOREVER else [])]:
        if not str(number).isascii() or not str(number).isdigit() or int(number) > RULE_MAX:
            word = f" or {FOREVER}" if option == "keep_days" else ""
            raise UsageError(f"--{option.replace('_', '-')} takes 1 to {RULE_MAX}{word}")
    return Policy(
        **given,
        keep_days=0 if days == FOREVER else int(days),
        keep_forever=days == FOREVER,
        trash_days=base.trash_days,
        may_skip_trash=base.may_skip_trash,
    )


def _name(session: Session, text: str) -> PointName:
    """The point somebody names, which may be damaged."""
    selector = PointSelector.parse(text)
    if selector.time is None:
        return session.store.points.latest(selector.machine)
    return PointName(selector.machine, selector.time)


def _parse_date(text: str) -> datetime:
    time = parse_time(text) or parse_time(f"{text}T00:00:00Z")
    if time is None:
        raise UsageError(f"'{text}' is no date: write 2027-01-31 or 2027-01-31T12:00:00Z")
    return time


def _demand_root(what: str) -> None:
    if os.geteuid() != 0:
        raise AccessError(f"{what} is for root at the box: without it the point goes to the trash")


def _refuse_if_booted(session: Session, name: PointName) -> None:
    if (session.state / "vms").is_dir():
        from appliance.cli.virtual import refuse_if_booted  # slow to import, seldom needed

        refuse_if_booted(session, name)


def _booted(session: Session, name: PointName) -> str | None:
    try:
        _refuse_if_booted(session, name)
    except BusyError as error:
        return str(error)
    return None
