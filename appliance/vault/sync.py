"""Bringing a vault up to date: which points go, in which order, and what each takes.

Owns the order that makes a point in the vault complete by construction: containers, point, bill,
head of the machine, head of the box. The newest point of the machine that is furthest behind goes
first; what a newer point supersedes is left out. Never waits for backups, nor lets them wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from appliance.base.errors import AccessError, HoldfastError, IntegrityError, NotFoundError
from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.formats.bill import Bill, Need, Stray, encode_bill, encode_strays
from appliance.formats.names import PointName
from appliance.formats.point import COMPLETE, Manifest
from appliance.formats.vault_names import HashedKey, name_object
from appliance.formats.vault_settings import VaultSettings
from appliance.store.leases import Lease
from appliance.store.points import PointFile
from appliance.store.store import Store
from appliance.vault.boot_sets import BootSending
from appliance.vault.bucket import TransientError
from appliance.vault.delta_sending import DeltaSending
from appliance.vault.destinations import Destinations
from appliance.vault.gate import NotNowError
from appliance.vault.locks import Locks
from appliance.vault.needs import Needs, Walk
from appliance.vault.publishing import Publisher
from appliance.vault.standing import overdue_s
from appliance.vault.strays import keep_bill
from appliance.vault.streams import for_each
from appliance.vault.survey import Surveyed
from appliance.vault.travel import fingerprint, gather_files, recovery_wraps, seal_bundle
from appliance.vault.uploader import Uploader

# Machines that are worked on at once, so that round trips of one do not leave the line idle.
_MACHINES = 4
_WALKS = 3
_WATCH_S = 0.2
# Half-made uploads are paid for like objects; a line may be down for days before one goes on.
_DROPPED_EVERY_S = 86400
_UNFINISHED_FOR = timedelta(days=7)


@dataclass
class Synced:
    """What a sync did and what it left.

    Attributes:
        points: names of the points that are in the vault now and were not before.
        skipped: how many points a newer one supersedes.
        waiting: machine -> why its newest point is not in the vault yet.
        findings: what was noticed that somebody should know.
        goes_on: when a window or a budget lets it go on.
    """

    points: list[str] = field(default_factory=list)
    skipped: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    goes_on: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing waits."""
        return not self.waiting


@dataclass(frozen=True)
class Job:
    """The points of one machine that go, in this order, and how far it is beyond its target."""

    folder: str
    files: tuple[PointFile, ...]
    overdue_s: float


