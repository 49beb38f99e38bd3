"""From vault to vault: a carried disk into a bucket without a key, and the mirror with one.

Owns which objects go and that each is verified on its way. A copy never takes anything away.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import Need
from appliance.formats.vault_names import (
    ADOPTED,
    HEADS,
    KINDS,
    OWNERS,
    VAULT_KEY,
    HashedKey,
    object_key,
    parse_head_key,
    parse_object_key,
    parse_owner_key,
)
from appliance.keys.signing import open_statement
from appliance.store.points import PointFile
from appliance.store.remote_points import RemotePoints
from appliance.vault.bucket import (
    Bucket,
    ConflictError,
    FileRange,
    ObjectInfo,
    check_name,
    list_objects,
)
from appliance.vault.contents import Contents, open_contents
from appliance.vault.publishing import Publisher
from appliance.vault.streams import for_each

_COPIES = 4
_BATCH = 1000


@dataclass
class Copied:
    """What a copy did."""

    objects: int = 0
    bytes: int = 0
    there: int = 0
    points: int = 0


class Adoption:
    """Copies the vault in a directory into a bucket, without a key."""

    def __init__(self, root: Path, source: Bucket, target: Bucket, progress: Progress) -> None:
        """`source` is the bucket that the directory `root` is."""
        self._root = root
        self._source = source
        self._target = target
        self._progress = progress
        self.copied = Copied()

    async def run(self, ledger: VaultLedger, clock: Clock) -> Copied:
        """Copy what the target lacks; durable there on return. `ledger` is an empty one.

        Raises IntegrityError for an object that is not what its name says, UsageError if the
        target is a vault of another store.
        """
        contents = await open_contents(self._source)
        is_new = False
        try:
            there = await open_contents(self._target)
        except NotFoundError:
            is_new = True
        else:
            if there.seal.public_key != contents.seal.public_key:
                raise UsageError("the target is a vault of another store: name another place")
        for kind in KINDS:
            await self._list(kind, ledger)
        for kind in KINDS:
            await self._copy_kind(kind, ledger)
        if is_new:
            await self._copy_statements(contents)
        await self._mark(clock)
        return self.copied

    async def _list(self, kind: str, ledger: VaultLedger) -> None:
        batch = [
            (key.digest, info.size_bytes)
            async for info in list_objects(self._target, f"{kind}/")
            if (key := parse_object_key(info.name)) is not None
        ]
        ledger.note_listed(kind, batch, 1)

    async def _copy_kind(self, kind: str, ledger: VaultLedger) -> None:
        self._progress.phase("copying", unit="items", about=kind)

        async def copy(info: ObjectInfo) -> None:
            key = parse_object_key(info.name)
            if key is None:
                return
            held = ledger.find(key.digest)
            if held is not None and held.size_bytes == info.size_bytes:
                self.copied.there += 1
                return
            body = FileRange(self._root / check_name(info.name), info.size_bytes)
            await self._target.put(info.name, body, key.digest)
            self.copied.objects += 1
            self.copied.bytes += info.size_bytes
            self._progress.advance(1)

        batch: list[ObjectInfo] = []
        async for info in list_objects(self._source, f"{kind}/"):
            batch.append(info)
            if len(batch) >= _BATCH:
                await for_each(batch, copy, _COPIES)
                batch = []
        await for_each(batch, copy, _COPIES)

    async def _copy_statements(self, contents: Contents) -> None:
        """Owners, then heads, `vault.json` last: before it there is no vault."""
        names = [
            info.name
            for prefix in (OWNERS, HEADS)
            async for info in list_objects(self._source, prefix)
            if parse_owner_key(info.name) or parse_head_key(info.name)
        ]
        for name in (*names, VAULT_KEY):
            data = (await self._source.get(name)).data
            open_statement(contents.seal.public_key, name, data)
            try:
                await self._target.replace(name, data, tag=None)
            except ConflictError:
                if (await self._target.get(name)).data != data:
                    raise IntegrityError(f"{name} in the target says something else") from None

    async def _mark(self, clock: Clock) -> None:
        """Let the box's next sync list the vault."""
        name = f"{ADOPTED}{clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        await self._target.replace(name, b"objects were copied here\n", tag=None)


class Mirror:
    """Brings one vault of a box up to date with what another one holds."""

    def __init__(
        self,
        source: Contents,
        target: Contents,
        publisher: Publisher,
        *,
        ledger: VaultLedger,
        remote: RemotePoints,
        progress: Progress,
    ) -> None:
        """`publisher` and `ledger` are the target's."""
        self._remote = remote
        self._source = source
        self._target = target
        self._publisher = publisher
        self._ledger = ledger
        self._progress = progress
        self.copied = Copied()

    async def run(self) -> Copied:
        """Copy the points that the target lacks, newest first, whole ones only."""
        box = await self._source.newest_box_head()
        heads = await self._source.newest_heads(None if box is None else box[0])
        for machine, (head, _) in sorted(heads.items()):
            for time in sorted(head.points.keys() - self._ledger.points(machine), reverse=True):
                await self._copy_point(machine, time, head.points[time])
        return self.copied

    async def _copy_point(self, machine: str, time: str, bill_name: bytes) -> None:
        bill = await self._source.read_bill(bill_name)
        missing = [need for need in bill.needs if not self._has(need.name)]
        total = sum(need.size_bytes for need in missing)
        self._progress.phase("copying", total, about=f"{machine}/{time}")

        async def copy(need: Need) -> None:
            await self._copy_object(HashedKey(need.kind, need.name))
            self._progress.advance(need.size_bytes)

        await for_each(missing, copy, _COPIES)
        point = await self._copy_object(bill.point_key)
        await self._copy_object(HashedKey("bills", bill_name))
        await self._publisher.publish(machine, {**self._ledger.points(machine), time: bill_name})
        self._remote.put(self._publisher.name, PointFile(machine, time).key, point)
        self.copied.points += 1

    def _has(self, name: bytes) -> bool:
        held = self._ledger.find(name)
        return held is not None and held.is_present

    async def _copy_object(self, key: HashedKey) -> bytes:
        data = await self._source.read(key.kind, key.digest)
        until = self._publisher.lock_until()
        await self._target.bucket.put(
            object_key(key.kind, key.digest), data, key.digest, lock_until=until
        )
        until_s = 0 if until is None else int(until.timestamp())
        self._ledger.put_present(key.kind, key.digest, len(data), until_s)
        self.copied.objects += 1
        self.copied.bytes += len(data)
        return data
