"""Writing into the store: streams fill containers, a sealer makes them durable.

One `Ingest` per backup. Each worker thread takes a `Stream`, which has one open container, so that
neighbours stay together. Sealed containers are written and synced by helper threads while the
workers go on; a slot gets its name only when its container is durable, so nothing that is durable
can refer to a container that is not.
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from appliance.base.clock import monotonic_ns
from appliance.base.progress import Progress
from appliance.native import KIND_DATA, KIND_PAGE, Batch, ExtentResult, Ingester, Ref, Stats, Writer
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import ContainerKeys, store_container
from appliance.store.layout import Layout

# While somebody waits; the idle pass does better (docs/DECISIONS.md).
COMPRESSION_LEVEL = 1
SEALER_THREADS = 2
# Containers that wait for the disk; 32 MiB of memory each.
SEALING_MAX = 3


class IngestKeys(ContainerKeys, Protocol):
    """What is needed of the key hierarchy."""

    @property
    def chunk_id_key(self) -> bytes:
        """Names data chunks."""

    @property
    def page_id_key(self) -> bytes:
        """Names pages."""

    @property
    def cut_key(self) -> bytes:
        """Decides where chunks end."""

    @property
    def extent_tag_key(self) -> bytes:
        """Recognises unchanged extents."""


class Ingest:
    """What one backup adds to the store. Close it, whatever happens."""

    def __init__(
        self,
        layout: Layout,
        keys: IngestKeys,
        index: ChunkIndex,
        level: int = COMPRESSION_LEVEL,
        progress: Progress | None = None,
    ) -> None:
        """`progress` learns of the time that is spent waiting for the disk."""
        self._progress = progress or Progress()
        self._layout = layout
        self._level = level
        self.keys = keys
        self.index = index
        self._sealer = ThreadPoolExecutor(SEALER_THREADS, thread_name_prefix="sealer")
        self._room = threading.Semaphore(SEALING_MAX)
        self._lock = threading.Lock()
        self._futures: list[Future[None]] = []
        self._used = bytearray()
        self._own_slots: set[int] = set()
        self.stored_bytes = 0
        self.write_ns = 0
        """Time in writes and syncs of containers, summed over the sealer's threads."""
        self._finish_ns = 0

    def stream(self) -> Stream:
        """A stream of data chunks for one thread."""
        return Stream(self, KIND_DATA, self.keys.chunk_id_key)

    def page_stream(self) -> Stream:
        """A stream of pages for one thread."""
        return Stream(self, KIND_PAGE, self.keys.page_id_key)

    def open_writer(self, kind: int) -> Writer:
        """A fresh container with a random id and the key derived from it."""
        container_id = secrets.token_bytes(16)
        key = self.keys.container_key(container_id)
        slot = self.index.native.open_slot()
        with self._lock:
            self._own_slots.add(slot)
        return Writer(kind, container_id, key, slot, self._level)

    def is_own(self, slot: int) -> bool:
        """Whether the container of `slot` was opened by this ingest."""
        return slot in self._own_slots

    def mark_used(self, slot: int) -> None:
        """Note that the point will refer to the container of `slot`."""
        with self._lock:
            if slot >= len(self._used):
                self._used.extend(bytes(slot + 4096 - len(self._used)))
            self._used[slot] = 1

    def is_used(self, name: bytes) -> bool:
        """Whether the point will refer to container `name`."""
        if not self.index.native.knows(name):
            return False
        slot = self.index.native.slot_of(name)
        return slot < len(self._used) and self._used[slot] == 1

    def seal(self, writer: Writer) -> None:
        """Hand a full container to the sealer; waits while too many are on their way."""
        self.raise_failure()
        began_ns = monotonic_ns()
        self._room.acquire()
        self._note_wait(monotonic_ns() - began_ns)
        future = self._sealer.submit(self._seal, writer)
        future.add_done_callback(lambda _: self._room.release())
        with self._lock:
            self._futures.append(future)

    def _seal(self, writer: Writer) -> None:
        try:
            finish_ns = monotonic_ns()
            name, data = writer.finish()
            began_ns = monotonic_ns()
            store_container(self._layout, name, data)
            written_ns = monotonic_ns() - began_ns
            size_bytes = len(data)
            data.release()
        finally:
            writer.close()
        self.index.native.name_slot(writer.slot, name)
        with self._lock:
            self.stored_bytes += size_bytes
            self.write_ns += written_ns
            self._finish_ns += began_ns - finish_ns

    def raise_failure(self) -> None:
        """Raise what went wrong in the sealer, if anything did."""
        with self._lock:
            done = [future for future in self._futures if future.done()]
            self._futures = [future for future in self._futures if not future.done()]
        for future in done:
            future.result()

    def drain(self) -> None:
        """Wait until everything handed over is durable. Raises what went wrong."""
        with self._lock:
            waiting, self._futures = self._futures, []
        began_ns = monotonic_ns()
        for future in waiting:
            future.result()
        self._note_wait(monotonic_ns() - began_ns)

    def _note_wait(self, time_ns: int) -> None:
        """Somebody waited for the sealer, which waits for the disk but while it hashes."""
        with self._lock:
            busy_ns = self.write_ns + self._finish_ns
            disk_ns = time_ns * self.write_ns // busy_ns if busy_ns else time_ns
        self._progress.spend("disk", disk_ns)
        self._progress.spend("cpu", time_ns - disk_ns)

    def close(self) -> None:
        """End the sealer's threads."""
        self._sealer.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream:
    """One thread's way into the store: an ingester and its open container."""

    def __init__(self, ingest: Ingest, kind: int, id_key: bytes) -> None:
        self._ingest = ingest
        self._kind = kind
        self._writer: Writer | None = None
        keys = ingest.keys
        self._ingester = Ingester(ingest.index.native, id_key, keys.cut_key, keys.extent_tag_key)
        self.seal_ns = 0
        """Time in which this stream's thread handed containers over."""

    def ingest(self, batch: Batch) -> list[ExtentResult]:
        """Store what is new of a batch of extents; one result per extent, in order."""
        results: list[ExtentResult] = []
        while len(results) < batch.count:
            fresh = batch.ingest(self._ingester, self._open(), len(results))
            results += fresh
            if len(results) < batch.count:
                self.seal()
        return results

    def ingest_chunk(self, data: bytes) -> Ref:
        """Store one chunk as it is, unless it is known."""
        ref = self._ingester.ingest_chunk(self._open(), data)
        if ref is None:
            self.seal()
            ref = self._ingester.ingest_chunk(self._open(), data)
            assert ref is not None
        return ref

    @property
    def open_slot(self) -> int:
        """The slot of the container being filled."""
        return self._open().slot

    def has_room(self, size_bytes: int) -> bool:
        """Whether chunks of so many bytes together still fit the open container."""
        return self._open().has_room(size_bytes)

    @property
    def stats(self) -> Stats:
        """Time per stage and counts."""
        return self._ingester.stats()

    def seal(self) -> None:
        """Hand the open container over, if it holds anything."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.chunks:
            began_ns = monotonic_ns()
            self._ingest.seal(writer)
            self.seal_ns += monotonic_ns() - began_ns

    def _open(self) -> Writer:
        if self._writer is None:
            self._writer = self._ingest.open_writer(self._kind)
        return self._writer
