"""Backing up disks: reads sources in parallel and makes one recovery point of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from appliance import __version__
from appliance.backup.extents import BATCH_EXTENTS, DiskJob, ExtentWorker
from appliance.backup.plan import ReadPlan
from appliance.base.clock import Clock
from appliance.base.errors import NoSpaceError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.formats.page import EXTENT_BYTES
from appliance.formats.point import Disk, Gap, Manifest
from appliance.native import Stats
from appliance.sources.source import Source
from appliance.store.extent_map import extent_length
from appliance.store.ingest import Ingest, Stream
from appliance.store.leases import Lease
from appliance.store.map_writer import MapWriter, PageStream
from appliance.store.store import Store

# Leaves that wait for open containers; beyond this the containers are sealed early.
PENDING_LEAVES_MAX = 4096


class BackupResult(NamedTuple):
    """The point that was made, and where the time went (summed over threads)."""

    manifest: Manifest
    stats: tuple[Stats, ...]
    write_ns: int


class DiskBackup:
    """One backup of one machine's disks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        progress: Progress,
        machine: str,
        sources: Sequence[Source],
    ) -> None:
        self._store = store
        self._clock = clock
        self._progress = progress
        self._machine = machine
        self._sources = sources
        self._lock = threading.Lock()
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
        self._store.points.begin(self._machine)
        index = self._store.load_index(self._progress)
        layout, keys = self._store.layout, self._store.keys
        with Ingest(layout, keys, index, progress=self._progress) as ingest:
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
            self._progress.check()  # a cancellation while containers were on their way
            manifest = self._store.points.commit(manifest, ingest.is_used)
        # The point is made: without room the index learns its containers at the next start. The
        # lease lasts until then, or a collection could free what the index is about to name.
        with suppress(NoSpaceError):
            index.spill()
        lease.release()
        return BackupResult(manifest, tuple(stream.stats for stream in streams), ingest.write_ns)

    def _job(
        self,
        pages: PageStream,
        number: int,
        source: Source,
        base: Manifest | None,
        changed: Sequence[Sequence[Gap]] | None,
    ) -> DiskJob:
        base_disk = base.disks[number] if base and number < len(base.disks) else None
        base_map = self._store.extent_map(base_disk) if base_disk else None
        target = MapWriter(pages, source.size_bytes, base_map)
        ranges = None
        if changed is not None and base_disk is not None:
            # What could not be read last time is always read again.
            ranges = merge_ranges([*changed[number], *base_disk.gaps])
        plan = ReadPlan(source, target, ranges)
        return DiskJob(source, target, plan, plan.extents())

    # ---- reading, in threads ----

    def _read(self, ingest: Ingest, jobs: list[DiskJob]) -> list[Stream]:
        threads = max(2, os.cpu_count() or 1)
        streams = [ingest.stream() for _ in range(threads)]
        work = self._batches(jobs)
        with ThreadPoolExecutor(threads, thread_name_prefix="reader") as pool:
            futures = [pool.submit(self._work, ingest, stream, work) for stream in streams]
        for future in futures:
            future.result()
        return streams

    def _batches(self, jobs: list[DiskJob]) -> Iterator[tuple[DiskJob, list[int]]]:
        for job in jobs:
            passed = 0
            while extents := list(islice(job.extents, BATCH_EXTENTS)):
                # Progress counts what needs no reading as done.
                self._progress.advance((extents[0] - passed) * EXTENT_BYTES)
                passed = extents[-1] + 1
                yield job, extents
            rest = job.source.size_bytes - passed * EXTENT_BYTES
            self._progress.advance(max(rest, 0))

    def _work(
        self, ingest: Ingest, stream: Stream, work: Iterator[tuple[DiskJob, list[int]]]
    ) -> None:
        try:
            worker = ExtentWorker(stream, self._progress)
            while not self._failed.is_set():
                with self._lock:
                    found = next(work, None)
                if found is None:
                    break
                job, extents = found
                worker.process(job, extents)
                self._progress.advance(
                    sum(extent_length(job.source.size_bytes, extent) for extent in extents)
                )
                if job.map_writer.pending_leaves() > PENDING_LEAVES_MAX:
                    stream.seal()
                job.map_writer.settle()
                with self._lock:
                    ingest.index.spill_if_large()
            stream.seal()
        except BaseException:
            self._failed.set()
            raise

    # ---- finishing ----

    def _finish(
        self,
        ingest: Ingest,
        pages: PageStream,
        jobs: list[DiskJob],
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
                source=job.source.label,
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
            read_bytes=sum(job.read_bytes for job in jobs),
            seconds=round(self._clock.monotonic_s() - began_s, 3),
            base=None if base is None else PointName(base.machine, base.time),
            program=f"holdfast {__version__}",
        )


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
