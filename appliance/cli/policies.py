"""policy: show, set, clear, presets."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from appliance.base.clock import local_zone
from appliance.base.errors import NotFoundError, UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.retain import chosen_rules, describe
from appliance.cli.session import Session
from appliance.formats.names import format_time, parse_machine_name
from appliance.formats.policy import KEEP_ALL, Policy
from appliance.formats.protection import NOTHING, TARGET_MIN_S, Cron, Protection, Slots
from appliance.policies.book import Book
from appliance.policies.presets import PRESETS, find_preset
from appliance.policies.sentence import describe_protection
from appliance.policies.slots import next_slot
from appliance.policies.spelling import parse_slots, spell_slots

_HOUR_S = 3600
_SHOWN_SLOTS = 3


def policy(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    actions = {"show": _show, "set": _set, "clear": _clear, "presets": _presets}
    return actions[options.action](session, options)


def open_book(session: Session) -> Book:
    """The records of machines and of what they are promised."""
    return Book(session.store.points)


def _show(session: Session, options: argparse.Namespace) -> int:
    book, kept, console = open_book(session), session.store.points.policies, session.console
    if options.machine is not None:
        machine = parse_machine_name(options.machine)
        value = policy_json(session, machine, kept.of(machine), book.of(machine))
        console.result(value, _text(value))
        return DONE
    names = session.store.points.names
    owners: set[str | None] = {None, *map(names.current, kept.machines())}
    owners |= {found.machine for found in book.protections()}
    rows = [
        policy_json(
            session,
            owner,
            (kept.find(None) or KEEP_ALL) if owner is None else kept.of(owner),
            (book.own(None) or NOTHING) if owner is None else book.of(owner),
        )
        for owner in sorted(owners, key=lambda owner: owner or "")
    ]
    for trouble in book.troubles():
        console.note(f"holdfast: {trouble}")
    console.result({"policies": rows}, "\n".join(map(_text, rows)))
    return DONE


def policy_json(
    session: Session, machine: str | None, kept: Policy, protection: Protection
) -> dict[str, Any]:
    """What is promised and kept, as `--json` prints it."""
    zone, slot = local_zone(), session.clock.now()
    slots: list[str] = []
    while len(slots) < _SHOWN_SLOTS:
        found = next_slot(protection.schedule, slot, zone)
        if found is None:
            break
        slot = found
        slots.append(format_time(slot))
    return {
        "machine": machine,
        "policy": kept.to_json(),
        "kept": describe(kept),
        "protection": msgspec.to_builtins(protection),
        "schedule": [spell_slots(each) for each in protection.schedule],
        "drill": [spell_slots(each) for each in protection.drill],
        "sentence": describe_protection(protection),
        "next_slots": slots,
    }


def _text(value: dict[str, Any]) -> str:
    return f"{value['machine'] or 'default'}: {value['kept']}\n  {value['sentence']}"


def _set(session: Session, options: argparse.Namespace) -> int:
    machine = None if options.machine is None else parse_machine_name(options.machine)
    book, kept = open_book(session), session.store.points.policies
    preset = None if options.preset is None else find_preset(options.preset)
    before = book.own(machine) or msgspec.structs.replace(book_default(book), machine=machine)
    changes = _read_changes(options)
    if preset is not None:
        before = msgspec.structs.replace(preset.protection, machine=machine)
    extra = Policy(
        keep_forever=True,
        trash_days=options.trash_days,
        may_skip_trash=not options.no_skip_trash,
    )
    rules = chosen_rules(options, extra)
    if rules is None and preset is not None:
        rules = preset.retention
    if rules is None and not changes:
        raise UsageError(
            "say what to change: --preset office-server, --at 22:00, --rpo 26, --keep-daily 30, ..."
        )
    if preset is not None or changes:
        made = book.set(msgspec.structs.replace(before, **changes), session.clock.now())
    else:
        made = book.of(machine) if machine is not None else book_default(book)
    if rules is not None:
        kept.set(machine, rules)
    now_kept = kept.of(machine) if machine is not None else kept.find(None) or KEEP_ALL
    value = policy_json(session, machine, now_kept, made)
    whose = "the default policy" if machine is None else f"the policy of {machine}"
    session.console.result(value, f"{whose}: {value['kept']}\n  {value['sentence']}")
    return DONE


def book_default(book: Book) -> Protection:
    """What holds for machines without a protection of their own."""
    return book.own(None) or NOTHING


def _read_changes(options: argparse.Namespace) -> dict[str, Any]:
    """The members of a protection that options name."""
    changes: dict[str, Any] = {}
    if options.at is not None or options.cron is not None:
        crons = tuple(Cron(expression) for expression in options.cron or ())
        changes["schedule"] = _read_schedule(options.at or ()) + crons
    if options.drill is not None:
        changes["drill"] = _read_schedule(options.drill)
    if options.blackout is not None:
        changes["blackout"] = tuple(text for text in options.blackout if text != "none")
    if options.jitter is not None:
        changes["jitter_s"] = _number("--jitter", options.jitter, 60, 6 * _HOUR_S)
    if options.priority is not None:
        changes["priority"] = _number("--priority", options.priority, 1, 100)
    if options.vault is not None:
        names = tuple(name for name in options.vault if name not in ("all", "none"))
        changes["vaults"] = None if "all" in options.vault else names
    for member, hours in (
        ("rpo_s", options.rpo),
        ("rto_s", options.rto),
        ("offsite_rpo_s", options.offsite_rpo),
    ):
        if hours is not None:
            option = f"--{member.removesuffix('_s').replace('_', '-')}"
            if 0 < hours * _HOUR_S < TARGET_MIN_S:
                raise UsageError(f"{option} takes hours, at least a minute (0.017), or 0 for none")
            changes[member] = _number(option, hours, _HOUR_S, 10 * 366 * 24 * _HOUR_S) or None
    if changes.keys() & {"schedule", "drill", "blackout", "rpo_s", "rto_s", "offsite_rpo_s"}:
        changes["preset"] = ""
    return changes


def _read_schedule(texts: list[str] | tuple[str, ...]) -> tuple[Slots, ...]:
    return tuple(parse_slots(text) for text in texts if text != "never")


def _number(option: str, value: float, unit: int, highest: int) -> int:
    if not 0 <= value * unit <= highest:
        raise UsageError(f"{option} takes 0 to {highest // unit}")
    return round(value * unit)


def _clear(session: Session, options: argparse.Namespace) -> int:
    machine = None if options.machine is None else parse_machine_name(options.machine)
    cleared = 0
    for clear in (session.store.points.policies.clear, open_book(session).clear):
        try:
            clear(machine)
            cleared += 1
        except NotFoundError as error:
            missing = error
    if not cleared:
        raise missing
    whose = "the default policy" if machine is None else f"the policy of {machine}"
    session.console.result({"machine": machine, "policy": None}, f"{whose} is cleared")
    return DONE


def _presets(session: Session, _: argparse.Namespace) -> int:
    rows = [
        {
            "name": preset.name,
            "summary": preset.summary,
            "protection": msgspec.to_builtins(preset.protection),
            "sentence": describe_protection(preset.protection),
            "policy": preset.retention.to_json(),
            "kept": describe(preset.retention),
        }
        for preset in PRESETS
    ]
    lines = [
        f"{row['name']}: {row['summary']}\n  {row['sentence']}\n  {row['kept']}" for row in rows
    ]
    session.console.result({"presets": rows}, "\n".join(lines))
    return DONE
