"""Backing up disks: reads sources in parallel and makes one recovery point of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from appliance import __version__
from appliance.backup.plan import ReadPlan
from appliance.base.clock import Clock
from appliance.base.errors import NoSpaceError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA, FLAG_GAP, FLAG_ZERO
from appliance.formats.point import Disk, Gap, Manifest
from appliance.native import Batch, ExtentResult, Stats
from appliance.native.writing import STATUS_DATA, STATUS_UNCHANGED
from appliance.sources.disk import DiskSource
from appliance.store.ingest import Ingest, Stream
from appliance.store.leases import Lease
from appliance.store.map_writer import MapWriter, PageStream, PendingPiece
from appliance.store.store import Store

# 16 MiB for each call into the library: long enough to run without the interpreter's lock.
BATCH_EXTENTS = 4
# Leaves that wait for open containers; beyond this the containers are sealed early.
PENDING_LEAVES_MAX = 4096
_NO_TAG = bytes(16)


class BackupResult(NamedTuple):
    """The point that was made, and where the time went (summed over threads)."""

    manifest: Manifest
    stats: tuple[Stats, ...]


@dataclass
class _Job:
    """One disk on its way."""

    source: DiskSource
    map_writer: MapWriter
    plan: Iterator[int]
    gaps: list[Gap] = field(default_factory=list)

    def extent_length(self, extent: int) -> int:
        """Bytes of extent number `extent`: 4 MiB but for the last."""
        return min(EXTENT_BYTES, self.source.size_bytes - extent * EXTENT_BYTES)


class DiskBackup:
    """One backup of one machine's disks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        progress: Progress,
        machine: str,
        sources: Sequence[DiskSource],
    ) -> None:
        self._store = store
        self._clock = clock
        self._progress = progress
        self._machine = machine
        self._sources = sources
        self._lock = threading.Lock()
        self._read_bytes = 0
        self._failed = threading.Event()

    def run(
        self,
        lease: Lease,
        base: Manifest | None,
        changed: Sequence[Sequence[Gap]] | None,
    ) -> BackupResult:
        """Make the point, durable on return. The caller holds a writer's `lease` that pins `base`.

        `changed` gives for each disk what may differ from `base`; without it everything is read
        and compared with `base` by extent tags. The lease is older than the index that is loaded
        here: that order is what keeps collection away from what this backup counts on.
        """
        began_s, started = self._clock.monotonic_s(), self._clock.now().replace(microsecond=0)
        index = self._store.load_index(self._progress)
        with Ingest(self._store.layout, self._store.keys, index) as ingest:
            pages = PageStream(ingest)
            jobs = [
                self._job(pages, number, source, base, changed)
                for number, source in enumerate(self._sources)
            ]
            total = sum(source.size_bytes for source in self._sources)
            self._progress.phase("reading", total=total)
            streams = self._read(ingest, jobs)
            self._progress.phase("writing the point")
            manifest = self._finish(
                ingest, pages, jobs, streams, base=base, started=started, began_s=began_s
            )
            manifest = self._store.points.commit(manifest, ingest.is_used)
        # The point is made: without room the index learns its containers at the next start. The
        # lease lasts until then, or a collection could free what the index is about to name.
        with suppress(NoSpaceError):
            index.spill()
        lease.release()
        return BackupResult(manifest, tuple(stream.stats for stream in streams))

    def _job(
        self,
        pages: PageStream,
        number: int,
        source: DiskSource,
        base: Manifest | None,
        changed: Sequence[Sequence[Gap]] | None,
    ) -> _Job:
        base_disk = base.disks[number] if base and number < len(base.disks) else None
        base_map = self._store.extent_map(base_disk) if base_disk else None
        target = MapWriter(pages, source.size_bytes, base_map)
        ranges = None
        if changed is not None and base_disk is not None:
            # What could not be read last time is always read again.
            ranges = merge_ranges([*changed[number], *base_disk.gaps])
        return _Job(source, target, ReadPlan(source, target, ranges).extents())

    # ---- reading, in threads ----

    def _read(self, ingest: Ingest, jobs: list[_Job]) -> list[Stream]:
        threads = max(2, os.cpu_count() or 1)
        streams = [ingest.stream() for _ in range(threads)]
        work = self._batches(jobs)
        with ThreadPoolExecutor(threads, thread_name_prefix="reader") as pool:
            futures = [pool.submit(self._work, ingest, stream, work) for stream in streams]
        for future in futures:
            future.result()
        return streams

    def _batches(self, jobs: list[_Job]) -> Iterator[tuple[_Job, list[int]]]:
        for job in jobs:
            passed = 0
            while extents := list(islice(job.plan, BATCH_EXTENTS)):
                # Progress counts what needs no reading as done.
                self._progress.advance((extents[0] - passed) * EXTENT_BYTES)
                passed = extents[-1] + 1
                yield job, extents
            rest = job.source.size_bytes - passed * EXTENT_BYTES
            self._progress.advance(max(rest, 0))

    def _work(self, ingest: Ingest, stream: Stream, work: Iterator[tuple[_Job, list[int]]]) -> None:
        try:
            batch = Batch(BATCH_EXTENTS)
            while not self._failed.is_set():
                with self._lock:
                    found = next(work, None)
                if found is None:
                    break
                job, extents = found
                self._process(stream, batch, job, extents)
                if job.map_writer.pending_leaves() > PENDING_LEAVES_MAX:
                    stream.seal()
                job.map_writer.settle()
                with self._lock:
                    ingest.index.spill_if_large()
            stream.seal()
        except BaseException:
            self._failed.set()
            raise

    def _process(self, stream: Stream, batch: Batch, job: _Job, extents: list[int]) -> None:
        batch.clear()
        whole: list[int] = []
        gapped: list[tuple[int, int, list[Gap]]] = []
        read_bytes = 0
        for place, extent in enumerate(extents):
            offset, length = place * EXTENT_BYTES, job.extent_length(extent)
            gaps = job.source.read(extent * EXTENT_BYTES, batch.buffer[offset : offset + length])
            read_bytes += length
            if gaps:
                gapped.append((place, extent, gaps))
            else:
                whole.append(extent)
                batch.add(offset, length, job.map_writer.base_tag(extent))
        for extent, result in zip(whole, stream.ingest(batch), strict=True):
            self._add(job.map_writer, extent, result)
        for place, extent, gaps in gapped:
            self._add_gapped(stream, batch, job, place=place, extent=extent, gaps=gaps)
        with self._lock:
            self._read_bytes += read_bytes
        self._progress.advance(read_bytes)

    @staticmethod
    def _add(target: MapWriter, extent: int, result: ExtentResult) -> None:
        if result.status == STATUS_UNCHANGED:
            target.reuse(0, extent)
        elif result.status == STATUS_DATA:
            target.add_leaf(extent, result.tag, _pieces(result))
        else:
            target.add_zeros(0, extent)

    def _add_gapped(
        self, stream: Stream, batch: Batch, job: _Job, *, place: int, extent: int, gaps: list[Gap]
    ) -> None:
        """Store what lies between the gaps; the extent gets no tag, so it is always read again."""
        start, length = extent * EXTENT_BYTES, job.extent_length(extent)
        with self._lock:
            job.gaps += gaps
        pieces: list[PendingPiece] = []
        at = 0
        for gap_offset, gap_length in [*gaps, (start + length, 0)]:
            until = gap_offset - start
            if until > at:
                batch.clear()
                batch.add(place * EXTENT_BYTES + at, until - at, None)
                (result,) = stream.ingest(batch)
                pieces += _pieces(result) or [PendingPiece(until - at, FLAG_ZERO, None)]
            if gap_length:
                pieces.append(PendingPiece(gap_length, FLAG_GAP, None))
            at = until + gap_length
        job.map_writer.add_leaf(extent, _NO_TAG, pieces)

    # ---- finishing ----

    def _finish(
        self,
        ingest: Ingest,
        pages: PageStream,
        jobs: list[_Job],
        streams: list[Stream],
        *,
        base: Manifest | None,
        started: datetime,
        began_s: float,
    ) -> Manifest:
        ingest.drain()
        for job in jobs:
            job.map_writer.settle()
        pages.seal()
        disks = tuple(
            Disk(
                size_bytes=job.source.size_bytes,
                level=job.map_writer.level,
                root=job.map_writer.root(),
                source=str(job.source.path.absolute()),
                kind=job.source.kind,
                inconsistent=job.source.is_inconsistent,
                gaps=tuple(merge_ranges(job.gaps)),
            )
            for job in jobs
        )
        return Manifest(
            machine=self._machine,
            time=started,
            disks=disks,
            new_bytes=sum(stream.stats.new_bytes for stream in streams),
            stored_bytes=ingest.stored_bytes,
            read_bytes=self._read_bytes,
            seconds=round(self._clock.monotonic_s() - began_s, 3),
            base=None if base is None else PointName(base.machine, base.time),
            program=f"holdfast {__version__}",
        )


def _pieces(result: ExtentResult) -> list[PendingPiece]:
    return [
        PendingPiece(ref.length, FLAG_DATA, ref)
        if ref.is_data
        else PendingPiece(ref.length, FLAG_ZERO, None)
        for ref in result.refs
    ]


def merge_ranges(ranges: Sequence[Gap]) -> list[Gap]:
    """The same bytes as sorted ranges that do not touch."""
    merged: list[Gap] = []
    for offset, length in sorted(ranges):
        if merged and offset <= sum(merged[-1]):
            start = merged[-1][0]
            merged[-1] = (start, max(sum(merged[-1]), offset + length) - start)
        else:
            merged.append((offset, length))
    return merged
