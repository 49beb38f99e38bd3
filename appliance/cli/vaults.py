"""vault: add, open; the other actions are in the modules beside this one."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from dataclasses import replace

from appliance.base.errors import NotFoundError, UsageError
from appliance.base.text import counted, printable
from appliance.cli import vault_copies, vault_prune, vault_settings, vault_status, vault_sync
from appliance.cli.exit_codes import DONE, FAILED
from appliance.cli.key_input import read_recovery_key
from appliance.cli.session import Session
from appliance.cli.vault_input import find_credentials
from appliance.cli.vault_pull import pull
from appliance.formats.names import format_time, parse_time
from appliance.formats.vault import VAULT_ID_BYTES
from appliance.formats.vault_credentials import Credentials
from appliance.formats.vault_settings import VaultSettings, check_vault_name
from appliance.vault.address import Address, check_as_of, check_lock, parse_address
from appliance.vault.as_of import AsOfBucket
from appliance.vault.bucket import Bucket
from appliance.vault.connection import Connection, connect
from appliance.vault.contents import open_contents
from appliance.vault.empty_box import Opened, Opening, refuse_old_store
from appliance.vault.object_lock import probe_lock
from appliance.vault.opening import open_bucket
from appliance.vault.registry import Registry
from appliance.vault.travel import succeed

Action = Callable[[Session, argparse.Namespace], int]


def vault(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    actions: dict[str, Action] = {
        "add": add,
        "status": vault_status.status,
        "sync": vault_sync.sync,
        "verify": vault_copies.verify,
        "limit": vault_settings.limit,
        "policy": vault_settings.policy,
        "set-credentials": vault_settings.set_credentials,
        "remove": vault_settings.remove,
        "retain": vault_prune.retain,
        "prune": vault_prune.prune,
        "open": open_box,
        "mirror": vault_copies.mirror,
        "seed": vault_copies.seed,
        "adopt": vault_copies.adopt,
        "pull": pull,
    }
    return actions[options.action](session, options)


def add(session: Session, options: argparse.Namespace) -> int:
    """Make a bucket or a directory a vault of this store."""
    address = parse_address(options.url)
    if options.lock:
        check_lock(address, options.lock, is_confirmed=options.yes)
    credentials = find_credentials(address, options.credentials_file)
    settings = asyncio.run(
        add_vault(
            session,
            options.name,
            address,
            options.lock,
            credentials,
            is_taking_over=options.take_over,
        )
    )
    locked = f"; what is uploaded is immutable for {options.lock} days" if options.lock else ""
    session.console.result(
        settings.to_json(),
        f"vault '{settings.name}' at {settings.url}{locked}: 'holdfast vault sync' fills it",
    )
    return DONE


async def add_vault(
    session: Session,
    name: str,
    address: Address,
    lock_days: int,
    credentials: Credentials | None,
    *,
    is_taking_over: bool = False,
) -> VaultSettings:
    """Make a vault of `address` and keep it; durable on return, and nothing is kept on failure."""
    registry = Registry(session.store)
    if check_vault_name(name) in registry.names():
        raise UsageError(
            f"there is a vault '{name}' already: choose another --name", code="vault-exists"
        )
    registry.remove(name)  # what a killed attempt left
    registry.put(VaultSettings(name, str(address), bytes(VAULT_ID_BYTES), lock_days))
    try:
        if credentials is not None:
            registry.credentials.keep(name, credentials)
        progress = session.console.progress
        async with connect(
            session.store, name, session.clock, progress, making=bool(lock_days)
        ) as connection:
            return await _begin(connection, is_taking_over=is_taking_over)
    except BaseException:
        registry.remove(name)
        raise


async def _begin(connection: Connection, *, is_taking_over: bool) -> VaultSettings:
    """Make the bucket a vault, or find that it is one of this box already."""
    if connection.settings.lock_days:
        verdict = await probe_lock(connection.bucket)
        if not verdict.holds:
            raise UsageError(
                f"locks do not hold here, so --lock is refused: {verdict.reason}",
                code="lock-does-not-hold",
            )
        connection.ledger.set_note("lock_proof", format_time(connection.now()))
    try:
        contents = await connection.open()
    except NotFoundError:
        await connection.make()
        contents = await connection.open()
    settings = replace(
        connection.settings, vault=contents.seal.vault, lock_days=contents.seal.lock_days
    )
    connection.registry.put(settings)
    connection.settings = settings
    publisher = connection.publisher(contents)
    connection.registry.put_claim(settings.name, publisher.claim)
    if is_taking_over or await contents.find_owner() is None:
        await publisher.take_over()
        await succeed(contents, connection.store.keys, connection.store.layout)
    await publisher.check_owner(await contents.find_owner())
    return settings


def open_box(session: Session, options: argparse.Namespace) -> int:
    """Make a box from a vault and its recovery key."""
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
    address = parse_address(options.url)
    if as_of is not None:
        check_as_of(address)
    refuse_old_store(session.state)
    recovery_key = read_recovery_key(options.recovery_key)
    credentials = find_credentials(address, options.credentials_file)
    bucket: Bucket = await open_bucket(address, credentials)
    try:
        if as_of is not None:
            bucket = AsOfBucket(bucket, as_of)
        contents = await open_contents(bucket)
        opening = Opening(contents, session.state, session.clock, session.console.progress)
        box = await opening.find_state(options.expect)
        master, wraps = await opening.find_key(recovery_key, box[0])
        seal = contents.seal
        settings = VaultSettings(options.name, str(address), seal.vault, seal.lock_days)
        opened = await opening.write(
            (master, wraps),
            box,
            settings,
            credentials,
            passphrase=session.passphrase,
            is_successor=options.take_over,
        )
    finally:
        await bucket.close()
    if options.take_over:
        await _take_over(session, opened.name)
    _tell_opened(session, opened, is_successor=options.take_over)
    return FAILED if opened.findings else DONE


def _tell_opened(session: Session, opened: Opened, *, is_successor: bool) -> None:
    for finding in opened.findings:
        session.console.note(f"holdfast: {printable(finding)}")
    written = format_time(opened.written)
    session.console.result(
        {
            "vault": opened.name,
            "counter": opened.counter,
            "written": written,
            "points": opened.points,
            "settings": opened.settings,
            "took_over": is_successor,
            "findings": opened.findings,
        },
        f"vault '{opened.name}' is open: {counted(opened.points, 'point')}; its newest state is "
        f"number {opened.counter} of {written}\n"
        "compare that with what you know: an empty box cannot tell whether the vault "
        "was rolled back"
        + (
            "\nthis box goes on in the place of the old one: 'holdfast machines list' shows what "
            "it backs up from now on"
            if is_successor
            else ""
        ),
    )


async def _take_over(session: Session, name: str) -> None:
    async with connect(session.store, name, session.clock, session.console.progress) as connection:
        await connection.publisher(await connection.open()).take_over()
