"""What is done about damage: save what is sound, set the rest aside, tell which points are hurt.

1. What the second copy has whole is repaired from there by name (`repair`).
2. Under the collection's lock and a writer's lease: sound chunks of the other damaged containers,
   and damaged ones that the second copy gives by id, are stored in new containers.
3. Under the commit lock: the damaged files move to `quarantine/`. Nothing is ever deleted. From now
   on their lost chunks are unknown, so the next backup that brings them stores them again, and
   older points, which refer by id, heal. A backup that runs now may have counted on them: its point
   is marked as doubtful when it is committed (`findings.note_doubt`).
4. The maps of all points are walked, and what is hurt becomes findings.

A kill between two steps leaves a container twice, or findings that the next scrub completes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime

from appliance.base.durable import make_directory, move_file
from appliance.base.errors import BusyError, HoldfastError, IntegrityError, NoSpaceError
from appliance.base.locks import FileLock
from appliance.base.progress import Progress
from appliance.formats.names import format_time
from appliance.formats.page import Reference
from appliance.native import KIND_PAGE, Reader
from appliance.store.anew import store_anew
from appliance.store.checks import Fault
from appliance.store.chunk_index import ChunkIndex
from appliance.store.condemned import commit_lock
from appliance.store.containers import Container, check_file
from appliance.store.findings import (
    CONTAINER,
    POINT,
    Finding,
    HurtPoint,
    Record,
    quarantined,
    read_findings,
    vault_findings,
    write_findings,
)
from appliance.store.impact import Assessment, Consequence, Impact, fate_of
from appliance.store.ingest import Ingest, Stream
from appliance.store.layout import Layout
from appliance.store.leases import writer_lease
from appliance.store.points import PointFile
from appliance.store.rewrite import chunks_of
from appliance.store.store import Store


def give_back(layout: Layout) -> list[bytes]:
    """Put containers back into the store that are what was written after all; durable on return.

    A disk that lied for a while, or a controller, makes sound files look damaged.
    """
    given = []
    for name in quarantined(layout):
        path, place = layout.quarantine / name.hex(), layout.container(name)
        try:
            check_file(path, name)
        except IntegrityError:
            continue
        with commit_lock(layout):
            if path.is_file() and not place.exists():
                make_directory(place.parent)
                move_file(path, place)
                given.append(name)
    return given


class Quarantine:
    """Deals with damage of one store."""

    def __init__(self, store: Store, now: datetime, progress: Progress) -> None:
        self._store = store
        self._moment = now
        self._now = format_time(now.replace(microsecond=0))
        self._progress = progress
        self.repaired: set[bytes] = set()
        """The damaged or missing containers whose chunks are on the box again."""

    def treat(self, faults: Iterable[Fault]) -> Assessment:
        """Repair or set aside damaged containers, and find out what is hurt; durable on return.

        While a collection runs nothing is moved: the findings say so.
        """
        known = {fault.name: fault for fault in faults if not self._is_repaired(fault)}
        with contextlib.suppress(BusyError, NoSpaceError):
            self._set_aside([fault for fault in known.values() if fault.is_certain])
        assessment = Impact(self._store, known, self._progress).assess(self._store.points.files())
        self._bring_back(assessment)
        in_place = {
            name: fault
            for name, fault in known.items()
            if self._store.layout.container(name).exists()
        }
        self.settle(assessment, in_place, is_whole=True)
        return assessment

    def look_again(self, in_place: Iterable[Fault] = ()) -> Assessment:
        """Find out what has healed: walks only the points that are known to be hurt.

        `in_place`: known damage that was not set aside, read again just now.
        """
        record = read_findings(self._store.layout)
        if record.hurt is None:
            return self.treat(in_place)
        known = {fault.name: fault for fault in in_place}
        files = [PointFile.parse(key) for key in sorted(record.hurt)]
        assessment = Impact(self._store, known, self._progress).assess(files)
        self.settle(assessment, known, is_whole=False)
        return assessment

    # ---- saving and moving ----

    def _is_repaired(self, fault: Fault) -> bool:
        """Repair by name what is damaged for certain; what cannot be reached repairs nothing."""
        with contextlib.suppress(HoldfastError):
            if fault.is_certain and self._store.repair.repair(fault.name, fault.reason):
                self.repaired.add(fault.name)
        return fault.name in self.repaired

    def _bring_back(self, assessment: Assessment) -> None:
        """Bring missing containers from the second copy, or what is needed of them."""
        parts = []
        for name, missed in sorted(assessment.missed.items()):
            with contextlib.suppress(HoldfastError):
                if self._store.repair.repair(name, fate_of(self._store.layout, name)):
                    self.repaired.add(name)
                    continue
            parts.append((name, missed))
        wanted = [one for _, missed in parts for one in missed]
        if wanted:
            names = [name for name, _ in parts]
            with contextlib.suppress(NoSpaceError):
                _, lost = store_anew(self._store, wanted, self._progress, names)
                unhealed = {one.reference.container for one in lost}
                self.repaired.update(name for name in names if name not in unhealed)

    def _set_aside(self, faults: list[Fault]) -> None:
        if not faults:
            return
        layout = self._store.layout
        busy = "a collection is running"
        with FileLock(layout.locks / "collect", wait=False, busy=busy), writer_lease(layout):
            index = self._store.load_index(self._progress)
            for fault in faults:
                index.native.kill_slot(index.native.slot_of(fault.name))
            self._save(index, faults)
            with commit_lock(layout):
                for fault in faults:
                    path = layout.container(fault.name)
                    if path.is_file():
                        move_file(path, layout.quarantine / fault.name.hex())
                    self._store.containers.drop(fault.name)
            with contextlib.suppress(NoSpaceError):
                index.spill()

    def _save(self, index: ChunkIndex, faults: list[Fault]) -> None:
        """Store what is sound in the damaged containers anew; durable on return."""
        self._progress.phase("saving what is sound", total=len(faults), unit="items")
        with Ingest(self._store.layout, self._store.keys, index) as ingest:
            data, pages = ingest.stream(), ingest.page_stream()
            for fault in faults:
                if fault.bad is not None:
                    with contextlib.suppress(IntegrityError):
                        container = Container(self._store.layout, self._store.keys, fault.name)
                        is_page = container.directory.kind == KIND_PAGE
                        self._save_chunks(container, fault, pages if is_page else data)
                        container.close()
                self._progress.advance(1)
            data.seal()
            pages.seal()
            ingest.drain()

    def _save_chunks(self, container: Container, fault: Fault, stream: Stream) -> None:
        for ordinal, chunk_id, found in chunks_of(container, Reader(), lambda _: True):
            chunk = None if fault.spoils(ordinal) else found
            if chunk is None:
                chunk = self._read_elsewhere(Reference(chunk_id, container.name, ordinal))
            if chunk is not None:
                # Its id is computed from the bytes: what is not the chunk becomes another one.
                stream.ingest_chunk(chunk)

    def _read_elsewhere(self, reference: Reference) -> bytes | None:
        with contextlib.suppress(HoldfastError):
            return self._store.chunks.read_elsewhere(reference)
        return None

    # ---- findings ----

    def settle(
        self, assessment: Assessment, faults: dict[bytes, Fault], *, is_whole: bool
    ) -> Record:
        """Make the findings say what was found, durably.

        `is_whole`: all points were walked, else those that were known to be hurt.
        """
        layout = self._store.layout
        with commit_lock(layout):
            old = read_findings(layout)
            record = Record(
                tuple(self._findings(old, assessment, faults, is_whole=is_whole)),
                self._hurt(old, assessment),
            )
            if record != old:
                write_findings(layout, record)
        return record

    def _hurt(self, old: Record, assessment: Assessment) -> dict[str, int]:
        kept = {
            key: lost
            for key, lost in (old.hurt or {}).items()
            if key not in assessment.points and (self._store.layout.points / key).exists()
        }
        return kept | {key: hurt.hurt_bytes for key, hurt in assessment.hurts.items()}

    def _findings(
        self, old: Record, assessment: Assessment, faults: dict[bytes, Fault], *, is_whole: bool
    ) -> Iterable[Finding]:
        before = {finding.what: finding for finding in old.findings}
        aside = set(quarantined(self._store.layout))
        keys = {str(hurt.point): key for key, hurt in assessment.hurts.items()}
        for name in sorted(assessment.consequences.keys() | aside | faults.keys()):
            what = CONTAINER + name.hex()
            reason = faults[name].reason if name in faults else fate_of(self._store.layout, name)
            yield self._finding(
                before.get(what),
                what,
                reason,
                is_quarantined=name in aside,
                consequence=assessment.consequences.get(name, Consequence()),
                keys=keys,
            )
        yield from vault_findings(old, self._moment)
        for key, reason in assessment.unreadable.items():
            yield self._finding(before.get(POINT + key), POINT + key, reason)
        if not is_whole:
            for finding in old.findings:
                key = finding.what.removeprefix(POINT)
                if finding.what.startswith(POINT) and (self._store.layout.points / key).exists():
                    yield finding

    def _finding(
        self,
        old: Finding | None,
        what: str,
        reason: str,
        *,
        is_quarantined: bool = False,
        consequence: Consequence | None = None,
        keys: dict[str, str] | None = None,
    ) -> Finding:
        found = consequence or Consequence()
        hurts = (
            HurtPoint((keys or {})[str(hurt.point)], hurt.hurt_bytes, tuple(hurt.ranges))
            for hurt in found.hurts
        )
        return Finding(
            what=what,
            evidence=reason if old is None else old.evidence,
            noticed=self._now if old is None else old.noticed,
            is_quarantined=is_quarantined,
            repaired="" if old is None or found.hurt_points else old.repaired,
            hurt_points=found.hurt_points,
            hurts=tuple(hurts),
        )
