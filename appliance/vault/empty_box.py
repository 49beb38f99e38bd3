"""A box from nothing but a vault and its recovery key.

Owns the order in which a state directory is written so that a crash leaves no store rather than
half of one: keys, points, settings, the descriptor last. Data stays in the vault; it is read from
there when it is needed. Opening never writes to the vault.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.durable import make_directory, write_file
from appliance.base.errors import (
    AccessError,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.formats.keyfile import RECOVERY, Wrap, decode_wrap
from appliance.formats.names import format_time
from appliance.formats.vault import BOX_ID_BYTES, BoxHead, Head, Link
from appliance.formats.vault_credentials import Credentials
from appliance.formats.vault_names import parse_object_key
from appliance.formats.vault_settings import Claim, VaultSettings
from appliance.keys.hierarchy import MasterKey
from appliance.keys.keyring import adopt_keys, write_descriptor
from appliance.keys.signing import public_key
from appliance.keys.wraps import open_wrap
from appliance.store.points import SUFFIX
from appliance.store.store import Store
from appliance.vault.boot_sets import keep_boot
from appliance.vault.bucket import list_objects
from appliance.vault.contents import Contents
from appliance.vault.rebilling import learn_merged
from appliance.vault.registry import Registry
from appliance.vault.strays import keep_bill
from appliance.vault.streams import for_each
from appliance.vault.travel import unpack_bundle

_FETCHES = 16
_DEFAULT_NAME = "vault"


@dataclass
class Opened:
    """What an opened vault shows. `counter` and `written` are those of its newest state."""

    name: str
    counter: int
    written: datetime
    points: int = 0
    settings: int = 0
    findings: list[str] = field(default_factory=list)


class Opening:
    """Opens one vault onto one empty state directory."""

    def __init__(self, contents: Contents, state: Path, clock: Clock, progress: Progress) -> None:
        self._contents = contents
        self._state = state
        self._clock = clock
        self._progress = progress

    async def find_state(self, expected: int | None) -> tuple[BoxHead, Link]:
        """The newest head of the box.

        Raises NotFoundError without one, IntegrityError if its counter is below `expected`.
        """
        found = await self._contents.newest_box_head()
        if found is None:
            raise NotFoundError(
                "the vault holds nothing yet: no sync has come to its end", code="vault-empty"
            )
        if expected is not None and found[0].counter < expected:
            raise IntegrityError(
                f"the vault's newest state is number {found[0].counter} of "
                f"{format_time(found[0].written)}, and {expected} was expected: "
                "it was rolled back, or something in it was taken away"
            )
        return found

    async def find_key(self, recovery_key: bytes, box: BoxHead) -> tuple[MasterKey, list[Wrap]]:
        """The master key, and all wraps that the vault holds.

        Raises AccessError if the recovery key opens none of them.
        """
        digests = set(box.wraps)
        async for info in list_objects(self._contents.bucket, "wraps/"):
            key = parse_object_key(info.name)
            if key is not None and not box.wraps:
                digests.add(key.digest)
        wraps = []
        for digest in sorted(digests):
            try:
                wrap = decode_wrap(await self._contents.read("wraps", digest))
            except (IntegrityError, NotFoundError):
                continue
            if wrap.kind == RECOVERY:
                wraps.append(wrap)
        store_id = bytes.fromhex(self._contents.seal.store.store_id)
        for wrap in wraps:
            try:
                master = open_wrap(wrap, recovery_key, store_id)
            except AccessError:
                continue
            if public_key(master) != self._contents.seal.public_key:
                raise IntegrityError("vault.json was signed by somebody else: do not trust it")
            return master, wraps
        raise AccessError(
            "the recovery key does not open this vault: is it of another store?",
            code="wrong-recovery-key",
        )

    async def write(
        self,
        keys: tuple[MasterKey, Sequence[Wrap]],
        box: tuple[BoxHead, Link],
        settings: VaultSettings,
        credentials: Credentials | None,
        *,
        passphrase: str | None,
        is_successor: bool = False,
    ) -> Opened:
        """Write the state directory; durable on return. `settings.name` may be empty.

        `is_successor`: this box goes on in the place of the one that filled the vault.
        """
        created = format_time(self._clock.now().replace(microsecond=0))
        master, wraps = keys
        make_directory(self._state)
        adopt_keys(self._state, master, wraps, passphrase, created)
        store = Store.create(self._state, master)
        opened = Opened("", box[1].counter, box[0].written)
        registry = Registry(store)
        opened.settings = await self._write_settings(
            store, box[0], opened, is_successor=is_successor
        )
        settings = self._choose(registry, settings)
        opened.name = settings.name
        await self._write_points(store, registry.folder(settings.name), box[0], opened)
        registry.put(settings)
        if credentials is not None:
            registry.credentials.keep(settings.name, credentials)
        registry.put_claim(settings.name, Claim(secrets.token_bytes(BOX_ID_BYTES), 0, box[1]))
        write_descriptor(self._state, self._contents.seal.store)
        return opened

    async def _write_settings(
        self, store: Store, box: BoxHead, opened: Opened, *, is_successor: bool
    ) -> int:
        if box.settings is None:
            return 0
        try:
            data = await self._contents.read("settings", box.settings)
            layout = store.layout
            return len(unpack_bundle(store.keys, data, layout, is_successor=is_successor))
        except (IntegrityError, NotFoundError) as error:
            opened.findings.append(f"policies, holds and settings are lost: {error}")
            return 0

    def _choose(self, registry: Registry, settings: VaultSettings) -> VaultSettings:
        """The settings that travelled, with the address as it was given now."""
        for name in registry.names():
            try:
                known = registry.get(name)
            except HoldfastError:
                continue
            if known.vault == settings.vault and settings.name in ("", name):
                return replace(known, url=settings.url)
        return replace(settings, name=settings.name or _DEFAULT_NAME)

    async def _write_points(self, store: Store, folder: Path, box: BoxHead, opened: Opened) -> None:
        heads = await self._contents.newest_heads(box)
        wanted = [
            (head, time, bill) for head, _ in heads.values() for time, bill in head.points.items()
        ]
        wanted.sort(key=lambda one: one[1], reverse=True)
        self._progress.phase("fetching points", total=len(wanted), unit="items")
        for machine, (head, _) in heads.items():
            make_directory(store.layout.points / machine)
            if head.boot is not None:
                keep_boot(folder, machine, head.boot)
        with contextlib.closing(VaultLedger(folder / LEDGER)) as ledger:
            for machine, (head, _) in heads.items():
                ledger.set_points(machine, head.points)
            await for_each(wanted, self._fetcher(store, folder, ledger, opened), _FETCHES)

    def _fetcher(
        self, store: Store, folder: Path, ledger: VaultLedger, opened: Opened
    ) -> Callable[[tuple[Head, str, bytes]], Awaitable[None]]:
        """What fetches (head, time, bill) of one point."""

        async def fetch(one: tuple[Head, str, bytes]) -> None:
            head, time, bill_name = one
            try:
                bill = await self._contents.read_bill(bill_name)
                data = await self._contents.read("points", bill.point)
                learn_merged(ledger, bill, store.keys)
            except (IntegrityError, NotFoundError) as error:
                opened.findings.append(f"point {head.machine}/{time} cannot be opened: {error}")
                return
            if bill.strays:
                raw = await self._contents.read("bills", bill_name)
                keep_bill(folder, bill_name, raw)
            key = f"{head.machine}/{time}{SUFFIX}"
            store.points.remote.put(opened.name, key, data)
            store.points.remote.note_away(key)
            write_file(store.layout.points / key, data)
            opened.points += 1
            self._progress.advance(1)

        return fetch


def refuse_old_store(state: Path) -> None:
    """Raise UsageError unless a vault can be opened here."""
    if (state / "store" / "store.json").exists():
        raise UsageError(
            f"{state} holds a store already: choose another --state", code="store-exists"
        )
