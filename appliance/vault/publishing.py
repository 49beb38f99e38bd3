"""Writing statements: who owns a vault, and the chains of heads.

Owns the order that makes a chain: what is about to be written is noted on the box first, so that a
head found later is known to be ours or not. Nothing here looks at what heads lead to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from appliance.base.clock import Clock
from appliance.base.errors import AccessError, IntegrityError
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.vault import (
    BoxHead,
    Head,
    Link,
    Owner,
    VaultSeal,
    encode_box_head,
    encode_head,
    encode_owner,
    encode_seal,
)
from appliance.formats.vault_names import BOX, VAULT_KEY, HeadKey, owner_key
from appliance.formats.vault_settings import Claim, VaultSettings
from appliance.keys.hierarchy import MasterKey
from appliance.keys.signing import sign_statement
from appliance.vault.bucket import Bucket, ConflictError, ObjectInfo
from appliance.vault.contents import Contents
from appliance.vault.locks import note_statement
from appliance.vault.registry import Registry

_OWNER = "owner seen"


class Publisher:
    """Writes statements into one vault, for the box that owns it."""

    def __init__(
        self,
        contents: Contents,
        master: MasterKey,
        registry: Registry,
        ledger: VaultLedger,
        *,
        settings: VaultSettings,
        clock: Clock,
    ) -> None:
        self._contents = contents
        self._master = master
        self._registry = registry
        self._ledger = ledger
        self.name = settings.name
        self._lock_days = settings.lock_days
        self._clock = clock
        self.claim = registry.claim(settings.name)

    def now(self) -> datetime:
        """The present, as statements state it."""
        return self._clock.now().replace(microsecond=0)

    def lock_until(self) -> datetime | None:
        """Until when what is written now stays locked."""
        return self.now() + timedelta(days=self._lock_days) if self._lock_days else None

    # ---- who owns ----

    async def check_owner(self, found: tuple[int, ObjectInfo] | None) -> None:
        """Raise AccessError unless `found`, the newest owner there is, is this box.

        It is read unless it is still what it was when this box was found to be the owner.
        """
        if found is None:
            raise IntegrityError(
                f"vault '{self.name}' has lost the note of its owner: "
                "'holdfast vault remove' and 'holdfast vault add URL --take-over' write a new one"
            )
        epoch, info = found
        seen = [self.claim.epoch, self.claim.box.hex(), info.name, info.tag, info.version]
        if self._ledger.note(_OWNER) == seen:
            return
        owner, _ = await self._contents.read_owner(epoch)
        if owner.box != self.claim.box or owner.epoch != self.claim.epoch:
            raise AccessError(
                f"another box owns vault '{self.name}' since "
                f"{owner.taken:%Y-%m-%d %H:%M} UTC (epoch {owner.epoch}): this box uploads nothing "
                "there any more; if it is the one to go on: 'holdfast vault remove' and "
                "'holdfast vault add URL --take-over'",
                code="vault-of-another",
            )
        self._ledger.set_note(_OWNER, seen)

    async def take_over(self) -> None:
        """Own the vault from now on, in a new epoch. Durable on both sides on return."""
        found = await self._contents.newest_owner()
        epoch = 1 if found is None else found[0].epoch + 1
        previous = None if found is None else found[1]
        owner = Owner(self._contents.seal.vault, epoch, self.claim.box, self.now(), previous)
        await self._write(owner_key(epoch), encode_owner(owner))
        self._keep(replace(self.claim, epoch=epoch))

    # ---- chains ----

    def link(self, machine: str) -> Link | None:
        """The newest head of a machine that this box knows."""
        found = self._ledger.note(f"head {machine}")
        return None if found is None else Link(found[0], bytes.fromhex(found[1]))

    def note_link(self, machine: str, link: Link) -> None:
        """Remember the newest head of a machine."""
        self._ledger.set_note(f"head {machine}", [link.counter, link.digest.hex()])
        machines = set(self._ledger.note("machines") or ())
        if machine not in machines:
            self._ledger.set_note("machines", sorted({*machines, machine}))

    def links(self) -> dict[str, Link]:
        """The newest head of every machine that this box knows."""
        found = {machine: self.link(machine) for machine in self._ledger.note("machines") or ()}
        return {machine: link for machine, link in found.items() if link is not None}

    async def publish(
        self, machine: str, points: Mapping[str, bytes], *, boot: bytes | None = None
    ) -> Link:
        """Say what is alive of a machine. What `points` name must be in the vault already."""
        previous, now = self.link(machine), self.now()
        head = Head(
            self._contents.seal.vault,
            machine,
            1,
            self.claim.epoch,
            now,
            previous,
            points,
            boot=boot,
        )
        before: Head | None = None
        if previous is not None:
            before, _ = await self._contents.read_head(HeadKey(machine, previous.counter))
        while True:
            counter = 1 if head.previous is None else head.previous.counter + 1
            gone = {} if before is None else before.points.keys() - points.keys()
            head = replace(
                head,
                counter=counter,
                tombstones=dict.fromkeys(gone, now),
                boot=boot or (None if before is None else before.boot),
            )
            try:
                link = await self._write(str(head.key), encode_head(head))
            except ConflictError:
                # A head of ours whose answer was lost: the check of the box's chain came before.
                before, found = await self._contents.read_head(head.key)
                head = replace(head, previous=found)
                continue
            self.note_link(machine, Link(counter, link))
            self._ledger.set_points(machine, points)
            return Link(counter, link)

    async def publish_box(
        self, newest: Link | None, wraps: tuple[bytes, ...], settings: bytes | None
    ) -> Link:
        """Publish the head of the box; `newest` is the newest one in the vault."""
        known = self.claim.head
        counter = max(known.counter if known else 0, newest.counter if newest else 0) + 1
        head = BoxHead(
            self._contents.seal.vault,
            counter,
            self.claim.epoch,
            self.now(),
            newest,
            self.links(),
            wraps,
            settings,
        )
        key, line = str(head.key), encode_box_head(head)
        data = sign_statement(self._master, key, line)
        digest = hashlib.sha256(data).digest()
        self._keep(replace(self.claim, next=digest))
        until = self.lock_until()
        await self._contents.bucket.replace(key, data, tag=None, lock_until=until)
        note_statement(self._ledger, key, until)
        self._keep(replace(self.claim, head=Link(counter, digest), next=None))
        return Link(counter, digest)

    def statements(self) -> list[str]:
        """The keys of those statements that count now."""
        heads = [str(HeadKey(machine, link.counter)) for machine, link in self.links().items()]
        box = [] if self.claim.head is None else [str(HeadKey(BOX, self.claim.head.counter))]
        return [VAULT_KEY, owner_key(self.claim.epoch), *heads, *box]

    def adopt_box_head(self, link: Link) -> None:
        """The newest head of the box is this one from now on."""
        self._keep(replace(self.claim, head=link, next=None))

    def _keep(self, claim: Claim) -> None:
        self._registry.put_claim(self.name, claim)
        self.claim = claim

    async def _write(self, key: str, line: bytes) -> bytes:
        data = sign_statement(self._master, key, line)
        until = self.lock_until()
        await self._contents.bucket.replace(key, data, tag=None, lock_until=until)
        note_statement(self._ledger, key, until)
        return hashlib.sha256(data).digest()


async def write_seal(
    bucket: Bucket, master: MasterKey, seal: VaultSeal, lock_until: datetime | None
) -> None:
    """Make a bucket a vault. Raises ConflictError if it is one already."""
    data = sign_statement(master, VAULT_KEY, encode_seal(seal))
    await bucket.replace(VAULT_KEY, data, tag=None, lock_until=lock_until)
