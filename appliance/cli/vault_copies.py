"""vault verify, seed, adopt, mirror."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.base.durable import make_directory
from appliance.base.errors import IntegrityError, UsageError
from appliance.base.text import counted, printable, size
from appliance.catalog.vault_ledger import VaultLedger
from appliance.cli.exit_codes import DONE, exit_code
from appliance.cli.session import Session
from appliance.cli.vault_input import find_credentials
from appliance.cli.vault_sync import SyncWishes, sync_vault
from appliance.vault.address import DirectoryAddress, parse_address
from appliance.vault.checking import Checked, Checking
from appliance.vault.connection import Connection, connect
from appliance.vault.contents import open_contents
from appliance.vault.copying import Adoption, Copied, Mirror
from appliance.vault.mending import Mending
from appliance.vault.opening import open_bucket
from appliance.vault.registry import Registry

DAMAGES_SHOWN = 100


def verify(session: Session, options: argparse.Namespace) -> int:
    """Read everything in a vault."""
    if options.url is not None and not options.without_key:
        raise UsageError("a URL goes with --without-key; vaults of this box go by --name")
    checked = asyncio.run(_verify(session, options))
    for key, reason in checked.notices.items():
        session.console.note(f"holdfast: {printable(key)} {printable(reason)}")
    session.console.result(_checked_json(checked), _checked_text(checked))
    return exit_code(IntegrityError()) if checked.damages else DONE


async def _verify(session: Session, options: argparse.Namespace) -> Checked:
    progress = session.console.progress
    with _temporary_ledger() as ledger:
        if options.url is not None:
            address = parse_address(options.url)
            credentials = find_credentials(address, options.credentials_file)
            bucket = await open_bucket(address, credentials)
            try:
                return await Checking(await open_contents(bucket), ledger, progress).run()
            finally:
                await bucket.close()
        async with connect(session.store, options.name, session.clock, progress) as connection:
            if options.without_key:
                contents = await open_contents(connection.bucket)
            else:
                contents = await connection.open()
            checked = await Checking(contents, ledger, progress).run()
            if not options.without_key:
                await _mend(connection, checked)
            return checked


async def _mend(connection: Connection, checked: Checked) -> None:
    """Send damaged containers again that this box has sound; they count as notices then."""
    mending = Mending(connection.store, connection.clock)
    for key in list(checked.damages):
        if await mending.mend(connection.settings.name, connection.bucket, key):
            checked.notices[key] = f"was damaged and is sent again: {checked.damages.pop(key)}"


@contextmanager
def _temporary_ledger() -> Iterator[VaultLedger]:
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        ledger = VaultLedger(Path(folder) / "ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()


def _checked_json(checked: Checked) -> dict[str, Any]:
    return {
        "sound": not checked.damages,
        "objects": checked.objects,
        "bytes": checked.bytes,
        "points": checked.points,
        "damages": [
            {"what": what, "reason": reason}
            for what, reason in sorted(checked.damages.items())[:DAMAGES_SHOWN]
        ],
        "damage_count": len(checked.damages),
        "notices": checked.notices,
    }


def _checked_text(checked: Checked) -> str:
    read = (
        f"{counted(checked.points, 'point')}, {counted(checked.objects, 'object')}, "
        f"{size(checked.bytes)} read"
    )
    if not checked.damages:
        return f"sound: {read}"
    lines = [f"damaged: {read}"]
    lines += [
        f"  {printable(reason)}" for _, reason in sorted(checked.damages.items())[:DAMAGES_SHOWN]
    ]
    lines.append("  'holdfast vault sync --thorough' sends again what this box still has")
    return "\n".join(lines)


def seed(session: Session, options: argparse.Namespace) -> int:
    """Fill a directory that is carried to the vault."""
    from appliance.cli.vaults import add_vault

    directory = options.directory.absolute()
    make_directory(directory)
    address = DirectoryAddress(directory)
    registry = Registry(session.store)
    names = list(registry.names())
    name = next((one for one in names if registry.get(one).url == str(address)), None)
    if name is None:
        name = next(
            f"seed{n or ''}" for n in range(len(names) + 1) if f"seed{n or ''}" not in names
        )
        asyncio.run(add_vault(session, name, address, 0, None))
    return sync_vault(session, name, SyncWishes(is_waiting=True))


def adopt(session: Session, options: argparse.Namespace) -> int:
    """Copy a carried disk into a bucket, without a key."""
    copied = asyncio.run(_adopt(session, options))
    session.console.result(_copied_json(copied), _copied_text(copied))
    return DONE


async def _adopt(session: Session, options: argparse.Namespace) -> Copied:
    directory = options.directory.absolute()
    if not (directory / "vault.json").is_file():
        raise UsageError(f"{directory} holds no vault: 'holdfast vault seed' fills one")
    address = parse_address(options.url)
    credentials = find_credentials(address, options.credentials_file)
    source = await open_bucket(DirectoryAddress(directory))
    try:
        target = await open_bucket(address, credentials, create=True)
        try:
            with _temporary_ledger() as ledger:
                adoption = Adoption(directory, source, target, session.console.progress)
                return await adoption.run(ledger, session.clock)
        finally:
            await target.close()
    finally:
        await source.close()


def mirror(session: Session, options: argparse.Namespace) -> int:
    """Copy points from one vault to another."""
    if options.source == options.target:
        raise UsageError("a vault is no mirror of itself: name two")
    with Registry(session.store).lock(options.target):
        copied = asyncio.run(_mirror(session, options))
    session.console.result(_copied_json(copied), _copied_text(copied))
    return DONE


async def _mirror(session: Session, options: argparse.Namespace) -> Copied:
    store, clock, progress = session.store, session.clock, session.console.progress
    async with (
        connect(store, options.source, clock, progress) as source,
        connect(store, options.target, clock, progress) as target,
    ):
        contents, publisher, _ = await target.open_or_restore()
        wardrobe = target.wardrobe()
        seen = await target.survey(contents, publisher, wardrobe).run()
        mirror = Mirror(
            await source.open(),
            contents,
            publisher,
            ledger=target.ledger,
            remote=store.points.remote,
            progress=progress,
        )
        copied = await mirror.run()
        await target.sync(publisher, wardrobe).publish_box(seen)
        return copied


def _copied_json(copied: Copied) -> dict[str, Any]:
    return {
        "objects": copied.objects,
        "bytes": copied.bytes,
        "already_there": copied.there,
        "points": copied.points,
    }


def _copied_text(copied: Copied) -> str:
    return (
        f"{counted(copied.objects, 'object')}, {size(copied.bytes)} copied and verified"
        + (f", {copied.there} were there already" if copied.there else "")
        + (f", {counted(copied.points, 'point')}" if copied.points else "")
    )
