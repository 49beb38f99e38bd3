"""vault retain, vault prune: which points stay in a vault."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.text import counted, printable, size
from appliance.catalog.vault_ledger import VaultLedger
from appliance.cli.exit_codes import DONE
from appliance.cli.retain import chosen_rules, describe
from appliance.cli.session import Session
from appliance.formats.point import COMPLETE
from appliance.formats.policy import KEEP_ALL, Policy
from appliance.formats.vault_settings import VaultSettings
from appliance.retention.prune import refuse_in_doubt
from appliance.retention.rules import Candidate, State, Verdict, judge_machine
from appliance.store.points import PointFile
from appliance.store.store import Store
from appliance.vault.connection import connect
from appliance.vault.merging import Merged
from appliance.vault.pruning import PrunedVault, Pruning
from appliance.vault.registry import Registry


def retain(session: Session, options: argparse.Namespace) -> int:
    """Show or set which points stay in a vault."""
    registry = Registry(session.store)
    settings = registry.get(options.name)
    chosen = chosen_rules(options, KEEP_ALL)
    if chosen is not None:
        settings = replace(settings, retention=chosen)
        registry.put(settings)
    policy = settings.retention or KEEP_ALL
    session.console.result(
        {"name": settings.name, "retention": policy.to_json()},
        f"vault '{settings.name}': {describe(policy).partition(';')[0]}",
    )
    return DONE


def prune(session: Session, options: argparse.Namespace) -> int:
    """Take out of a vault what its rules do not keep, and free what nothing needs."""
    if options.grace < 0:
        raise UsageError("--grace takes a number of days of at least 0")
    store = session.store
    registry = Registry(store)
    settings = registry.get(options.name)
    refuse_in_doubt(store)
    plan = judge_vault(session, store, settings)
    going = [verdict for verdicts in plan.values() for verdict in verdicts if verdict.goes]
    pruned, merged = PrunedVault(), Merged()
    if not options.simulate:
        with registry.lock(settings.name):
            pruned, merged = asyncio.run(
                _prune(session, settings, plan, timedelta(days=options.grace))
            )
    for kept in (*pruned.kept, *merged.left):
        session.console.note(f"holdfast: {printable(kept)}")
    names = [str(verdict.name) for verdict in going]
    total = sum(map(len, plan.values()))
    session.console.result(
        {
            "simulated": options.simulate,
            "going": names,
            "points": pruned.points,
            "objects": pruned.objects,
            "bytes": pruned.bytes,
            "locked_objects": pruned.locked_objects,
            "merged": merged.small,
            "merged_into": merged.full,
        },
        f"{len(names)} of {counted(total, 'point')} would go; nothing was changed"
        if options.simulate
        else f"gone from the vault: {pruned.points} of {counted(total, 'point')}, "
        f"{size(pruned.bytes)} in {counted(pruned.objects, 'object')} freed"
        + (f", {pruned.locked_objects} are still locked" if pruned.locked_objects else "")
        + (
            f"; {counted(merged.small, 'small container')} merged into {merged.full}"
            if merged.small
            else ""
        ),
    )
    return DONE


def judge_vault(
    session: Session, store: Store, settings: VaultSettings
) -> dict[str, tuple[Verdict, ...]]:
    """What becomes of each point in a vault, by the machine's folder. Held points stay."""
    policy: Policy = settings.retention or KEEP_ALL
    machines: dict[str, list[Candidate]] = {}
    for key in store.points.remote.keys(settings.name):
        file = PointFile.parse(key)
        try:
            manifest = store.points.read(file)
        except (IntegrityError, NotFoundError):
            continue
        shield = store.points.holds.shield(file.label)
        shields = () if shield is None else (shield,)
        state: State = "complete" if manifest.state == COMPLETE else "incomplete"
        candidate = Candidate(manifest.name, state, shields)
        machines.setdefault(file.folder, []).append(candidate)
    now = session.clock.now()
    return {folder: judge_machine(found, policy, now) for folder, found in machines.items()}


async def _prune(
    session: Session,
    settings: VaultSettings,
    plan: dict[str, tuple[Verdict, ...]],
    grace: timedelta,
) -> tuple[PrunedVault, Merged]:
    progress = session.console.progress
    async with connect(session.store, settings.name, session.clock, progress) as connection:
        contents, publisher, _ = await connection.open_or_restore()
        wardrobe = connection.wardrobe()
        seen = await connection.survey(contents, publisher, wardrobe).run()
        pruning = Pruning(
            session.store,
            contents,
            publisher,
            ledger=connection.ledger,
            folder=connection.registry.folder(settings.name),
            progress=progress,
        )
        for folder, verdicts in plan.items():
            going = {verdict.name.file_time for verdict in verdicts if verdict.goes}
            await pruning.forget(folder, going)
        merged = await connection.merging(contents, publisher, wardrobe).run()
        wardrobe.spill()
        await connection.sync(publisher, wardrobe).publish_box(seen)
        with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
            live = VaultLedger(Path(folder) / "live.db")
            try:
                await pruning.free(live, grace)
            finally:
                live.close()
        return pruning.pruned, merged
