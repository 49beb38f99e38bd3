"""What `health` says of machines and channels: who is behind, and what gets no answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import datetime

from appliance.base.clock import local_zone
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.catalog.catalog import Catalog
from appliance.catalog.newest import NewestPoints
from appliance.catalog.notice_log import NOTICE_FILE, NoticeLog
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.cli.session import Session
from appliance.drills.records import DrillRecords
from appliance.formats.finding import Finding
from appliance.formats.names import PointName, parse_time
from appliance.formats.protection import Protection
from appliance.formats.vault_settings import VaultSettings
from appliance.notices.stuck import judge_channels
from appliance.policies.book import Book
from appliance.policies.deadman import (
    FUTURE,
    Rehearsal,
    Standing,
    judge,
    judge_offsite,
    judge_rehearsal,
    promised_since,
    target_s,
)
from appliance.policies.destinations import PromisedDestinations
from appliance.store.points import Points
from appliance.vault.registry import Registry
from appliance.vault.stall import judge_stall, read_stall

SUBJECTS = ("machine ", "vault ")
"""How the subjects of these findings begin."""


def judge_machines(session: Session, catalog: Catalog) -> list[Finding] | None:
    """Findings about machines; None when nothing can be said.

    That is without a store, while it is locked, and while the clock is doubted: every machine
    would be late by a clock that is wrong.
    """
    try:
        if not session.has_store() or session.store.points.timekeeper.doubt() is not None:
            return None
        with ExitStack() as stack:
            return _judge(session, catalog, stack)
    except HoldfastError:
        return None


def judge_notices(session: Session) -> list[Finding]:
    """Findings about channels that take nothing."""
    if not (session.state / NOTICE_FILE).exists():
        return []
    try:
        with closing(NoticeLog(session.state)) as log:
            return list(judge_channels(log, session.clock.now()))
    except HoldfastError:
        return []


def _judge(session: Session, catalog: Catalog, stack: ExitStack) -> list[Finding]:
    now, zone = session.clock.now(), local_zone()
    book = Book(session.store.points)
    newest = NewestPoints(session.store, catalog).find_all(now + FUTURE)
    records = {entry.machine.machine: entry.machine for entry in book.entries()}
    targets: dict[Protection, float | None] = {}  # machines share policies, and slots take time
    found: list[Finding] = []
    vaults = stack.enter_context(closing(_Vaults(session, book)))
    rehearsals = _find_rehearsals(session, catalog)
    for name in sorted(newest.keys() | records.keys()):
        machine = records.get(name)
        try:
            protection = book.of(name)
        except IntegrityError:
            continue
        if protection not in targets:
            targets[protection] = target_s(protection, now, zone)
        standing = Standing(
            name,
            "active" if machine is None else machine.state,
            newest.get(name),
            promised_since(machine, protection),
            targets[protection],
        )
        found += judge(standing, now)
        if standing.state == "active":
            found += vaults.judge(name, standing.newest, now)
            if name in rehearsals:
                found += judge_rehearsal(name, rehearsals[name], protection.rto_s)
    found += vaults.judge_stalls(now)
    return found


def _find_rehearsals(session: Session, catalog: Catalog) -> dict[str, Rehearsal]:
    """Machine, as it is called now -> its newest drill that was not cancelled."""
    points = session.store.points
    drills, _ = DrillRecords(points.records).list(catalog)
    found: dict[str, Rehearsal] = {}
    for drill in drills:
        began = parse_time(drill.began)
        for machine in drill.machines:
            if machine.verdict != "cancelled" and began is not None:
                name = points.names.current(machine.name)
                found[name] = Rehearsal(drill.id, began, machine.rto_s)
    return found


class _Vaults:
    """What the box remembers of its vaults: nobody is asked."""

    def __init__(self, session: Session, book: Book) -> None:
        registry = Registry(session.store)
        self._points = session.store.points
        self._destinations = PromisedDestinations(book)
        self._vaults: list[tuple[VaultSettings, VaultLedger]] = []
        for name in registry.names():
            with suppress(HoldfastError):
                ledger = VaultLedger(registry.folder(name) / LEDGER)
                self._vaults.append((registry.get(name), ledger))

    def judge(self, machine: str, newest: datetime | None, now: datetime) -> Iterator[Finding]:
        """Vaults in which the machine is behind its target."""
        folder = self._points.folder_of(machine)
        for settings, ledger in self._vaults:
            if newest is None or not self._destinations.is_wanted(folder, settings.name):
                continue
            stem = max(ledger.points(folder), default="")
            there = PointName.from_file_time(machine, stem).time if stem else None
            if there is not None and there >= newest:
                continue
            since = there or _find_first(self._points, machine)
            own_s = self._destinations.target_s(folder)
            target_s = settings.rpo_of(machine) if own_s is None else own_s
            behind_s = (now - since).total_seconds()
            yield from judge_offsite(
                machine, settings.name, there, now, behind_s=behind_s, target_s=target_s
            )

    def judge_stalls(self, now: datetime) -> Iterator[Finding]:
        """Vaults to which nothing gets through."""
        for settings, ledger in self._vaults:
            yield from judge_stall(settings.name, read_stall(ledger), now)

    def close(self) -> None:
        """Let go of what is remembered."""
        for _, ledger in self._vaults:
            ledger.close()


def _find_first(points: Points, machine: str) -> datetime:
    """When the oldest point of a machine was made, which has one."""
    return min(PointName.from_file_time(machine, file.stem).time for file in points.files(machine))
