"""Merging small containers of a vault into full ones, as a part of its collection.

Increments of many machines arrive as small containers, which would be listed, locked, paid for and
fetched one by one for ever. Owns when that is worth the bills that must be written anew, and the
order that a crash may interrupt anywhere: full containers, bills, heads, and only then what the box
remembers. Until its head is written a point needs the small ones, afterwards the full one; both are
there. The small ones are garbage then, and go as such: after the time of grace, after their locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.errors import Cancelled, HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.formats.bill import Need
from appliance.formats.vault_names import HashedKey, Kind, name_object
from appliance.native import HEADER_BYTES, KIND_DELTA, TRAILER_BYTES, Directory
from appliance.store.points import PointFile
from appliance.store.store import Store
from appliance.vault.contents import Contents
from appliance.vault.living import LivingChunks
from appliance.vault.merge_making import MadeContainer, MergeMaking
from appliance.vault.publishing import Publisher
from appliance.vault.rebilling import Successor, Successors, read_strays, rewrite_bill
from appliance.vault.strays import keep_bill, keep_only_bills
from appliance.vault.streams import for_each
from appliance.vault.uploader import Uploader
from appliance.vault.wardrobe import Wardrobe

_BILLS = 8


@dataclass(frozen=True)
class MergeRule:
    """When merging pays.

    Attributes:
        small_bytes: a container of less is small: a quarter of a full one.
        least: fewer small ones stay as they are.
        share: so do they while they are less than this share of all containers. Every bill that
            names one is written anew, so the more there is, the rarer.
        most_bytes: of small containers in one round, so that an interrupted one loses little.
    """

    small_bytes: int = 8 << 20
    least: int = 64
    share: float = 1 / 8
    most_bytes: int = 4 << 30


@dataclass
class Merged:
    """What was merged: `small` containers into `full` ones, and points billed anew."""

    small: int = 0
    full: int = 0
    points: int = 0
    bytes: int = 0
    left: list[str] = field(default_factory=list)


@dataclass
class _Billed:
    """A living point whose bill names small containers."""

    machine: str
    time: str
    bill: bytes


class Merging:
    """One merging of one vault, under the vault's lock on the box."""

    def __init__(
        self,
        store: Store,
        contents: Contents,
        publisher: Publisher,
        uploader: Uploader,
        wardrobe: Wardrobe,
        *,
        ledger: VaultLedger,
        folder: Path,
        progress: Progress,
        rule: MergeRule | None = None,
    ) -> None:
        """`folder`: where the box keeps what it derives of the vault."""
        self._store = store
        self._contents = contents
        self._publisher = publisher
        self._uploader = uploader
        self._wardrobe = wardrobe
        self._ledger = ledger
        self._folder = folder
        self._progress = progress
        self._rule = rule or MergeRule()
        self.merged = Merged()

    async def run(self) -> Merged:
        """Merge while that pays. What forbids it for now is said in `left`, never raised."""
        try:
            while await self._merge_round():
                pass
        except Cancelled:
            raise
        except HoldfastError as error:
            self.merged.left.append(f"small containers stay apart for now: {error}")
        self._ledger.drop_merged()
        living = {
            bill
            for machine in self._publisher.links()
            for bill in self._ledger.points(machine).values()
        }
        await asyncio.to_thread(keep_only_bills, self._folder, living)
        return self.merged

    async def _merge_round(self) -> bool:
        """Whether something was merged."""
        small = {held.name: held for held in self._ledger.small(self._rule.small_bytes)}
        if not self._is_worth_it(len(small)):
            return False
        billed, named, kept = await self._look_at_bills(small.keys())
        living = [held for held in small.values() if held.name in named]
        if not self._is_worth_it(len(living)):
            return False
        chosen: list[Held] = []
        total = 0
        for held in living:
            total += held.size_bytes
            if chosen and total > self._rule.most_bytes:
                break
            chosen.append(held)
        successors = await self._make(chosen, billed, kept)
        if not successors:
            return False
        rebilled = await self._bill_anew(billed, successors)
        await asyncio.to_thread(self._note, successors, rebilled)
        return True

    def _is_worth_it(self, count: int) -> bool:
        rule = self._rule
        return count >= max(rule.least, rule.share * self._ledger.count_containers())

    # ---- what living points say ----

    async def _look_at_bills(
        self, small: Collection[bytes]
    ) -> tuple[list[_Billed], set[bytes], set[bytes]]:
        """The points that need small containers, which of these, and strays that lie there."""
        wanted = frozenset(small)
        billed: list[_Billed] = []
        named: set[bytes] = set()
        strays: set[bytes] = set()
        self._progress.phase("looking what is small", unit="items")

        async def look(one: _Billed) -> None:
            bill = await self._contents.read_bill(one.bill)
            found = {need.name for need in bill.needs} & wanted
            if found:
                billed.append(one)
                named.update(found)
                lying = read_strays(bill, self._store.keys)
                strays.update(chunk for chunk, where, _ in lying if where in wanted)
            self._progress.advance(1)

        every = (
            _Billed(machine, time, name)
            for machine in sorted(self._publisher.links())
            for time, name in sorted(self._ledger.points(machine).items())
        )
        await for_each(every, look, _BILLS)
        billed.sort(key=lambda one: (one.machine, one.time))
        return billed, named, strays

    # ---- full containers ----

    async def _make(
        self, chosen: list[Held], billed: list[_Billed], kept: set[bytes]
    ) -> dict[bytes, Successor | None]:
        """Send full containers; they are in the vault on return."""
        directories = {}
        for held in chosen:
            directory = await self._directory(held)
            if directory is not None:
                directories[held.name] = directory
        ids = {one: set(directory.ids()) for one, directory in directories.items()}
        every = set().union(*ids.values())
        self._progress.phase("looking what lives", unit="items")
        found = await asyncio.to_thread(self._walk, billed, every)
        found |= kept & every
        successors: dict[bytes, Successor | None] = {
            name: None for name, inside in ids.items() if inside.isdisjoint(found)
        }
        small = [held for held in chosen if held.name in ids and held.name not in successors]
        self._progress.phase("merging", total=sum(held.size_bytes for held in small))
        making = MergeMaking(self._store, self._wardrobe, self._progress).make(
            small, directories, found
        )
        while (made := await asyncio.to_thread(next, making, None)) is not None:
            if len(made.sources) > 1:
                successor = await self._send(made)
                successors |= dict.fromkeys(made.sources, successor)
        return successors

    def _walk(self, billed: list[_Billed], ids: set[bytes]) -> set[bytes]:
        living = LivingChunks(self._store, self._progress, ids)
        for one in billed:
            manifest = self._store.points.read(PointFile(one.machine, one.time))
            living.mark_point(manifest)
            self._progress.advance(1)
        return living.found

    async def _directory(self, held: Held) -> Directory | None:
        """What a container in the vault holds; None if it is damaged there."""
        directory = self._wardrobe.directory(held.name)
        if directory is not None:
            return directory
        try:
            data = await self._contents.read(_kind(held.kind), held.name)
        except (IntegrityError, NotFoundError):
            return None
        await asyncio.to_thread(self._learn, held.name, data)
        return self._wardrobe.directory(held.name)

    async def _send(self, made: MadeContainer) -> Successor:
        kind: Kind = "deltas" if made.kind == KIND_DELTA else "containers"
        await self._uploader.send_made(HashedKey(kind, made.name), made.data)
        await asyncio.to_thread(self._learn, made.name, made.data)
        held = self._ledger.find(made.name)
        assert held is not None
        self._ledger.put_sketches(held.number, made.sketches)
        self.merged.full += 1
        self.merged.bytes += len(made.data)
        return Successor(Need(made.name, len(made.data), kind), made.ordinals)

    def _learn(self, name: bytes, data: bytes) -> None:
        offset = int.from_bytes(data[-TRAILER_BYTES:][:8], "little")
        self._wardrobe.put(name, len(data), data[:HEADER_BYTES], data[offset:])

    # ---- bills and heads ----

    async def _bill_anew(self, billed: list[_Billed], successors: Successors) -> dict[bytes, bytes]:
        """Let all points need the full containers; published on return. Old bill -> new bill."""
        rebilled: dict[bytes, bytes] = {}
        machines: dict[str, list[_Billed]] = {}
        for one in billed:
            machines.setdefault(one.machine, []).append(one)
        self._progress.phase("billing points anew", total=len(billed), unit="items")
        for machine, points in machines.items():
            changed: dict[str, bytes] = {}

            async def bill(one: _Billed, changed: dict[str, bytes] = changed) -> None:
                data = await self._rewrite(one, successors)
                if data is not None:
                    key = name_object("bills", data)
                    await asyncio.to_thread(keep_bill, self._folder, key.digest, data)
                    await self._uploader.send_small(key, data)
                    changed[one.time] = rebilled[one.bill] = key.digest
                self._progress.advance(1)

            await for_each(points, bill, _BILLS)
            if changed:
                there = self._ledger.points(machine)
                await self._publisher.publish(machine, {**there, **changed})
                self.merged.points += len(changed)
        return rebilled

    async def _rewrite(self, one: _Billed, successors: Successors) -> bytes | None:
        """The new bill of a point; None if it needs nothing that was merged."""
        bill = await self._contents.read_bill(one.bill)
        if not any(need.name in successors for need in bill.needs):
            return None
        return await asyncio.to_thread(rewrite_bill, bill, successors, self._store.keys)

    def _note(self, successors: Successors, rebilled: Mapping[bytes, bytes]) -> None:
        """Remember where everything is now: points made from now on do not need the small ones."""
        now_s = int(self._publisher.now().timestamp())
        with self._ledger.batch():
            for old, new in rebilled.items():  # who reads an older head needs the old ones
                held = self._ledger.find(new)
                if held is not None:
                    self._ledger.put_merged(old, held.number, now_s)
            for name, successor in successors.items():
                held = None if successor is None else self._ledger.find(successor.need.name)
                if held is not None:
                    self._ledger.put_merged(name, held.number, now_s)
                self._ledger.let_go(name)
        for name in successors:
            self._wardrobe.forget(name)
        self.merged.small += len(successors)


def _kind(kind: str) -> Kind:
    return "deltas" if kind == "deltas" else "containers"
