"""Restoring a disk of a point to a file, a block device or a stream.

Extents are decoded in threads and written in order. What is damaged is written as zeros, named, and
everything else is restored.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from appliance.base.errors import IntegrityError
from appliance.base.progress import Progress
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA
from appliance.formats.point import Gap
from appliance.recovery.targets import Target
from appliance.store.disk_reader import DiskReader

# Extents decoded ahead of the writer, 4 MiB each.
AHEAD = 6


@dataclass(frozen=True)
class Restored:
    """What was written, and the ranges that are zeros because the store could not give them."""

    size_bytes: int
    written_bytes: int
    damaged: tuple[Gap, ...]


@dataclass
class _Decoded:
    extent: int
    data: bytearray
    length: int
    runs: Sequence[Gap]
    damaged: Sequence[Gap]


class Restore:
    """One restore of one disk."""

    def __init__(self, disk: DiskReader, target: Target, progress: Progress) -> None:
        self._disk = disk
        self._target = target
        self._progress = progress
        self._buffers: deque[bytearray] = deque()

    def run(self) -> Restored:
        """Write the whole disk; durable on return where the target is a file or a device."""
        size_bytes = self._disk.size_bytes
        self._progress.phase("restoring", total=size_bytes)
        with self._disk.expecting_all():
            written, damaged = self._write_data()
        self._target.finish()
        return Restored(size_bytes, written, tuple(damaged))

    def _write_data(self) -> tuple[int, list[Gap]]:
        """Write data and zeros in order; how many bytes of data, and what is damaged."""
        written = at = 0
        damaged: list[Gap] = []
        for decoded in self._decode():
            start = decoded.extent * EXTENT_BYTES
            self._zeros(at, start)
            view = memoryview(decoded.data)
            for offset, length in decoded.runs:
                self._zeros(max(at, start), start + offset)
                self._target.write(start + offset, view[offset : offset + length])
                written += length
                at = start + offset + length
            self._zeros(max(at, start), start + decoded.length)
            at = start + decoded.length
            damaged += decoded.damaged
            self._buffers.append(decoded.data)
        self._zeros(at, self._disk.size_bytes)
        return written, damaged

    def _zeros(self, start: int, end: int) -> None:
        if end > start:
            self._target.write_zeros(start, end - start)
            self._progress.check()

    def _decode(self) -> Iterator[_Decoded]:
        """Decoded extents in order; those of zeros are left out."""
        threads = max(2, os.cpu_count() or 1)
        waiting: deque[Future[_Decoded]] = deque()
        last = 0
        with ThreadPoolExecutor(threads, thread_name_prefix="decoder") as pool:
            try:
                for extent in self._disk.extent_map.data_extents():
                    waiting.append(pool.submit(self._decode_extent, extent))
                    if len(waiting) >= AHEAD:
                        decoded = waiting.popleft().result()
                        yield decoded
                        last = self._advance(last, decoded)
                while waiting:
                    decoded = waiting.popleft().result()
                    yield decoded
                    last = self._advance(last, decoded)
            finally:
                for future in waiting:
                    future.cancel()
        self._progress.advance(self._disk.size_bytes - last)

    def _advance(self, last: int, decoded: _Decoded) -> int:
        end = decoded.extent * EXTENT_BYTES + decoded.length
        self._progress.advance(end - last)
        return end

    def _decode_extent(self, extent: int) -> _Decoded:
        try:
            data = self._buffers.pop()
        except IndexError:
            data = bytearray(EXTENT_BYTES)
        length = self._disk.extent_map.extent_length(extent)
        try:
            runs = self._runs(extent)
            damaged = self._disk.read_extent(extent, data)
        except IntegrityError:
            return _Decoded(extent, data, length, [], [(extent * EXTENT_BYTES, length)])
        return _Decoded(extent, data, length, runs, [(offset, count) for offset, count in damaged])

    def _runs(self, extent: int) -> list[Gap]:
        """Where the extent holds anything but zeros, as joined ranges."""
        runs: list[Gap] = []
        at = 0
        for piece in self._disk.extent_map.leaf(extent).pieces:
            if piece.flag == FLAG_DATA:
                if runs and sum(runs[-1]) == at:
                    runs[-1] = (runs[-1][0], runs[-1][1] + piece.length)
                else:
                    runs.append((at, piece.length))
            at += piece.length
        return runs
