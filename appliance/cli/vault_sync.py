"""vault sync: one pass, or passes until all is there."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import AccessError, HoldfastError, UsageError
from appliance.base.text import printable, size
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.cli.exit_codes import DONE, FAILED
from appliance.cli.session import Session
from appliance.policies.book import Book
from appliance.policies.destinations import PromisedDestinations
from appliance.vault.bucket import Bucket, FullError, TransientError
from appliance.vault.connection import Connection, connect
from appliance.vault.registry import Registry
from appliance.vault.stall import note_failure, read_stall, say_stall
from appliance.vault.sync import Synced
from appliance.vault.traffic import Outcome, Traffic

_RETRY_S = 30.0


@dataclass(frozen=True)
class SyncWishes:
    """How a sync is to go.

    Attributes:
        is_waiting: stay until all is there.
        for_s: but not longer; None: whatever it takes.
        is_all: send older points, too, that newer ones supersede.
        is_thorough: list the whole vault first.
    """

    is_waiting: bool = False
    for_s: float | None = None
    is_all: bool = False
    is_thorough: bool = False


def sync(session: Session, options: argparse.Namespace) -> int:
    """Bring a vault up to date."""
    name = Registry(session.store).get(options.name).name
    if options.for_min is not None and options.for_min <= 0:
        raise UsageError("--for takes a number of minutes above 0")
    for_s = None if options.for_min is None else options.for_min * 60
    wishes = SyncWishes(options.wait, for_s, options.all, options.thorough)
    return sync_vault(session, name, wishes)


def sync_vault(session: Session, name: str, wishes: SyncWishes) -> int:
    """Bring vault `name` up to date and print what was done; gives the exit code."""
    with Registry(session.store).lock(name):
        done, traffic = asyncio.run(_sync_vault(session, name, wishes))
    for finding in done.findings:
        session.console.note(f"holdfast: {printable(finding)}")
    session.console.result(_synced_json(done, traffic), _synced_text(done, traffic))
    session.console.note_bottleneck()
    return DONE if done.is_done and not done.findings else FAILED


async def _sync_vault(
    session: Session, name: str, wishes: SyncWishes
) -> tuple[Synced, dict[str, Any]]:
    clock = session.clock
    end_s = float("inf") if wishes.for_s is None else clock.monotonic_s() + wishes.for_s
    while True:
        done, traffic = await _try_once(session, name, wishes, end_s - clock.monotonic_s())
        left_s = end_s - clock.monotonic_s()
        if done.is_done or not wishes.is_waiting or left_s <= 0:
            return done, traffic
        for machine, reason in done.waiting.items():
            session.console.note(f"holdfast: {machine} waits: {printable(reason)}")
        pause_s = _RETRY_S
        if done.goes_on is not None:
            pause_s = max(pause_s, (done.goes_on - clock.now()).total_seconds())
        await _pause(session, min(pause_s, left_s))


async def _try_once(
    session: Session, name: str, wishes: SyncWishes, left_s: float
) -> tuple[Synced, dict[str, Any]]:
    """One pass, given up after `left_s`; what keeps everything from it is something to wait for."""
    progress = session.console.progress
    bucket: Bucket | None = None
    try:
        async with (
            asyncio.timeout(None if left_s == float("inf") else max(0.0, left_s)),
            connect(session.store, name, session.clock, progress) as connection,
        ):
            bucket = connection.bucket
            done = await _sync_once(connection, wishes)
            return done, bucket.traffic.to_json()
    except TimeoutError:
        is_mute = bucket is None or not bucket.traffic.outcomes[Outcome.DONE]
        failure = "it does not answer" if is_mute else ""
    except (TransientError, FullError) as error:
        if not wishes.is_waiting:
            raise
        failure = str(error)
    except AccessError as error:  # nothing to wait for: somebody has to do something
        with closing(VaultLedger(Registry(session.store).folder(name) / LEDGER)) as ledger:
            note_failure(ledger, session.clock.now(), str(error), is_refused=True)
        raise
    with closing(VaultLedger(Registry(session.store).folder(name) / LEDGER)) as ledger:
        stalled = read_stall(ledger)
        if failure:
            stalled = note_failure(ledger, session.clock.now(), failure)
    reason = "the time is over" if stalled is None else say_stall(stalled)
    return Synced(waiting={f"vault {name}": reason}), Traffic().to_json()


async def _sync_once(connection: Connection, wishes: SyncWishes) -> Synced:
    contents, publisher, findings = await connection.open_or_restore()
    wardrobe = connection.wardrobe()
    survey = connection.survey(contents, publisher, wardrobe)
    seen = await survey.run(is_thorough=wishes.is_thorough or bool(findings))
    seen.findings[:0] = findings
    promised = PromisedDestinations(Book(connection.store.points))
    sync = connection.sync(publisher, wardrobe, promised)
    began_s = connection.clock.monotonic_s()
    try:
        return await sync.run(seen, is_all=wishes.is_all)
    except TransientError as error:
        sync.result.waiting["the box"] = str(error)
        return sync.result
    except HoldfastError as error:
        sync.result.findings.append(str(error))
        raise
    finally:
        wardrobe.spill()
        passed_s = connection.clock.monotonic_s() - began_s
        connection.note_sync(sync.result, passed_s, sync.line_bytes_per_s)


async def _pause(session: Session, seconds: float) -> None:
    until_s = session.clock.monotonic_s() + seconds
    while session.clock.monotonic_s() < until_s:
        session.console.progress.check()
        await asyncio.sleep(0.2)


def _synced_json(done: Synced, traffic: dict[str, Any]) -> dict[str, Any]:
    return {
        "points": done.points,
        "skipped": done.skipped,
        "waiting": done.waiting,
        "findings": done.findings,
        "done": done.is_done,
        "traffic": traffic,
    }


def _synced_text(done: Synced, traffic: dict[str, Any]) -> str:
    lines = [f"in the vault now: {', '.join(done.points)}" if done.points else "nothing was due"]
    if done.skipped:
        lines.append(f"{done.skipped} older points are left out ('--all' sends them)")
    lines += [f"{machine} waits: {reason}" for machine, reason in done.waiting.items()]
    requests = sum(traffic["requests"].values())
    lines.append(f"{size(traffic['sent_bytes'])} sent in {requests} requests")
    return "\n".join(lines)
