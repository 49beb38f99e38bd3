"""Whether a vault is what was written: every byte against its name or signature, nothing missing.

Owns the walk over all objects. Needs no key; with one, it also sees that the vault is this store's.
Memory does not grow with the vault: what was listed is kept in a temporary ledger.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.base.text import counted
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.vault import BoxHead, Head, Link
from appliance.formats.vault_names import (
    BOX,
    HEADS,
    KINDS,
    OWNERS,
    HashedKey,
    HeadKey,
    object_key,
    parse_head_key,
    parse_object_key,
    parse_owner_key,
)
from appliance.vault.bucket import ObjectInfo, list_objects
from appliance.vault.contents import Contents
from appliance.vault.streams import for_each

_READS = 4
_BATCH = 1000


@dataclass
class Checked:
    """What was read, and what is wrong with it: key -> reason."""

    objects: int = 0
    bytes: int = 0
    points: int = 0
    damages: dict[str, str] = field(default_factory=dict)
    notices: dict[str, str] = field(default_factory=dict)


class Checking:
    """One check of one vault; `ledger` is an empty one."""

    def __init__(self, contents: Contents, ledger: VaultLedger, progress: Progress) -> None:
        self._contents = contents
        self._ledger = ledger
        self._progress = progress
        self.found = Checked()

    async def run(self) -> Checked:
        """Read everything. What is damaged is noted, not raised."""
        await self._check_owners()
        newest = await self._check_heads()
        await self._list()
        for head in newest:
            for time, bill in head.points.items():
                self.found.points += 1
                await self._check_point(head.machine, time, bill)
        await self._check_bytes()
        return self.found

    # ---- statements ----

    async def _check_owners(self) -> None:
        digest: bytes | None = None
        async for info in list_objects(self._contents.bucket, OWNERS):
            epoch = parse_owner_key(info.name)
            if epoch is None:
                continue
            try:
                owner, found = await self._contents.read_owner(epoch)
            except (IntegrityError, NotFoundError) as error:
                self.found.damages[info.name] = str(error)
                continue
            self._count(info)
            if digest is not None and owner.previous != digest:
                self.found.damages[info.name] = f"{info.name} does not follow the owner before it"
            digest = found
        if digest is None:
            self.found.damages[OWNERS] = "nobody is noted as the owner of the vault"

    async def _check_heads(self) -> list[Head]:
        """Check all heads; gives the newest of each machine."""
        newest: dict[str, Head | BoxHead] = {}
        digests: dict[str, Link] = {}
        async for info in list_objects(self._contents.bucket, HEADS):
            key = parse_head_key(info.name)
            if key is None:
                continue
            try:
                head, link = await self._read_head(key)
            except (IntegrityError, NotFoundError) as error:
                self.found.damages[info.name] = str(error)
                continue
            self._count(info)
            before = newest.get(key.machine)
            reason = _break(before, digests.get(key.machine), head)
            if reason:
                self.found.damages[info.name] = f"{info.name} {reason}"
            newest[key.machine], digests[key.machine] = head, link
        box = newest.pop(BOX, None)
        if isinstance(box, BoxHead):
            self._compare_box(box, digests)
        elif newest:
            self.found.damages[f"{HEADS}{BOX}"] = "there is no head of the box"
        return [head for head in newest.values() if isinstance(head, Head)]

    async def _read_head(self, key: HeadKey) -> tuple[Head | BoxHead, Link]:
        if key.machine == BOX:
            return await self._contents.read_box_head(key.counter)
        return await self._contents.read_head(key)

    def _compare_box(self, box: BoxHead, digests: dict[str, Link]) -> None:
        for machine, link in box.heads.items():
            found = digests.get(machine)
            if found is None or found.counter < link.counter:
                key = str(HeadKey(machine, link.counter))
                self.found.damages[key] = f"{key} is missing: the vault was rolled back"

    # ---- objects ----

    async def _list(self) -> None:
        self._progress.phase("listing the vault", unit="items")
        for kind in KINDS:
            batch: list[tuple[bytes, int]] = []
            async for info in list_objects(self._contents.bucket, f"{kind}/"):
                key = parse_object_key(info.name)
                if key is not None:
                    batch.append((key.digest, info.size_bytes))
                if len(batch) >= _BATCH:
                    self._ledger.note_listed(kind, batch, 1)
                    self._progress.advance(len(batch))
                    batch.clear()
            self._ledger.note_listed(kind, batch, 1)

    async def _check_point(self, machine: str, time: str, bill_name: bytes) -> None:
        what = f"point {machine}/{time}"
        try:
            bill = await self._contents.read_bill(bill_name)
        except (IntegrityError, NotFoundError) as error:
            self.found.damages[what] = f"{what}: {error}"
            return
        missing = 0
        for name, size_bytes in ((bill.point, None), *((n.name, n.size_bytes) for n in bill.needs)):
            held = self._ledger.find(name)
            if held is None or (size_bytes is not None and held.size_bytes != size_bytes):
                missing += 1
        if missing:
            self.found.damages[what] = f"{what}: {missing} objects that it needs are not there"

    async def _check_bytes(self) -> None:
        _, total = self._ledger.totals()
        self._progress.phase("reading the vault", total=total)
        for kind in KINDS:
            batch: list[ObjectInfo] = []
            async for info in list_objects(self._contents.bucket, f"{kind}/"):
                if parse_object_key(info.name) is None:
                    self.found.notices[info.name] = "is not named as an object of a vault"
                    continue
                batch.append(info)
                if len(batch) >= _BATCH:
                    await for_each(batch, self._check_object, _READS)
                    batch = []
            await for_each(batch, self._check_object, _READS)

    async def _check_object(self, info: ObjectInfo) -> None:
        key = parse_object_key(info.name)
        assert key is not None
        try:
            await self._read_whole(info, key)
        except (IntegrityError, NotFoundError) as error:
            self.found.damages[info.name] = str(error)
        self._count(info)
        self._progress.advance(info.size_bytes)

    async def _read_whole(self, info: ObjectInfo, key: HashedKey) -> None:
        fetched = await self._contents.bucket.get(info.name)
        if hashlib.sha256(fetched.data).digest() == key.digest:
            return
        # A locked vault cannot lose a version: an older one may still be what was written.
        await self._contents.read(key.kind, key.digest)
        self.found.notices[object_key(key.kind, key.digest)] = (
            "was overwritten; an earlier version is sound"
        )

    def _count(self, info: ObjectInfo) -> None:
        self.found.objects += 1
        self.found.bytes += info.size_bytes


def _break(before: Head | BoxHead | None, link: Link | None, head: Head | BoxHead) -> str:
    """What is wrong with `head` as the one that comes after `before`; empty if nothing is."""
    if before is None or link is None:
        return ""
    if head.previous is None or head.previous.counter < before.counter:
        return "does not follow the head before it"
    if head.previous != link:
        return "follows another head than the one before it"
    if isinstance(head, Head) and isinstance(before, Head):
        silent = before.points.keys() - head.points.keys() - head.tombstones.keys()
        if silent:
            return f"leaves out {counted(len(silent), 'point')} without saying so"
    return ""
