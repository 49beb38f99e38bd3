"""Copying chunks into new containers: for collection, and for the idle pass.

Owns how chunks move. It never decides which containers are rewritten, and never removes one: a
chunk that was copied lies in two containers until the old one is collected. References are by id,
so no page and no point changes; a hint that is out of date falls back to the index.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.pace import Pace
from appliance.base.progress import Progress
from appliance.native import KIND_PAGE, Reader, Ref
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import Container
from appliance.store.ingest import Ingest, Stream
from appliance.store.store import Store

# Below so many bytes a second thread costs more in half-filled containers than it saves in time.
_THREAD_BYTES = 128 << 20


class Share(NamedTuple):
    """What of one container is to be copied: the ordinals for which `is_wanted`."""

    name: bytes
    size_bytes: int
    is_wanted: Callable[[int], bool]


class Copied(NamedTuple):
    """What a copy did: containers of which everything wanted is durable elsewhere, bytes added."""

    names: set[bytes]
    stored_bytes: int


class Rewrite:
    """Copies shares of containers into new containers of the same kinds."""

    def __init__(
        self, store: Store, index: ChunkIndex, level: int, pace: Pace, progress: Progress
    ) -> None:
        """`index`: chunks in containers whose slots are dead there are stored, others are known."""
        self._store = store
        self._index = index
        self._level = level
        self._pace = pace
        self._progress = progress
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self._names: set[bytes] = set()

    def run(self, shares: Sequence[Share]) -> Copied:
        """Copy; the copies are durable and in the index of all processes on return."""
        total = sum(share.size_bytes for share in shares)
        threads = min(max(2, os.cpu_count() or 1), 1 + total // _THREAD_BYTES)
        work = iter(shares)
        layout, keys = self._store.layout, self._store.keys
        with Ingest(layout, keys, self._index, self._level) as ingest:
            with ThreadPoolExecutor(threads, thread_name_prefix="rewrite") as pool:
                futures = [pool.submit(self._work, ingest, work) for _ in range(threads)]
            for future in futures:
                future.result()
            ingest.drain()
            self._index.spill()
            return Copied(self._names, ingest.stored_bytes)

    def _work(self, ingest: Ingest, work: Iterator[Share]) -> None:
        data, pages, reader = ingest.stream(), ingest.page_stream(), Reader()
        try:
            while not self._failed.is_set():
                with self._lock:
                    share = next(work, None)
                if share is None:
                    break
                self._copy(ingest, share, data, pages, reader)
                self._progress.advance(share.size_bytes)
                self._pace.spend(share.size_bytes, self._progress)
                with self._lock:
                    self._index.spill_if_large()
            data.seal()
            pages.seal()
        except BaseException:
            self._failed.set()
            raise

    def _copy(
        self, ingest: Ingest, share: Share, data: Stream, pages: Stream, reader: Reader
    ) -> None:
        try:
            container = Container(self._store.layout, self._store.keys, share.name)
        except HoldfastError:
            return
        stream = pages if container.directory.kind == KIND_PAGE else data
        is_whole = True
        for _, _, chunk in chunks_of(container, reader, share.is_wanted):
            # Where a chunk is damaged the container stays; verification tells.
            is_whole &= chunk is not None and self._is_safe(ingest, stream.ingest_chunk(chunk))
        container.close()
        if is_whole:
            with self._lock:
                self._names.add(share.name)

    def _is_safe(self, ingest: Ingest, ref: Ref) -> bool:
        """Whether the chunk was stored now, or lies sound in the container that the index names.

        A copy that nobody has read is no reason to give up the one that was just read.
        """
        if ingest.is_own(ref.slot):
            return True
        name = self._index.name_of(ref.slot)
        if name is None:
            return False
        try:
            self._store.chunks.read_in(name, ref.chunk_id, ref.ordinal)
        except HoldfastError:
            return False
        return True


def chunks_of(
    container: Container, reader: Reader, is_wanted: Callable[[int], bool]
) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(ordinal, id, bytes) of chunks of a container; None for bytes that do not authenticate."""
    directory = container.directory
    frame_number, chunks = -1, dict[bytes, bytes]()
    for ordinal, chunk_id in enumerate(directory.ids()):
        if not is_wanted(ordinal):
            continue
        location = directory.locate(chunk_id, ordinal)
        assert location is not None
        if location.frame != frame_number:
            frame_number = location.frame
            try:
                frame = reader.read_frame(
                    directory, container.descriptor, location.frame, location.frame_length
                )
                chunks = directory.split_frame(location, frame)
            except IntegrityError:
                chunks = {}
        yield ordinal, chunk_id, chunks.get(chunk_id)
