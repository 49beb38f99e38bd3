"""machines: list, show, add, rename, pause, resume, retire."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec

from appliance.base.clock import local_zone
from appliance.base.errors import NotFoundError, UsageError
from appliance.base.text import duration, printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.newest import NewestPoints
from appliance.catalog.schedule_log import SCHEDULE_FILE, Answer, ScheduleLog
from appliance.cli.exit_codes import DONE
from appliance.cli.policies import open_book, policy_json
from appliance.cli.session import Session
from appliance.formats.names import format_time, parse_machine_name
from appliance.formats.protection import MachineRecord, State
from appliance.policies.book import Book
from appliance.policies.deadman import FUTURE, Standing, promised_since, target_s
from appliance.policies.due import name_backup, when_next
from appliance.policies.presets import find_preset
from appliance.vault.registry import Registry

_STATES: dict[str, State] = {"pause": "paused", "resume": "active", "retire": "retired"}


def machines(session: Session, options: argparse.Namespace) -> int:
    """Do what `options.action` says."""
    if options.action == "list":
        return _list(session)
    name = parse_machine_name(options.name)
    if options.action == "show":
        return _show(session, name)
    if options.action == "add":
        return _add(session, name, options)
    if options.action == "rename":
        return _rename(session, name, parse_machine_name(options.new))
    return _set_state(session, name, options.action)


def _list(session: Session) -> int:
    book, console = open_book(session), session.console
    with Catalog(session.state / "catalog.db") as catalog:
        newest = NewestPoints(session.store, catalog)
        names = set(newest.find_all(session.clock.now() + FUTURE))
        names |= {entry.machine.machine for entry in book.entries()}
        answers = _read_answers(session)
        rows = [_row(session, book, newest, name, answers) for name in sorted(names)]
    for trouble in book.troubles():
        console.note(f"holdfast: {printable(trouble)}")
    text = "\n".join(map(_line, rows))
    console.result(
        {"machines": rows}, text or "no machine yet: 'holdfast machines add NAME SOURCE...'"
    )
    return DONE


def _read_answers(session: Session) -> dict[str, Answer]:
    """What the schedule has answered; nothing where there never was one."""
    if not (session.state / SCHEDULE_FILE).exists():
        return {}
    with closing(ScheduleLog(session.state)) as log:
        return log.read()


def _row(
    session: Session,
    book: Book,
    newest: NewestPoints,
    name: str,
    answers: Mapping[str, Answer],
) -> dict[str, Any]:
    """One machine as `--json` prints it."""
    now = session.clock.now().replace(microsecond=0)
    record = book.find(name)
    protection = book.of(name)
    found = newest.find(name, now + FUTURE)
    state: State = "active" if record is None else record.state
    rpo_s = target_s(protection, now, local_zone())
    standing = Standing(name, state, found, promised_since(record, protection), rpo_s)
    shown: str = state
    if state == "active":
        shown = "new" if found is None else "protected"
        shown = "late" if standing.is_late(now) else shown
    answer = answers.get(name_backup(name))
    answered = None if answer is None else answer.answered
    zone = local_zone()
    upcoming = None if record is None else when_next(record, protection, answered, now, zone)
    return {
        "name": name,
        "state": shown,
        "sources": [] if record is None else list(record.sources),
        "allow_inconsistent": record is not None and record.allow_inconsistent,
        "newest_point": None if found is None else format_time(found),
        "points": newest.count(name),
        "next_run_at": None if upcoming is None else format_time(upcoming.replace(microsecond=0)),
        "rpo_s": None if found is None else int(standing.age_s(now)),
        "rpo_target_s": None if rpo_s is None else int(rpo_s),
        "preset": protection.preset,
        "vaults": None if protection.vaults is None else list(protection.vaults),
    }


def _line(row: dict[str, Any]) -> str:
    age = "no good point" if row["rpo_s"] is None else f"newest {duration(row['rpo_s'])} ago"
    upcoming = f", next {row['next_run_at']}" if row["next_run_at"] else ""
    return f"{row['name']}: {row['state']}, {age}, {row['points']} points{upcoming}"


def _show(session: Session, name: str) -> int:
    book = open_book(session)
    with Catalog(session.state / "catalog.db") as catalog:
        newest = NewestPoints(session.store, catalog)
        row = _row(session, book, newest, name, _read_answers(session))
    if not row["points"] and book.find(name) is None:
        raise NotFoundError(
            f"there is no machine {name}: 'holdfast machines list' lists them", code="no-machine"
        )
    kept = session.store.points.policies.of(name)
    value = policy_json(session, name, kept, book.of(name))
    sources = "; ".join(row["sources"]) or "none: somebody else backs it up"
    lines = [
        _line(row),
        f"  sources: {printable(sources)}",
        f"  {value['sentence']}",
        f"  {value['kept']}",
    ]
    session.console.result({**row, "policy": value}, "\n".join(lines))
    return DONE


def _add(session: Session, name: str, options: argparse.Namespace) -> int:
    book, now = open_book(session), session.clock.now()
    before = book.find(name)
    if before is not None and before.state == "retired":
        raise UsageError(
            f"{name} is retired: 'holdfast machines resume' brings it back first",
            code="machine-retired",
        )
    record = MachineRecord(
        machine=name,
        state="active" if before is None else before.state,
        sources=tuple(map(_absolute, options.sources)),
        since=format_time(now.replace(microsecond=0)) if before is None else before.since,
        allow_inconsistent=options.allow_inconsistent,
    )
    if options.preset is not None:
        preset = find_preset(options.preset)
        book.set(msgspec.structs.replace(preset.protection, machine=name), now)
        session.store.points.policies.set(name, preset.retention)
    book.put(record)
    return _show(session, name)


def _absolute(source: str) -> str:
    """A source as the daemon finds it, wherever it runs."""
    from pathlib import Path

    return source if source.startswith("vm:") else str(Path(source).absolute())


def _rename(session: Session, name: str, new: str) -> int:
    book = open_book(session)
    _require(session, book, name)
    if new == name:
        raise UsageError(f"{name} is called that already: say another name")
    book.set_name(name, new, session.clock.now())
    registry = Registry(session.store)
    for vault in registry.names():
        settings = registry.get(vault)
        targets = dict(settings.machine_rpo_s)
        if name in targets:
            targets[new] = targets.pop(name)
            registry.put(replace(settings, machine_rpo_s=targets))
    session.console.result(
        {"name": new, "was": name},
        f"{name} is called {new} now, its points too; '{name}' goes on meaning it",
    )
    return DONE


def _require(session: Session, book: Book, name: str) -> None:
    if book.find(name) is None and not session.store.points.all_files(name):
        raise NotFoundError(
            f"there is no machine {name}: 'holdfast machines list' lists them", code="no-machine"
        )


def _set_state(session: Session, name: str, action: str) -> int:
    book = open_book(session)
    _require(session, book, name)
    state = _STATES[action]
    record = book.set_state(name, state, session.clock.now())
    words = {
        "paused": "nothing of it begins by itself until 'machines resume'",
        "active": "its policy holds from now on",
        "retired": "its policy has ended; its points stay and age by what is kept",
    }
    session.console.result(
        {"name": name, "state": record.state}, f"{name} is {record.state}: {words[record.state]}"
    )
    return DONE
