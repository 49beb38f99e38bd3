"""What `health` says of machines: who is behind what was promised."""

from __future__ import annotations

from appliance.base.clock import local_zone
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.catalog.catalog import Catalog
from appliance.catalog.newest import NewestPoints
from appliance.cli.session import Session
from appliance.formats.finding import Finding
from appliance.formats.protection import Protection
from appliance.policies.book import Book
from appliance.policies.deadman import FUTURE, Standing, judge, promised_since, target_s

MACHINE = "machine "
"""How the subjects of these findings begin."""


def judge_machines(session: Session, catalog: Catalog) -> list[Finding] | None:
    """Findings about machines; None when nothing can be said.

    That is without a store, while it is locked, and while the clock is doubted: every machine
    would be late by a clock that is wrong.
    """
    try:
        if not session.has_store() or session.store.points.timekeeper.doubt() is not None:
            return None
        return _judge(session, catalog)
    except HoldfastError:
        return None


def _judge(session: Session, catalog: Catalog) -> list[Finding]:
    now, zone = session.clock.now(), local_zone()
    book = Book(session.store.points)
    newest = NewestPoints(session.store, catalog).find_all(now + FUTURE)
    records = {entry.machine.machine: entry.machine for entry in book.entries()}
    targets: dict[Protection, float | None] = {}  # machines share policies, and slots take time
    found: list[Finding] = []
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
    return found
