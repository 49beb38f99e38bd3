"""vault: add, sync, set-credentials, remove, open, limit, policy."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from appliance.base.errors import HoldfastError, UsageError
from appliance.base.text import printable, size
from appliance.cli.exit_codes import DONE, FAILED, exit_code
from appliance.cli.key_input import read_recovery_key
from appliance.cli.session import Session
from appliance.formats.names import format_time, parse_time
from appliance.formats.vault import VAULT_ID_BYTES
from appliance.formats.vault_settings import VaultSettings, check_vault_name
from appliance.vault.bucket import TransientError
from appliance.vault.connection import Connection, connect, open_bucket
from appliance.vault.contents import open_contents
from appliance.vault.empty_box import Opening, refuse_old_store
from appliance.vault.gate import Window
from appliance.vault.registry import Registry
from appliance.vault.sync import Synced

_RETRY_S = 30.0


def vault(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    actions: dict[str, Callable[[Session, argparse.Namespace], int]] = {
        "add": _add,
        "sync": _sync,
        "limit": _limit,
        "remove": _remove,
        "open": _open,
    }
    return actions[options.action](session, options)


def _add(session: Session, options: argparse.Namespace) -> int:
    return asyncio.run(_add_vault(session, options))


async def _add_vault(session: Session, options: argparse.Namespace) -> int:
    store = session.store
    registry = Registry(store)
    name = check_vault_name(options.name)
    if name in registry.names():
        raise UsageError(f"there is a vault '{name}' already: choose another --name")
    settings = VaultSettings(name, options.url, bytes(VAULT_ID_BYTES))
    registry.put(settings)
    try:
        async with connect(store, name, session.clock, session.console.progress) as connection:
            settings = await _begin(connection)
    except BaseException:
        registry.remove(name)
        raise
    session.console.result(
        settings.to_json(), f"vault '{name}' at {settings.url}: 'holdfast vault sync' fills it"
    )
    return DONE


async def _begin(connection: Connection) -> VaultSettings:
    """Make the bucket a vault, or find that it is one of this box already."""
    try:
        contents = await connection.open()
    except HoldfastError as error:
        if exit_code(error) != 5:
            raise
        await connection.make()
        contents = await connection.open()
    settings = replace(
        connection.settings, vault=contents.seal.vault, lock_days=contents.seal.lock_days
    )
    connection.registry.put(settings)
    connection.settings = settings
    publisher = connection.publisher(contents)
    connection.registry.put_claim(settings.name, publisher.claim)
    if await contents.newest_owner() is None:
        await publisher.take_over()
    await publisher.check_owner()
    return settings


def _sync(session: Session, options: argparse.Namespace) -> int:
    with Registry(session.store).lock(Registry(session.store).get(options.name).name):
        return asyncio.run(_sync_vault(session, options))


async def _sync_vault(session: Session, options: argparse.Namespace) -> int:
    while True:
        async with connect(
            session.store, options.name, session.clock, session.console.progress
        ) as connection:
            done = await _sync_once(connection, options)
            traffic = connection.bucket.traffic.to_json()
        if done.is_done or not options.wait:
            break
        for machine, reason in done.waiting.items():
            session.console.note(f"holdfast: {machine} waits: {printable(reason)}")
        pause_s = _RETRY_S
        if done.goes_on is not None:
            pause_s = max(pause_s, (done.goes_on - session.clock.now()).total_seconds())
        await _pause(session, pause_s)
    for finding in done.findings:
        session.console.note(f"holdfast: {printable(finding)}")
    session.console.result(_synced_json(done, traffic), _synced_text(done, traffic))
    return DONE if done.is_done and not done.findings else FAILED


async def _sync_once(connection: Connection, options: argparse.Namespace) -> Synced:
    contents, publisher, findings = await connection.open_or_restore()
    wardrobe = connection.wardrobe()
    survey = connection.survey(contents, publisher, wardrobe)
    seen = await survey.run(is_thorough=options.thorough or bool(findings))
    seen.findings[:0] = findings
    sync = connection.sync(publisher, wardrobe)
    try:
        return await sync.run(seen, is_all=options.all)
    except TransientError as error:
        sync.result.waiting["the box"] = str(error)
        return sync.result
    finally:
        wardrobe.spill()


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


def _limit(session: Session, options: argparse.Namespace) -> int:
    registry = Registry(session.store)
    settings = registry.get(options.name)
    changes: dict[str, Any] = {}
    numbers = {
        "limit_bytes_per_s": (options.rate, 1 << 20),
        "share_percent": (options.share, 1),
        "budget_bytes_per_day": (options.budget, 1 << 30),
        "rpo_s": (options.rpo, 3600),
    }
    for member, (value, unit) in numbers.items():
        if value is not None:
            if not 0 <= value < 1e12:
                raise UsageError("limits are numbers of at least 0")
            changes[member] = int(value * unit)
    if options.share is not None and not 1 <= options.share <= 100:
        raise UsageError("--share takes 1 to 100 per cent")
    if options.window is not None:
        windows = [text for text in options.window if text != "always"]
        for text in windows:
            Window.parse(text)
        changes["windows"] = tuple(windows)
    if changes:
        settings = replace(settings, **changes)
        registry.put(settings)
    session.console.result(settings.to_json(), _limits_text(settings))
    return DONE


def _limits_text(settings: VaultSettings) -> str:
    rate, budget = settings.limit_bytes_per_s, settings.budget_bytes_per_day
    return "\n".join(
        (
            f"vault '{settings.name}':",
            f"  rate    {size(rate) + '/s' if rate else 'no limit'}, "
            f"at most {settings.share_percent} % of the line",
            f"  windows {'; '.join(settings.windows) or 'always'}",
            f"  budget  {size(budget) + ' a day' if budget else 'none'}",
            f"  target  newest point of each machine at most {settings.rpo_s / 3600:g} h old",
        )
    )


def _remove(session: Session, options: argparse.Namespace) -> int:
    registry = Registry(session.store)
    settings = registry.get(options.name)
    with registry.lock(settings.name):
        registry.remove(settings.name)
    session.console.result(
        {"removed": settings.name},
        f"vault '{settings.name}' is forgotten; what is in it stays at {settings.url}",
    )
    return DONE


def _open(session: Session, options: argparse.Namespace) -> int:
    if options.recovery_key is None:
        raise UsageError("give the recovery key: --recovery-key F")
    if options.name:
        check_vault_name(options.name)
    return asyncio.run(_open_vault(session, options))


async def _open_vault(session: Session, options: argparse.Namespace) -> int:
    as_of = None
    if options.as_of is not None:
        as_of = parse_time(options.as_of)
        if as_of is None:
            raise UsageError(f"'{options.as_of}' is no time: write 2026-11-21T09:30:00Z")
        if options.take_over:
            raise UsageError("--as-of looks back, --take-over goes on: not both")
    refuse_old_store(session.state)
    recovery_key = read_recovery_key(options.recovery_key)
    bucket = await open_bucket(options.url, None, None)
    try:
        contents = await open_contents(bucket, as_of=as_of)
        opening = Opening(contents, session.state, session.clock, session.console.progress)
        box = await opening.find_state(options.expect)
        master, wraps = await opening.find_key(recovery_key, box[0])
        seal = contents.seal
        settings = VaultSettings(options.name, options.url, seal.vault, seal.lock_days)
        opened = await opening.write(
            (master, wraps), box, settings, None, passphrase=session.passphrase
        )
    finally:
        await bucket.close()
    if options.take_over:
        await _take_over(session, opened.name)
    for finding in opened.findings:
        session.console.note(f"holdfast: {printable(finding)}")
    written = format_time(opened.written)
    session.console.result(
        {
            "vault": opened.name,
            "counter": opened.counter,
            "written": written,
            "points": opened.points,
            "took_over": options.take_over,
            "findings": opened.findings,
        },
        f"vault '{opened.name}' is open: {opened.points} points; its newest state is number "
        f"{opened.counter} of {written}\ncompare that with what you know: an empty box cannot tell "
        "whether the vault was rolled back",
    )
    return FAILED if opened.findings else DONE


async def _take_over(session: Session, name: str) -> None:
    async with connect(session.store, name, session.clock, session.console.progress) as connection:
        await connection.publisher(await connection.open()).take_over()
