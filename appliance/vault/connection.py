"""One vault, connected: the parts built once and handed to each other.

Owns no rules of its own, but for one: a vault of ours whose `vault.json` is gone was emptied, and
is made anew for the same vault, so that what is missing can be sent again.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.formats.names import format_time
from appliance.formats.vault import VAULT_ID_BYTES, VaultSeal
from appliance.formats.vault_settings import VaultSettings
from appliance.keys.keyring import read_descriptor
from appliance.keys.signing import public_key
from appliance.store.store import Store
from appliance.vault.address import DirectoryAddress, parse_address
from appliance.vault.boot_sets import BootSending
from appliance.vault.bucket import Bucket
from appliance.vault.contents import Contents, open_contents
from appliance.vault.delta_making import DeltaMaking
from appliance.vault.delta_sending import LINE_RATE, DeltaSending
from appliance.vault.destinations import Destinations
from appliance.vault.gate import Gate
from appliance.vault.line_history import LineHistory
from appliance.vault.locks import Locks
from appliance.vault.merging import MergeRule, Merging
from appliance.vault.needs import Walk
from appliance.vault.opening import open_bucket
from appliance.vault.publishing import Publisher, write_seal
from appliance.vault.registry import Registry
from appliance.vault.relearning import Relearning
from appliance.vault.stall import Stall, keep_stall
from appliance.vault.survey import Survey
from appliance.vault.sync import Sync, Synced
from appliance.vault.uploader import Uploader
from appliance.vault.wardrobe import Wardrobe

_KEPT_DAYS = 62
# From less than this the rate of a line cannot be told.
_TELLING_BYTES = 4 << 20
Making = bool | None
"""Whether a bucket that is missing is made: None: no, else whether with object lock."""


@dataclass
class Connection:
    """What works on one vault of one box."""

    store: Store
    registry: Registry
    settings: VaultSettings
    bucket: Bucket
    ledger: VaultLedger
    gate: Gate
    clock: Clock
    progress: Progress

    def now(self) -> datetime:
        """The present, as statements state it."""
        return self.clock.now().replace(microsecond=0)

    def lock_until(self) -> datetime | None:
        """Until when what is written now stays locked."""
        days = self.settings.lock_days
        return self.now() + timedelta(days=days) if days else None

    async def open(self) -> Contents:
        """Read the seal. Raises NotFoundError without one, IntegrityError for a foreign one."""
        return await open_contents(self.bucket, public_key=public_key(self.store.keys))

    async def open_or_restore(self) -> tuple[Contents, Publisher, list[str]]:
        """The vault, owned by this box; with findings, if it had to be made anew.

        Raises AccessError if another box owns it.
        """
        findings: list[str] = []
        claim = self.registry.claim(self.settings.name)
        try:
            contents = await self.open()
        except NotFoundError:
            if not claim.epoch:
                raise
            await self.make(self.settings.vault)
            contents = await self.open()
            findings.append("vault.json was missing, so the vault was made anew")
        publisher = self.publisher(contents)
        owner = await contents.find_owner()
        if claim.epoch and (owner is None or owner[0] < claim.epoch):
            findings.append("the note of who owns the vault was missing and is written again")
            await publisher.take_over()
            owner = await contents.find_owner()
        await publisher.check_owner(owner)
        return contents, publisher, findings

    async def make(self, vault: bytes | None = None) -> None:
        """Make the bucket a vault of this store."""
        seal = VaultSeal(
            vault or secrets.token_bytes(VAULT_ID_BYTES),
            read_descriptor(self.store.layout.state),
            public_key(self.store.keys),
            self.now(),
            self.settings.lock_days,
        )
        await write_seal(self.bucket, self.store.keys, seal, self.lock_until())

    def publisher(self, contents: Contents) -> Publisher:
        """Who writes its statements."""
        return Publisher(
            contents,
            self.store.keys,
            self.registry,
            self.ledger,
            settings=self.settings,
            clock=self.clock,
        )

    def wardrobe(self) -> Wardrobe:
        """Which chunks the vault holds."""
        folder = self.registry.folder(self.settings.name)
        return Wardrobe(folder, self.store.keys, self.progress)

    def sync(
        self, publisher: Publisher, wardrobe: Wardrobe, destinations: Destinations | None = None
    ) -> Sync:
        """What brings the vault up to date; without `destinations` with all there is."""
        uploader = self._uploader(wardrobe)
        walk = Walk(self.store, self.ledger, wardrobe, self.progress)
        locks = Locks(self.bucket, self.ledger, self.clock, self.settings.lock_days)
        folder = self.registry.folder(self.settings.name)
        making = DeltaMaking(self.store, self.ledger, wardrobe, self.progress)
        is_local = self.bucket.abilities.is_local
        deltas = DeltaSending(making, uploader, self.ledger, wardrobe, is_local=is_local)
        boots = BootSending(self.store, self.ledger, folder, uploader.send_small)
        return Sync(
            self.store,
            self.ledger,
            walk,
            uploader,
            publisher,
            settings=self.settings,
            folder=folder,
            locks=locks,
            boots=boots,
            deltas=deltas,
            destinations=destinations,
        )

    def merging(
        self,
        contents: Contents,
        publisher: Publisher,
        wardrobe: Wardrobe,
        rule: MergeRule | None = None,
    ) -> Merging:
        """What makes full containers of the vault's small ones."""
        return Merging(
            self.store,
            contents,
            publisher,
            self._uploader(wardrobe),
            wardrobe,
            ledger=self.ledger,
            folder=self.registry.folder(self.settings.name),
            progress=self.progress,
            rule=rule,
        )

    def _uploader(self, wardrobe: Wardrobe) -> Uploader:
        return Uploader(
            self.bucket,
            self.store.layout,
            self.ledger,
            wardrobe,
            gate=self.gate,
            progress=self.progress,
            lock_until=self.lock_until,
        )

    def survey(self, contents: Contents, publisher: Publisher, wardrobe: Wardrobe) -> Survey:
        """What compares the vault with what the box remembers."""
        return Survey(
            contents,
            publisher,
            self.ledger,
            wardrobe,
            points=self.store.points,
            relearning=Relearning(contents, self.ledger, wardrobe, self.store.keys),
            progress=self.progress,
        )

    def note_sync(self, done: Synced, seconds: float, line_rate: float | None) -> None:
        """Remember how a sync ended, and what the line carried."""
        if line_rate is not None:
            self.ledger.set_note(LINE_RATE, line_rate)
        sent_bytes = self.bucket.traffic.sent_bytes
        if sent_bytes >= _TELLING_BYTES and seconds > 0:
            self.ledger.set_note("bytes_per_s", sent_bytes / seconds)
        if done.is_done:
            keep_stall(self.ledger, None)
        waits = "; ".join(f"{machine} waits: {why}" for machine, why in done.waiting.items())
        self.ledger.set_note(
            "last",
            {
                "ended": format_time(self.now()),
                "kind": "waits" if waits else "gaps" if done.findings else "whole",
                "outcome": waits or ("see below" if done.findings else "all that was due is there"),
                "findings": done.findings,
            },
        )

    def note_traffic(self) -> None:
        """Add what this connection asked of the vault to the sums of today."""
        day = f"{self.clock.now():%Y-%m-%d}"
        days = dict(self.ledger.note("traffic") or {})
        known = days.get(day, {"requests": {}, "sent_bytes": 0, "received_bytes": 0})
        traffic = self.bucket.traffic
        for kind, count in traffic.requests.items():
            known["requests"][kind] = known["requests"].get(kind, 0) + count
        known["sent_bytes"] += traffic.sent_bytes
        known["received_bytes"] += traffic.received_bytes
        days[day] = known
        self.ledger.set_note("traffic", dict(sorted(days.items())[-_KEPT_DAYS:]))


