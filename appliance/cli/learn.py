"""learn: the lists that the daemon's pages read are brought up to what the store says."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict

from appliance.base.errors import HoldfastError
from appliance.base.locks import FileLock
from appliance.base.process import yield_to_others
from appliance.catalog.catalog import Catalog
from appliance.catalog.learning import learn_points
from appliance.catalog.listing import FILE_NAME, Listing
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.cli.drills import open_records
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.names import format_time
from appliance.store.points import PointFile
from appliance.vault.registry import Registry
from appliance.vault.standing import prove_immutable


def learn(session: Session, _: argparse.Namespace) -> int:
    """Look at all points once."""
    yield_to_others()
    store = session.store
    lock = store.layout.state / "run" / "learn.lock"
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(FileLock(lock))
        catalog = stack.enter_context(Catalog(session.state / "catalog.db"))
        listing = Listing(session.state / FILE_NAME)
        stack.callback(listing.close)
        learned = learn_points(
            store,
            catalog,
            listing,
            lock_of=_open_locks(session, stack),
            drilled=_list_drilled(session, catalog),
        )
    value = asdict(learned)
    session.console.result(
        value, f"{learned.points} points of {learned.machines} machines, {learned.changed} new"
    )
    return DONE


def _open_locks(session: Session, stack: ExitStack) -> Callable[[PointFile], str | None]:
    """Asks what the box remembers of each vault."""
    registry, now = Registry(session.store), session.clock.now()
    ledgers = []
    for name in registry.names():
        with suppress(HoldfastError):
            ledger = VaultLedger(registry.folder(name) / LEDGER)
            stack.callback(ledger.close)
            ledgers.append((registry.get(name), ledger))

    def lock_of(file: PointFile) -> str | None:
        found = [
            prove_immutable(settings, ledger, file.folder, file.stem, now)
            for settings, ledger in ledgers
        ]
        return max((format_time(until) for until in found if until is not None), default=None)

    return lock_of


def _list_drilled(session: Session, catalog: Catalog) -> dict[str, str]:
    """Point -> when a drill showed last that it recovers."""
    summaries, _ = open_records(session).list(catalog)
    return {
        machine.point: summary.began
        for summary in summaries
        for machine in summary.machines
        if machine.verdict == "passed"
    }
