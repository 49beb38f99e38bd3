"""One thread's way from extents of a source to leaves of a map.

Owns: reading, comparing with the base, storing what is new, naming what cannot be read. It never
decides which extents are looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

from appliance.backup.plan import ReadPlan
from appliance.base.clock import monotonic_ns
from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.formats.page import (
    EXTENT_BYTES,
    FLAG_DATA,
    FLAG_GAP,
    FLAG_ZERO,
    TAG_BYTES,
    LeafPage,
    block_count,
)
from appliance.formats.point import Gap
from appliance.native import Batch, ExtentResult, Stats
from appliance.native.writing import (
    REF_BASE,
    REF_DATA,
    STATUS_CHANGED,
    STATUS_UNCHANGED,
    STATUS_UNREAD,
    Base,
)
from appliance.sources.source import Source
from appliance.store.extent_map import extent_length
from appliance.store.ingest import Stream
from appliance.store.map_writer import MapWriter, PendingPiece

# 16 MiB for each call into the library: long enough to run without the interpreter's lock.
BATCH_EXTENTS = 4
_NO_TAG = bytes(TAG_BYTES)


@dataclass
class DiskJob:
    """One disk on its way into a point."""

    source: Source
    map_writer: MapWriter
    plan: ReadPlan
    extents: Iterator[int]
    lock: threading.Lock = field(default_factory=threading.Lock)
    gaps: list[Gap] = field(default_factory=list)
    read_bytes: int = 0

    def note(self, gaps: Sequence[Gap], read_bytes: int) -> None:
        """Count what was read, and what could not be."""
        with self.lock:
            self.gaps += gaps
            self.read_bytes += read_bytes


class _Asked(NamedTuple):
    """An extent in the batch: its number, its place in the buffer, and its base once loaded."""

    extent: int
    place: int
    base: LeafPage | None


class ExtentWorker:
    """Stores extents of disks through one stream."""

    def __init__(self, stream: Stream, progress: Progress) -> None:
        """`progress` learns how much time goes into the source, and how much into processors."""
        self._stream = stream
        self._progress = progress
        self._batch = Batch(BATCH_EXTENTS)

    def process(self, job: DiskJob, extents: Sequence[int]) -> None:
        """Bring up to BATCH_EXTENTS extents of a disk into its map."""
        self._batch.clear()
        asked = [self._ask_for_changes(job, place, extent) for place, extent in enumerate(extents)]
        unread = self._settle(job, [one for one in asked if one is not None], is_reading=True)
        known = {one.extent for one in asked if one is not None}
        self._batch.clear()
        gapped: list[tuple[int, int, list[Gap]]] = []
        whole: list[_Asked] = []
        for place, extent in enumerate(extents):
            if extent in known and extent not in unread:
                continue
            gaps = self._read(job, place, extent)
            if gaps:
                gapped.append((place, extent, gaps))
            else:
                whole.append(_Asked(extent, place, None))
                length = extent_length(job.source.size_bytes, extent)
                base_tag = job.map_writer.base_tag(extent)
                self._batch.add(place * EXTENT_BYTES, length, base_tag)
        self._settle(job, whole)
        for place, extent, gaps in gapped:
            self._store_around(job, place, extent, gaps)

    def _ask_for_changes(self, job: DiskJob, place: int, extent: int) -> _Asked | None:
        """With a list of changes: have only those looked at. None if the extent is to be read."""
        changed_blocks = job.plan.changed_blocks(extent)
        base_tag = job.map_writer.base_tag(extent)
        descriptor = job.source.descriptor
        if changed_blocks is None or base_tag is None or descriptor is None:
            return None
        base = _base_leaf(job, extent)
        if base is None:
            return None
        self._batch.add_changes(
            place * EXTENT_BYTES,
            extent_length(job.source.size_bytes, extent),
            (descriptor, extent * EXTENT_BYTES),
            changed_blocks=changed_blocks,
            base_tag=base_tag,
            base=_base_of(base),
        )
        return _Asked(extent, place, base)

    def _read(self, job: DiskJob, place: int, extent: int) -> list[Gap]:
        length = extent_length(job.source.size_bytes, extent)
        offset = place * EXTENT_BYTES
        with self._progress.spending("source"):
            gaps = job.source.read(
                extent * EXTENT_BYTES, self._batch.buffer[offset : offset + length]
            )
        job.note(gaps, length)
        return gaps

    def _ingest(self, *, is_reading: bool) -> list[ExtentResult]:
        """Store what the batch holds, having read it if that is not done yet."""
        cpu_ns, seal_ns = -_sum_stages(self._stream.stats), -self._stream.seal_ns
        began_ns = monotonic_ns()
        results = self._stream.ingest(self._batch)
        took_ns = monotonic_ns() - began_ns - (seal_ns + self._stream.seal_ns)
        cpu_ns = min(cpu_ns + _sum_stages(self._stream.stats), took_ns) if is_reading else took_ns
        self._progress.spend("cpu", cpu_ns)
        self._progress.spend("source", took_ns - cpu_ns)
        return results

    def _settle(
        self, job: DiskJob, asked: Sequence[_Asked], *, is_reading: bool = False
    ) -> set[int]:
        """Store what the batch holds; gives the extents that could not be read."""
        unread: set[int] = set()
        while asked:
            again: dict[int, Base | None] = {}
            still: list[_Asked] = []
            results = self._ingest(is_reading=is_reading)
            for number, (one, result) in enumerate(zip(asked, results, strict=True)):
                if result.status == STATUS_CHANGED:
                    base = _base_leaf(job, one.extent)
                    again[number] = None if base is None else _base_of(base)
                    still.append(one._replace(base=base))
                elif result.status == STATUS_UNREAD:
                    unread.add(one.extent)
                else:
                    _add(job.map_writer, one, result)
                    job.note((), result.read_bytes)
            if again:
                self._batch.retry(again)
            asked = still
        return unread

    def _store_around(self, job: DiskJob, place: int, extent: int, gaps: list[Gap]) -> None:
        """Store what lies between the gaps; the extent gets no tag, so it is always read again."""
        start, length = extent * EXTENT_BYTES, extent_length(job.source.size_bytes, extent)
        pieces: list[PendingPiece] = []
        at = 0
        for gap_offset, gap_length in [*gaps, (start + length, 0)]:
            until = gap_offset - start
            if until > at:
                self._batch.clear()
                self._batch.add(place * EXTENT_BYTES + at, until - at, None)
                (result,) = self._ingest(is_reading=False)
                pieces += _pieces(result, None) or [PendingPiece(until - at, FLAG_ZERO, None)]
            if gap_length:
                pieces.append(PendingPiece(gap_length, FLAG_GAP, None))
            at = until + gap_length
        job.map_writer.add_leaf(extent, _NO_TAG, _NO_TAG * block_count(length), pieces)


def _sum_stages(stats: Stats) -> int:
    """Nanoseconds of all stages in the library; its reading is none of them."""
    return sum(getattr(stats, name) for name in Stats._fields if name.endswith("_ns"))


def _base_leaf(job: DiskJob, extent: int) -> LeafPage | None:
    """The pieces of the extent in the base; None if they cannot be read: then all is cut."""
    try:
        return job.map_writer.base_leaf(extent)
    except HoldfastError:
        return None


def _base_of(leaf: LeafPage) -> Base:
    return Base(list(accumulate(piece.length for piece in leaf.pieces)), leaf.block_tags)


def _add(target: MapWriter, one: _Asked, result: ExtentResult) -> None:
    pieces = _pieces(result, one.base)
    if result.status == STATUS_UNCHANGED:
        target.reuse(0, one.extent)
    elif any(piece.flag != FLAG_ZERO for piece in pieces):
        target.add_leaf(one.extent, result.tag, result.block_tags, pieces)
    else:
        target.add_zeros(0, one.extent)


def _pieces(result: ExtentResult, base: LeafPage | None) -> list[PendingPiece]:
    pieces = []
    for ref in result.refs:
        if ref.flag == REF_DATA:
            pieces.append(PendingPiece(ref.length, FLAG_DATA, ref))
        elif ref.flag == REF_BASE:
            assert base is not None
            length, flag, reference = base.pieces[ref.ordinal]
            pieces.append(PendingPiece(length, flag, reference))
        else:
            pieces.append(PendingPiece(ref.length, FLAG_ZERO, None))
    return pieces