@contextlib.asynccontextmanager
async def connect(
    store: Store, name: str | None, clock: Clock, progress: Progress, making: Making = None
) -> AsyncIterator[Connection]:
    """Open a vault that the box knows. Raises as `Registry.get` and opening the bucket do."""
    registry = Registry(store)
    settings = registry.get(name)
    with contextlib.ExitStack() as stack:
        ledger = VaultLedger(registry.folder(settings.name) / LEDGER)
        stack.callback(ledger.close)
        catalog = stack.enter_context(Catalog(store.layout.state / "catalog.db"))
        line = LineHistory(Measurements(catalog), settings.name, clock)
        bucket, gate = await _connect(registry, settings, ledger, clock, making=making, line=line)
        bucket.traffic.listeners.append(Stall(ledger, clock, progress).note)
        connection = Connection(store, registry, settings, bucket, ledger, gate, clock, progress)
        try:
            yield connection
        finally:
            connection.note_traffic()
            line.close()
            await connection.bucket.close()


async def _connect(
    registry: Registry,
    settings: VaultSettings,
    ledger: VaultLedger,
    clock: Clock,
    *,
    making: Making,
    line: LineHistory,
) -> tuple[Bucket, Gate]:
    bucket: Bucket | None = None

    def sent_today() -> int:
        day = f"{clock.now():%Y-%m-%d}"
        before = (ledger.note("traffic") or {}).get(day, {"sent_bytes": 0})
        return int(before["sent_bytes"]) + (0 if bucket is None else bucket.traffic.sent_bytes)

    address = parse_address(settings.url)
    is_local = isinstance(address, DirectoryAddress)
    gate = Gate(
        lambda: registry.get(settings.name),
        clock,
        sent_today,
        is_local=is_local,
        tell=line.note_sent,
    )
    credentials = None if is_local else registry.credentials.find(settings.name)
    bucket = await open_bucket(
        address,
        credentials,
        create=making is not None,
        with_lock=bool(making),
        throttle=gate,
        clock=clock,
    )
    return bucket, gate