class Sync:
    """One sync of one vault."""

    def __init__(
        self,
        store: Store,
        ledger: VaultLedger,
        walk: Walk,
        uploader: Uploader,
        publisher: Publisher,
        *,
        settings: VaultSettings,
        folder: Path,
        locks: Locks,
        boots: BootSending | None = None,
        deltas: DeltaSending | None = None,
        destinations: Destinations | None = None,
    ) -> None:
        """`folder`: where the box keeps what it derives of the vault."""
        self._settings = settings
        self._folder = folder
        self._locks = locks
        self._store = store
        self._ledger = ledger
        self._walk = walk
        self._uploader = uploader
        self._publisher = publisher
        self._boots = boots
        self._deltas = deltas
        self._destinations = destinations
        self._progress = uploader.progress
        self._walking = asyncio.Lock()
        self._total_bytes = 0
        self.result = Synced()

    @property
    def line_bytes_per_s(self) -> float | None:
        """What the line carried lately; None while nobody knows."""
        return self._uploader.streams.line_bytes_per_s

    async def run(self, seen: Surveyed, *, is_all: bool = False) -> Synced:
        """Send what is due. Raises Cancelled, and what no repetition mends."""
        self.result.findings += seen.findings
        jobs = await asyncio.to_thread(self.plan, is_all=is_all)
        with self._store.lease("reader") as lease:
            async with self._watched():
                await self._locks.prove()
                await for_each(jobs, lambda job: self._serve(job, lease), _MACHINES)
                await self.publish_box(seen)
                await self._locks.sweep(self._publisher.statements())
                await self._drop_unfinished()
        self.result.findings += self._locks.findings
        return self.result

    async def _drop_unfinished(self) -> None:
        now = self._publisher.now()
        last_s = self._ledger.note("unfinished dropped")
        if last_s is None:
            self._ledger.set_note("unfinished dropped", now.timestamp())  # nothing is that old yet
            return
        if now.timestamp() < last_s + _DROPPED_EVERY_S:
            return
        try:
            await self._uploader.drop_unfinished(now - _UNFINISHED_FOR)
        except TransientError:
            return  # the next sync asks again
        except AccessError as error:
            self.result.findings.append(f"half-made uploads stay in the vault, paid for: {error}")
        self._ledger.set_note("unfinished dropped", now.timestamp())

    # ---- what goes ----

    def plan(self, *, is_all: bool = False) -> list[Job]:
        """The machines that have something to send, the one furthest behind first."""
        folders: dict[str, list[PointFile]] = {}
        for file in self._store.points.files():
            folders.setdefault(file.folder, []).append(file)
        jobs = []
        for folder, files in folders.items():
            asked = self._destinations
            if asked is not None and not asked.is_wanted(folder, self._settings.name):
                continue
            there = self._ledger.points(folder)
            newest = max(there, default="")
            files.sort(key=lambda file: file.stem, reverse=True)
            lost = set(self._ledger.note(f"lost {folder}") or ())
            due = [file for file in files if file.stem not in there]
            going = due if is_all else self._newest(due, newest)
            chosen = {file.key for file in going}
            going += [file for file in due if file.stem in lost and file.key not in chosen]
            self.result.skipped += len(due) - len(going)
            if going:
                jobs.append(Job(folder, tuple(going), self._overdue_s(going[0], newest)))
        return sorted(jobs, key=lambda job: (-job.overdue_s, job.folder))

    def _overdue_s(self, file: PointFile, newest: str) -> float:
        try:
            machine = self._store.points.read(file).machine
        except (IntegrityError, NotFoundError):
            return 0.0
        there = PointName.from_file_time(machine, newest).time if newest else None
        own_s = None if self._destinations is None else self._destinations.target_s(file.folder)
        rpo_s = self._settings.rpo_of(machine) if own_s is None else own_s
        return overdue_s(there, self._publisher.now(), rpo_s)

    def _newest(self, due: list[PointFile], newest: str) -> list[PointFile]:
        """The newest of `due`; where that is incomplete, the newest complete one as well."""
        going: list[PointFile] = []
        for file in due:
            if file.stem < newest:
                break
            try:
                manifest = self._store.points.read(file)
            except (IntegrityError, NotFoundError):
                continue  # verify says what is wrong with it
            if not going or manifest.state == COMPLETE:
                going.append(file)
            if manifest.state == COMPLETE:
                break
        return going

    # ---- one machine ----

    async def _serve(self, job: Job, lease: Lease) -> None:
        machine = job.folder
        for file in job.files:
            try:
                lease.pin(file.key)
                manifest = await asyncio.to_thread(self._store.points.read, file)
                machine = manifest.machine
                await self._send(file, manifest)
                self.result.waiting.pop(machine, None)
            except NotNowError as error:
                self.result.waiting[machine] = str(error)
                self.result.goes_on = error.until
                return
            except TransientError as error:
                self.result.waiting[machine] = f"the line or the vault fails: {error}"
                return
            except NotFoundError:
                continue  # forgotten meanwhile: the next sync sees what is there
            except IntegrityError as error:
                name = f"{machine}@{file.stem}"
                self.result.findings.append(f"{name} cannot be sent, it is damaged here: {error}")
            finally:
                lease.unpin(file.key)

    async def _send(self, file: PointFile, manifest: Manifest) -> None:
        needs = await self._bring(manifest)
        path = self._store.layout.points / file.key
        data = await asyncio.to_thread(path.read_bytes)
        point = name_object("points", data)
        bill_data = await asyncio.to_thread(self._make_bill, point.digest, needs)
        bill = name_object("bills", bill_data)
        if needs.strays:
            await asyncio.to_thread(keep_bill, self._folder, bill.digest, bill_data)
        await self._uploader.send_small(point, data)
        await self._uploader.send_small(bill, bill_data)
        until_s = await self._hold(needs, point.digest, bill.digest)
        points = {**self._ledger.points(file.folder), file.stem: bill.digest}
        boot = None if self._boots is None else await self._boots.bring(file, manifest)
        await self._publisher.publish(file.folder, points, boot=boot)
        self._ledger.set_point_until(file.folder, file.stem, until_s)
        self._store.points.remote.put(self._publisher.name, file.key, data)
        lost = set(self._ledger.note(f"lost {file.folder}") or ()) - {file.stem}
        self._ledger.set_note(f"lost {file.folder}", sorted(lost))
        self.result.points.append(str(manifest.name))

    async def _hold(self, needs: Needs, *names: bytes) -> int:
        """Let all that a point needs be locked for long; gives until when."""
        own = [held.number for name in names if (held := self._ledger.find(name)) is not None]
        return await self._locks.hold([*needs.numbers, *own])

    async def _bring(self, manifest: Manifest) -> Needs:
        """Send what the vault lacks of a point; all it needs is there on return."""
        await self._bring_deltas(manifest)
        for attempt in range(1, _WALKS + 1):
            needs, missing = await self._look(manifest)
            if not missing:
                return needs
            self._total_bytes += sum(held.size_bytes for held in missing)
            self._progress.phase("uploading", self._total_bytes, about=str(manifest.name))
            self._progress.advance(self._uploader.sent.bytes)
            try:
                await for_each(missing, self._uploader.send_container)
            except NotFoundError:
                if attempt == _WALKS:
                    raise
                # Collection moved chunks while they were on their way: look where they are now.
                self._ledger.drop_subtrees()
            else:
                return needs
        raise AssertionError("not reached")

    async def _bring_deltas(self, manifest: Manifest) -> None:
        """Send of what the vault lacks of a point what is smaller as deltas, if anybody waits."""
        if self._deltas is None or not self._deltas.is_wanted():
            return
        async with self._deltas.turn:
            _, missing = await self._look(manifest)
            self._progress.phase("looking what resembles", about=str(manifest.name))
            await self._deltas.send(missing)

    async def _look(self, manifest: Manifest) -> tuple[Needs, list[Held]]:
        """What a point needs, and what of that the vault lacks."""
        async with self._walking:
            with self._progress.spending("source"):
                needs = await asyncio.to_thread(self._walk.of_point, manifest)
        return needs, await asyncio.to_thread(self._missing, needs)

    def _missing(self, needs: Needs) -> list[Held]:
        found = (held for held in self._ledger.objects(needs.numbers) if not held.is_present)
        return sorted(found, key=lambda held: held.number)

    def _make_bill(self, point: bytes, needs: Needs) -> bytes:
        objects = sorted(self._ledger.objects(needs.numbers), key=lambda held: held.name)
        places = {held.number: place for place, held in enumerate(objects)}
        strays = b""
        bill = Bill(point, tuple(_need(held) for held in objects))
        if needs.strays:
            entries = (
                Stray(chunk, places[number], ordinal)
                for chunk, (number, ordinal) in sorted(needs.strays.items())
            )
            strays = self._store.keys.seal_record(bill.place, encode_strays(entries))
        return encode_bill(Bill(bill.point, bill.needs, strays))

    # ---- the box ----

    async def publish_box(self, seen: Surveyed) -> None:
        """Publish the head of the box if anything that it says has changed."""
        wraps = tuple(sorted([await self._send_wrap(data) for data in self._wraps()]))
        files = await asyncio.to_thread(gather_files, self._store.layout)
        settings = await self._send_settings(files, None if seen.box is None else seen.box.settings)
        before = seen.box
        if (
            before is not None
            and not seen.is_rolled_back
            and before.wraps == wraps
            and before.settings == settings
            and dict(before.heads) == self._publisher.links()
        ):
            return
        await self._publisher.publish_box(seen.newest, wraps, settings)

    def _wraps(self) -> list[bytes]:
        wraps = recovery_wraps(self._store.layout.state)
        if not wraps:
            self.result.findings.append(
                "no recovery key opens this store: 'holdfast key add recovery' makes one, "
                "or the vault cannot be opened without this box"
            )
        return wraps

    async def _send_wrap(self, data: bytes) -> bytes:
        key = name_object("wraps", data)
        await self._send_once(key, data)
        return key.digest

    async def _send_settings(self, files: dict[str, bytes], there: bytes | None) -> bytes:
        marks = fingerprint(files)
        known = self._ledger.note("settings")
        if there is not None and known == [marks, there.hex()]:
            return there
        data = seal_bundle(self._store.keys, files)
        key = name_object("settings", data)
        await self._uploader.send_small(key, data)
        self._ledger.set_note("settings", [marks, key.digest.hex()])
        return key.digest

    async def _send_once(self, key: HashedKey, data: bytes) -> None:
        held = self._ledger.find(key.digest)
        if held is None or not held.is_present:
            await self._uploader.send_small(key, data)

    # ---- ----

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Let a cancellation end whatever the block waits for."""
        task = asyncio.current_task()
        assert task is not None

        async def watch() -> None:
            while True:
                await asyncio.sleep(_WATCH_S)
                try:
                    self._progress.check()
                except HoldfastError:
                    task.cancel()
                    return

        watcher = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            self._progress.check()
            raise
        finally:
            watcher.cancel()


def _need(held: Held) -> Need:
    return Need(held.name, held.size_bytes, "deltas" if held.kind == "deltas" else "containers")
