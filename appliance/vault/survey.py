"""Comparing what a box remembers of a vault with what the vault shows.

Owns what is noticed: a vault that was emptied or rolled back, another box that writes, objects that
somebody brought or took away. It changes what the box remembers, never what is in the vault, and
nothing else on the box.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from appliance.base.errors import AccessError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.base.text import counted
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.bill import NEEDED_KINDS
from appliance.formats.vault import BoxHead, Link
from appliance.formats.vault_names import ADOPTED, HEADS, KINDS, HeadKey, parse_object_key
from appliance.store.points import BOX as HERE
from appliance.store.points import PointFile, Points
from appliance.vault.bucket import list_objects
from appliance.vault.contents import Contents
from appliance.vault.publishing import Publisher
from appliance.vault.relearning import Relearning
from appliance.vault.wardrobe import Wardrobe

_BATCH = 1000
_LISTING = "listing"
_ADOPTED = "adopted"


@dataclass
class Surveyed:
    """What was noticed."""

    newest: Link | None = None
    """The newest head of the box in the vault."""
    box: BoxHead | None = None
    findings: list[str] = field(default_factory=list)
    lost_objects: int = 0
    is_rolled_back: bool = False
    is_listed: bool = False


class Survey:
    """One look at a vault, before anything is written to it."""

    def __init__(
        self,
        contents: Contents,
        publisher: Publisher,
        ledger: VaultLedger,
        wardrobe: Wardrobe,
        *,
        points: Points,
        relearning: Relearning,
        progress: Progress,
    ) -> None:
        self._relearning = relearning
        self._points = points
        self._remote = points.remote
        self._contents = contents
        self._publisher = publisher
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._progress = progress

    async def run(self, *, is_thorough: bool = False) -> Surveyed:
        """Look. With `is_thorough` everything is listed, whatever the heads say.

        Raises AccessError if another box with this box's identity wrote to the vault.
        """
        seen = Surveyed()
        await self._compare_heads(seen)
        adopted = await self._adopted()
        is_new = self._ledger.note(_LISTING) is None
        if is_new and not adopted and seen.newest is None and self._publisher.claim.head is None:
            # Made a moment ago: there is nothing to list.
            self._ledger.set_note(_LISTING, 0)
            self._ledger.set_note(_ADOPTED, adopted)
            is_new = False
        if is_new or is_thorough or seen.is_rolled_back or adopted != self._ledger.note(_ADOPTED):
            await self._list_all(seen)
            self._ledger.set_note(_ADOPTED, adopted)
        damaged = self._give_up_damaged(seen)
        if seen.is_listed or damaged:
            await self._read_heads(seen)
        if is_new:
            await self._relearning.run()
        self._ledger.forget_damaged(damaged)
        return seen

    def _give_up_damaged(self, seen: Surveyed) -> list[bytes]:
        """What is damaged in the vault and cannot be sent again as it was does not serve there."""
        damaged = self._ledger.damaged()
        for name in damaged:
            self._ledger.set_absent(name)
            self._wardrobe.forget(name)
        if damaged:
            self._ledger.drop_subtrees()
            seen.lost_objects += len(damaged)
            seen.findings.append(
                f"{counted(len(damaged), 'object')} damaged in the vault: what the box has of "
                "their content is sent again"
            )
        return damaged

    async def _compare_heads(self, seen: Surveyed) -> None:
        claim = self._publisher.claim
        known = claim.head
        # From the one we know on: in a locked vault there are thousands before it.
        found = await self._contents.newest_box_head(known.counter - 1 if known else 0)
        if found is None and known is not None:
            found = await self._contents.newest_box_head()
        if found is not None:
            seen.box, seen.newest = found
        newest = seen.newest
        if newest == known:
            return
        if newest is None or (known is not None and newest.counter < known.counter):
            seen.is_rolled_back = True
            seen.findings.append(
                "the vault was emptied or rolled back: its newest state is "
                + ("gone" if newest is None else f"number {newest.counter}")
                + f", this box wrote number {known.counter if known else 0}; nothing on this box "
                "is deleted because of it, and what is missing there is sent again"
            )
            return
        if newest.digest == claim.next or known is None:
            self._publisher.adopt_box_head(newest)
            return
        raise AccessError(
            "somebody else with this box's identity writes to the vault (a copy of this box?): on "
            "the one that is to go on: 'holdfast vault remove', 'holdfast vault add --take-over'",
            code="vault-of-a-copy",
        )

    async def _adopted(self) -> list[str]:
        return [info.name async for info in list_objects(self._contents.bucket, ADOPTED)]

    async def _list_all(self, seen: Surveyed) -> None:
        """Learn from a listing which objects are there."""
        listing = int(self._ledger.note(_LISTING) or 0) + 1
        self._progress.phase("listing the vault", unit="items")
        names: set[bytes] = set()
        for kind in KINDS:
            batch: list[tuple[bytes, int]] = []
            async for info in list_objects(self._contents.bucket, f"{kind}/"):
                key = parse_object_key(info.name)
                if key is None:
                    continue
                batch.append((key.digest, info.size_bytes))
                if kind in NEEDED_KINDS:
                    names.add(key.digest)
                if len(batch) >= _BATCH:
                    self._ledger.note_listed(kind, batch, listing)
                    self._progress.advance(len(batch))
                    batch.clear()
            self._ledger.note_listed(kind, batch, listing)
        seen.lost_objects = self._ledger.end_listing(listing)
        if seen.lost_objects or listing == 1:
            self._ledger.drop_subtrees()
            self._wardrobe.keep_only(names)
        if seen.lost_objects:
            seen.findings.append(f"{seen.lost_objects} objects are missing in the vault")
        self._ledger.set_note(_LISTING, listing)
        seen.is_listed = True

    async def _read_heads(self, seen: Surveyed) -> None:
        """Learn from the newest heads which points live, whole ones only."""
        known = set(self._ledger.note("machines") or ())
        for machine in sorted({*known, *(await self._contents.machines())}):
            counter = await self._contents.newest_counter(machine)
            remembered = self._publisher.link(machine)
            if counter is None:
                self._ledger.set_note(f"head {machine}", None)
                await self._replace_points(machine, {})
                continue
            head, link = await self._contents.read_head(HeadKey(machine, counter))
            if remembered is not None and remembered.counter > counter:
                seen.findings.append(f"{HEADS}{machine} went back to number {counter}")
            self._publisher.note_link(machine, link)
            broken = {
                time
                for time, bill in head.points.items()
                if seen.lost_objects and not await self._is_whole(bill)
            }
            if broken:
                seen.findings.append(
                    f"not whole in the vault any more: "
                    f"{counted(len(broken), 'point')} of machine {machine}"
                )
            # What the box cannot send again lives on as far as it is there.
            gone = {time for time in broken if self._is_here(PointFile(machine, time))}
            left = {time: bill for time, bill in head.points.items() if time not in gone}
            await self._replace_points(machine, left)

    def _is_here(self, file: PointFile) -> bool:
        """Whether the box holds a point with its data."""
        return self._points.where(file)[:1] == [HERE]

    async def _replace_points(self, machine: str, points: dict[str, bytes]) -> None:
        """These live; those that lived before and do not now are to be sent again."""
        lost = self._ledger.points(machine).keys() - points.keys()
        lost |= set(self._ledger.note(f"lost {machine}") or ())
        self._ledger.set_note(f"lost {machine}", sorted(lost - points.keys()))
        self._ledger.set_points(machine, points)
        name = self._publisher.name
        known = set(self._remote.keys(name, machine))
        keys = {PointFile(machine, time).key: bill for time, bill in points.items()}
        for key in known - keys.keys():
            self._remote.remove(name, key)
        for key in keys.keys() - known:
            with contextlib.suppress(IntegrityError, NotFoundError):
                bill = await self._contents.read_bill(keys[key])
                self._remote.put(name, key, await self._contents.read("points", bill.point))

    async def _is_whole(self, bill_name: bytes) -> bool:
        try:
            bill = await self._contents.read_bill(bill_name)
        except (IntegrityError, NotFoundError):
            return False
        names = [bill.point, *(need.name for need in bill.needs)]
        return all((held := self._ledger.find(name)) and held.is_present for name in names)
