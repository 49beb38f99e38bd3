"""Mending a vault: an object that is damaged there is sent again from the box.

Owns when that may be done (this box owns the vault and has the container) and the finding that is
kept either way. The bytes are compared with the name once more while they are sent. What the box
never had as it is, deltas and merged containers, is noted: the next sync sends what it held.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.formats.bill import NEEDED_KINDS
from appliance.formats.names import format_time
from appliance.formats.vault_names import parse_object_key
from appliance.keys.signing import public_key
from appliance.store.findings import note_vault_object
from appliance.store.store import Store
from appliance.vault.bucket import Bucket, FileRange
from appliance.vault.contents import open_contents
from appliance.vault.registry import Registry


class Mending:
    """Mends the vaults of one box."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._registry = Registry(store)
        self._clock = clock

    async def mend(self, vault: str, bucket: Bucket, key: str) -> bool:
        """Send the damaged object `key` of `vault` again if that may be done; keep a finding.

        False where the object stays as it is for now. The finding is durable on return; there is
        none for what is no object named by its hash.
        """
        if parse_object_key(key) is None:
            return False
        is_mended = False
        with contextlib.suppress(HoldfastError):
            is_mended = await self._send_again(vault, bucket, key)
        if not is_mended and self._registry.claim(vault).epoch:
            await asyncio.to_thread(self._note, vault, key)
        now = format_time(self._clock.now().replace(microsecond=0))
        await asyncio.to_thread(
            note_vault_object, self._store.layout, vault, key, now, is_repaired=is_mended
        )
        return is_mended

    def _note(self, vault: str, key: str) -> None:
        """Let the next sync send in another form what the object held."""
        name = parse_object_key(key)
        if name is not None and name.kind in (*NEEDED_KINDS, "bills", "points"):
            with contextlib.closing(VaultLedger(self._registry.folder(vault) / LEDGER)) as ledger:
                ledger.note_damaged(name.digest)

    async def _send_again(self, vault: str, bucket: Bucket, key: str) -> bool:
        name = parse_object_key(key)
        claim = self._registry.claim(vault)
        if name is None or name.kind != "containers" or not claim.epoch:
            return False
        path = self._store.layout.container(name.digest)
        if not path.is_file():
            return False
        contents = await open_contents(bucket, public_key=public_key(self._store.keys))
        owner = await contents.newest_owner()
        if owner is None or owner[0].box != claim.box:
            return False
        days = contents.seal.lock_days
        until = self._clock.now() + timedelta(days=days) if days else None
        body = FileRange(path, path.stat().st_size)
        await bucket.put(key, body, name.digest, lock_until=until)
        return True
