"""Taking points out of a vault, and freeing there what nothing living needs.

Owns the order: first the head that no longer names a point, then its objects. An object is deleted
only when no living head leads to it, it is older than the time of grace (somebody may just have
carried it here), and its lock has ended; what is still locked waits for a later pruning, which asks
the vault nothing about it before that day. Which points go, others decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.vault_names import BOX, HEADS, KINDS, HeadKey, parse_head_key
from appliance.store.leases import living
from appliance.store.points import PointFile
from appliance.store.store import Store
from appliance.vault.boot_sets import list_boot_set
from appliance.vault.bucket import (
    Bucket,
    DeniedError,
    MissingObjectError,
    ObjectInfo,
    list_all_versions,
    list_objects,
)
from appliance.vault.contents import Contents
from appliance.vault.publishing import Publisher
from appliance.vault.strays import drop_bills
from appliance.vault.streams import for_each

_LISTING = 1
# Statements cut the time to a second, and what was written within this one is older than now too.
_SECOND = timedelta(seconds=1)
# Read at once: a vault of 100 machines has thousands, and a line its round trips.
_BILLS = 8


@dataclass
class PrunedVault:
    """What went. `locked_objects` wait until their locks end."""

    points: int = 0
    objects: int = 0
    bytes: int = 0
    locked_objects: int = 0
    kept: list[str] = field(default_factory=list)


class Pruning:
    """One pruning of one vault, under the vault's lock on the box."""

    def __init__(
        self,
        store: Store,
        contents: Contents,
        publisher: Publisher,
        *,
        ledger: VaultLedger,
        folder: Path,
        progress: Progress,
    ) -> None:
        """`folder`: where the box keeps what it derives of the vault."""
        self._folder = folder
        self._store = store
        self._contents = contents
        self._publisher = publisher
        self._ledger = ledger
        self._progress = progress
        self.pruned = PrunedVault()

    @property
    def _bucket(self) -> Bucket:
        return self._contents.bucket

    async def forget(self, machine: str, times: set[str]) -> None:
        """Take points of a machine out of the vault's living ones, unless somebody reads them."""
        pinned = {pin for _, lease in living(self._store.layout.leases) for pin in lease.pins}
        going = {time for time in times if PointFile(machine, time).key not in pinned}
        self.pruned.kept += [f"{machine}/{time} is in use" for time in sorted(times - going)]
        points = self._ledger.points(machine)
        if not going & points.keys():
            return
        left = {time: bill for time, bill in points.items() if time not in going}
        await self._publisher.publish(machine, left)
        drop_bills(self._folder, [points[time] for time in going & points.keys()])
        for time in going & points.keys():
            self._store.points.remote.remove(self._publisher.name, PointFile(machine, time).key)
            self.pruned.points += 1

    async def free(self, live: VaultLedger, grace: timedelta) -> None:
        """Delete what no living head leads to; `live` is an empty ledger.

        Raises IntegrityError, having deleted nothing, where it is unknown what a point needs.
        """
        box = await self._contents.newest_box_head()
        if box is None:
            return
        self._progress.phase("looking what lives", unit="items")
        for kind, digests in (
            ("wraps", box[0].wraps),
            ("settings", (box[0].settings,) if box[0].settings else ()),
        ):
            live.note_listed(kind, [(digest, 0) for digest in digests], _LISTING)
        heads = await self._contents.newest_heads(box[0])
        for machine, (head, _) in heads.items():
            if head.boot is not None:
                listed = await list_boot_set(self._contents, self._store.keys, machine, head.boot)
                live.note_listed("boots", [(name, 0) for name in listed], _LISTING)
            bills = [(f"{machine}/{time}", bill) for time, bill in head.points.items()]
            await for_each(bills, lambda one: self._mark(live, *one), _BILLS)
        newest = {machine: head.counter for machine, (head, _) in heads.items()}
        newest[BOX] = box[0].counter
        before = self._publisher.now() + _SECOND - grace
        # Somebody who opened the vault before they were merged may still read them.
        lately = self._ledger.merged_since(int(before.timestamp()) + 1)
        live.note_listed("containers", [(name, 0) for name in lately], _LISTING)
        await self._free_objects(live, before)
        await self._free_heads(newest, before)
        self._ledger.drop_subtrees()

    async def _mark(self, live: VaultLedger, what: str, bill_name: bytes) -> None:
        try:
            bill = await self._contents.read_bill(bill_name)
        except (IntegrityError, NotFoundError) as error:
            raise IntegrityError(
                f"nothing was deleted in the vault, because what {what} needs is unknown: {error}"
            ) from error
        live.note_listed("bills", [(bill_name, 0)], _LISTING)
        live.note_listed("points", [(bill.point, 0)], _LISTING)
        for kind in ("containers", "deltas"):
            names = [(need.name, need.size_bytes) for need in bill.needs if need.kind == kind]
            live.note_listed(kind, names, _LISTING)
        self._progress.advance(1)

    async def _free_objects(self, live: VaultLedger, before: datetime) -> None:
        self._progress.phase("freeing", unit="items")
        for kind in KINDS:
            async for info in list_objects(self._bucket, f"{kind}/"):
                name = info.name.rpartition("/")[2]
                digest = bytes.fromhex(name) if len(name) == 64 else b""
                if live.find(digest) is None and info.modified < before:
                    self._ledger.let_go(digest)
                    await self._delete(info)
                self._progress.advance(1)

    async def _free_heads(self, newest: dict[str, int], before: datetime) -> None:
        """Delete heads behind the newest that are older than the grace."""
        async for info in list_objects(self._bucket, HEADS):
            key = parse_head_key(info.name)
            if key is None or not _is_behind(key, newest) or info.modified >= before:
                continue
            await self._delete(info)

    async def _delete(self, info: ObjectInfo) -> None:
        """Delete an object with all its versions, once their locks have ended."""
        if not self._bucket.abilities.has_versions:
            await self._bucket.delete(info.name)
        elif await self._is_locked(info.name) or not await self._delete_versions(info.name):
            self.pruned.locked_objects += 1
            return
        self._ledger.drop_lock(info.name)
        self.pruned.objects += 1
        self.pruned.bytes += info.size_bytes

    async def _is_locked(self, name: str) -> bool:
        """Whether the lock of an object is known to last; who knows nothing of it asks once."""
        until_s = self._ledger.lock_of(name)
        if until_s is None and self._bucket.abilities.has_lock:
            until_s = await self._ask_lock(name, None)
        return (until_s or 0) > self._publisher.now().timestamp()

    async def _ask_lock(self, name: str, version: str | None) -> int:
        try:
            until = (await self._bucket.head(name, version=version)).locked_until
        except MissingObjectError:
            until = None
        until_s = 0 if until is None else math.ceil(until.timestamp())
        if until_s:
            self._ledger.note_lock(name, until_s)
        return until_s

    async def _delete_versions(self, name: str) -> bool:
        """Whether all of them are gone. What holds one of them is remembered."""
        async for version in list_all_versions(self._bucket, name):
            if version.name != name:
                continue
            try:
                await self._bucket.delete(name, version=version.version)
            except DeniedError:
                await self._ask_lock(name, version.version)
                return False
        return True


def _is_behind(key: HeadKey, newest: dict[str, int]) -> bool:
    # The head before the newest stays, so that the chain can be followed one step.
    return key.counter < newest.get(key.machine, 0) - 1
