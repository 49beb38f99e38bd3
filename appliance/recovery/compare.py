"""Making a disk equal to another: both are read, and only what differs is written.

Owns the comparing, in threads. Never knows why, nor what the disks are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from appliance.base.progress import Progress
from appliance.recovery.home import Home
from appliance.recovery.vm_disks import Range
from appliance.sources.nbd import NbdAddress, NbdSource

BLOCK_BYTES = 4096
_PIECE_BYTES = 4 << 20
_THREADS = 4


@dataclass
class Count:
    """Bytes compared and bytes written so far."""

    compared: int = 0
    written: int = 0


def make_equal(
    addresses: Sequence[NbdAddress],
    homes: Sequence[Home],
    changed: Sequence[Sequence[Range]] | None,
    count: Count,
    progress: Progress,
) -> None:
    """Make `homes` equal to what is served, everywhere or where it changed; durable on return."""
    sources = [NbdSource(address, str(address)) for address in addresses]
    try:
        ranges = changed or [[(0, source.size_bytes)] for source in sources]
        progress.phase(
            "comparing and writing", total=sum(length for some in ranges for _, length in some)
        )
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="failback") as pool:
            for source, home, some in zip(sources, homes, ranges, strict=True):
                copy = _Copy(source, home)
                for length, written in _bounded(pool, copy, _cut(some)):
                    count.compared += length
                    count.written += written
                    progress.advance(length)
        for home in homes:
            home.flush()
    finally:
        for source in sources:
            source.close()


def _cut(ranges: Iterable[Range]) -> Iterator[Range]:
    for offset, length in ranges:
        for start in range(offset, offset + length, _PIECE_BYTES):
            yield start, min(_PIECE_BYTES, offset + length - start)


def _bounded(
    pool: ThreadPoolExecutor, copy: _Copy, pieces: Iterator[Range]
) -> Iterator[tuple[int, int]]:
    waiting: set[Future[tuple[int, int]]] = set()
    for offset, length in pieces:
        waiting.add(pool.submit(copy.run, offset, length))
        if len(waiting) >= 2 * _THREADS:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    for future in waiting:
        yield future.result()


class _Copy:
    """One disk on its way home."""

    def __init__(self, source: NbdSource, home: Home) -> None:
        self._source = source
        self._home = home

    def run(self, offset: int, length: int) -> tuple[int, int]:
        """Write the blocks of 4 KiB that differ; gives (bytes compared, bytes written)."""
        wanted, there = bytearray(length), bytearray(length)
        self._source.read(offset, memoryview(wanted))
        self._home.read_into(offset, memoryview(there))
        written = 0
        for start, end in differing_blocks(wanted, there):
            self._home.write(offset + start, memoryview(wanted)[start:end])
            written += end - start
        return length, written


def differing_blocks(wanted: bytearray, there: bytearray) -> Iterator[tuple[int, int]]:
    """(start, end) of the runs of blocks of 4 KiB in which two buffers of one length differ."""
    if wanted == there:
        return
    began = -1
    one, other = memoryview(wanted), memoryview(there)
    for start in range(0, len(wanted), BLOCK_BYTES):
        end = start + BLOCK_BYTES
        if one[start:end] == other[start:end]:
            if began >= 0:
                yield began, start
            began = -1
        elif began < 0:
            began = start
    if began >= 0:
        yield began, len(wanted)
