"""Ingesters, batches and writers through the Python door: one thread, many threads, many rounds."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest

from appliance.base.errors import IntegrityError
from appliance.native import (
    EXTENT_BYTES,
    FRAME_MAX_BYTES,
    KIND_DATA,
    Batch,
    ExtentResult,
    Index,
    Ingester,
    Reader,
    Ref,
    Writer,
    cut,
)
from appliance.native.writing import (
    REF_DATA,
    STATUS_CHANGED,
    STATUS_DATA,
    STATUS_UNCHANGED,
    STATUS_ZERO,
)
from tests.native.containers import (
    CONTAINER_ID,
    CONTAINER_KEY,
    CUT_KEY,
    Sealed,
    open_ingester,
    open_writer,
    seal,
)

THREADS = 8


def fill(batch: Batch, extents: Sequence[bytes], tags: Sequence[bytes | None] = ()) -> None:
    batch.clear()
    for number, data in enumerate(extents):
        at = number * EXTENT_BYTES
        batch.buffer[at : at + len(data)] = data
        batch.add(at, len(data), tags[number] if tags else None)


class Rotation:
    """Ingests batches, with a fresh container whenever one is full."""

    def __init__(self, index: Index, folder: Path) -> None:
        self._index = index
        self._folder = folder
        self._ingester = open_ingester(index)
        self._writer = open_writer(index)
        self.sealed: dict[int, Sealed] = {}

    def ingest(self, batch: Batch) -> list[ExtentResult]:
        results: list[ExtentResult] = []
        while len(results) < batch.count:
            results += batch.ingest(self._ingester, self._writer, len(results))
            if len(results) < batch.count:
                self.rotate()
        return results

    def rotate(self) -> None:
        slot = self._writer.slot
        if self._writer.chunks:
            self.sealed[slot] = seal(self._writer, self._folder / str(slot))
            self._index.name_slot(slot, self.sealed[slot].name)
        self._writer.close()
        self._writer = open_writer(self._index)


def read_extent(refs: Sequence[Ref], sealed: dict[int, Sealed], reader: Reader) -> bytes:
    out = bytearray(sum(ref.length for ref in refs))
    items, at = [], 0
    for ref in refs:
        if ref.flag == REF_DATA:
            items.append(sealed[ref.slot].item(ref, at))
        at += ref.length
    assert reader.read(items, out) == []
    return bytes(out)


def test_statuses_say_what_became_of_an_extent() -> None:
    index = Index()
    batch, ingester, writer = Batch(3), open_ingester(index), open_writer(index)
    data = random.Random(1).randbytes(100_000)
    fill(batch, [bytes(5000), data, b"\1"])
    zero, first, single = batch.ingest(ingester, writer, 0)
    assert (zero.status, zero.refs, zero.tag) == (STATUS_ZERO, [], bytes(16))
    assert first.status == single.status == STATUS_DATA
    assert sum(ref.length for ref in first.refs) == len(data)
    assert [ref.length for ref in single.refs] == [1]
    fill(batch, [data, data[:-1]], [first.tag, first.tag])
    same, shorter = batch.ingest(ingester, writer, 0)
    assert (same.status, same.tag, same.refs) == (STATUS_UNCHANGED, first.tag, [])
    assert shorter.status == STATUS_CHANGED
    batch.retry({1: None})
    (shorter,) = batch.ingest(ingester, writer, 0)
    assert (shorter.status, sum(ref.length for ref in shorter.refs)) == (STATUS_DATA, len(data) - 1)
    assert ingester.stats().new_bytes <= len(data) + 1 + 2 * 65536 * 4


def test_a_batch_has_room_for_so_many_extents() -> None:
    batch = Batch(1)
    batch.add(0, 1, None)
    with pytest.raises(IndexError):
        batch.add(0, 1, None)


def test_an_impossible_extent_is_an_integrity_error() -> None:
    index = Index()
    batch = Batch(1)
    batch.add(0, 0, None)
    with pytest.raises(IntegrityError, match="extent"):
        batch.ingest(open_ingester(index), open_writer(index), 0)


def test_small_batches_rotate_through_containers_and_come_back(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    index = Index()
    rotation = Rotation(index, tmp_path)
    batch = Batch(2)
    kept: list[tuple[bytes, list[Ref]]] = []
    for _ in range(6):  # 48 MiB of random bytes: two containers
        extents = [chance.randbytes(EXTENT_BYTES) for _ in range(2)]
        fill(batch, extents)
        results = rotation.ingest(batch)
        kept += zip(extents, [result.refs for result in results], strict=True)
    rotation.rotate()
    assert len(rotation.sealed) == 2
    reader = Reader()
    for data, refs in kept:
        assert read_extent(refs, rotation.sealed, reader) == data
    for sealed in rotation.sealed.values():
        sealed.close()


def test_chunks_that_do_not_fit_are_refused_softly() -> None:
    index = Index()
    writer, ingester = open_writer(index), open_ingester(index)
    chance = random.Random(1)
    count = 0
    while ingester.ingest_chunk(writer, chance.randbytes(FRAME_MAX_BYTES)) is not None:
        count += 1
    assert 29 <= count <= 31
    assert not writer.has_room(FRAME_MAX_BYTES)
    assert writer.chunks == count


@pytest.mark.parametrize("size", [0, FRAME_MAX_BYTES + 1])
def test_what_is_no_chunk_is_refused_and_not_remembered(size: int) -> None:
    index = Index()
    with pytest.raises(IntegrityError, match="chunk"):
        open_ingester(index).ingest_chunk(open_writer(index), b"x" * size)
    assert index.pending() == 0


def test_a_container_is_sealed_once_and_holds_something() -> None:
    index = Index()
    writer = open_writer(index)
    with pytest.raises(IntegrityError, match="container"):
        writer.finish()
    open_ingester(index).ingest_chunk(writer, b"x")
    writer.finish()
    with pytest.raises(IntegrityError, match="container"):
        writer.finish()
    assert open_ingester(index).ingest_chunk(writer, b"y") is None


def test_cut_gives_rising_ends_of_at_most_256_kib() -> None:
    data = random.Random(1).randbytes(EXTENT_BYTES)
    ends = list(cut(CUT_KEY, data))
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == len(data)
    assert max(sizes) <= 256 << 10
    assert min(sizes[:-1]) > 16 << 10
    assert list(cut(CUT_KEY, b"")) == []
    assert list(cut(CUT_KEY, b"x")) == [1]


# ---- threads ------------------------------------------------------------------------------------


def test_an_ingesting_thread_does_not_hold_the_interpreter() -> None:
    # With the lock held throughout, at most one tick at each edge, however often it is tried; on
    # a busy machine this thread may now and then get no turn.
    counts: list[int] = []
    while len(counts) < 20 and max(counts, default=0) <= 5:
        index = Index()
        batch = Batch(6)
        fill(batch, [random.Random(1).randbytes(EXTENT_BYTES)] * 6)
        ingester, writer = open_ingester(index), open_writer(index)
        counts.append(count_ticks(partial(batch.ingest, ingester, writer, 0)))
    assert counts[-1] > 5, f"ticks while it ran: {counts}"


def count_ticks(work: Callable[[], object]) -> int:
    """How often this thread had its turn while `work` ran in another."""
    spans: list[tuple[float, float]] = []

    def timed() -> None:
        began_s = time.monotonic()
        work()
        spans.append((began_s, time.monotonic()))

    thread = threading.Thread(target=timed)
    ticks: list[float] = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.monotonic())
        time.sleep(0.0005)
    thread.join()
    ((began_s, ended_s),) = spans
    return sum(began_s < tick < ended_s for tick in ticks)


class Worker(threading.Thread):
    """Ingests its extents and then, when everything is sealed, reads everybody's."""

    def __init__(
        self, index: Index, folder: Path, extents: list[bytes], barrier: threading.Barrier
    ) -> None:
        super().__init__()
        self.rotation = Rotation(index, folder)
        self._extents = extents
        self._barrier = barrier
        self.refs: dict[bytes, list[Ref]] = {}
        self.others: list[Worker] = []
        self.mismatches: int | None = None

    def run(self) -> None:
        batch = Batch(1)
        for data in self._extents:
            fill(batch, [data])
            (result,) = self.rotation.ingest(batch)
            self.refs[data] = result.refs
        self.rotation.rotate()
        self._barrier.wait(timeout=300)
        sealed = {slot: one for other in self.others for slot, one in other.rotation.sealed.items()}
        reader = Reader()
        self.mismatches = sum(
            read_extent(refs, sealed, reader) != data
            for other in self.others
            for data, refs in other.refs.items()
        )


def test_threads_that_ingest_the_same_at_once_store_it_once_and_read_it_all(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    shared = [chance.randbytes(1 << 20) for _ in range(10)]
    index = Index()
    barrier = threading.Barrier(THREADS)
    workers = []
    for number in range(THREADS):
        folder = tmp_path / str(number)
        folder.mkdir()
        extents = [*chance.sample(shared, len(shared)), chance.randbytes(1 << 20)]
        workers.append(Worker(index, folder, extents, barrier))
    for worker in workers:
        worker.others = workers
        worker.start()
    for worker in workers:
        worker.join(timeout=300)
    assert [worker.mismatches for worker in workers] == [0] * THREADS
    # Whoever claimed a chunk first, everybody names the same place for it.
    for data in shared:
        assert len({tuple(worker.refs[data]) for worker in workers}) == 1
    ids = [i for w in workers for s in w.rotation.sealed.values() for i in s.directory.ids()]
    assert len(ids) == len(set(ids)) == index.pending()
    for worker in workers:
        for sealed in worker.rotation.sealed.values():
            sealed.close()


# ---- memory -------------------------------------------------------------------------------------


def use_a_container(index: Index, ingester: Ingester, data: bytes) -> None:
    writer = Writer(KIND_DATA, CONTAINER_ID, CONTAINER_KEY, index.open_slot(), 3)
    for at in range(0, len(data), 1 << 18):
        ingester.ingest_chunk(writer, data[at : at + (1 << 18)])
    _, view = writer.finish()
    view.release()
    writer.close()


def test_memory_does_not_grow_with_containers() -> None:
    chance = random.Random(1)
    process = psutil.Process()
    sizes = []
    for number in range(200):
        index = Index()
        use_a_container(index, open_ingester(index), chance.randbytes(512 << 10))
        if number in (20, 199):
            sizes.append(process.memory_info().rss)
    early, late = sizes
    # One container lost per round would be 512 KiB at least, 90 MiB in all.
    assert late - early < 32 << 20, f"{early >> 20} MiB, then {late >> 20} MiB"


def test_memory_does_not_grow_with_batches_and_readers(tmp_path: Path) -> None:
    index = Index()
    writer, ingester = open_writer(index), open_ingester(index)
    ref = ingester.ingest_chunk(writer, random.Random(1).randbytes(1 << 20))
    assert ref is not None
    sealed = seal(writer, tmp_path / "container")
    process = psutil.Process()
    sizes = []
    for number in range(100):
        fill(Batch(2), [b"x" * EXTENT_BYTES] * 2)
        assert Reader().read([sealed.item(ref)], bytearray(1 << 20)) == []
        if number in (10, 99):
            sizes.append(process.memory_info().rss)
    early, late = sizes
    assert late - early < 32 << 20, f"{early >> 20} MiB, then {late >> 20} MiB"
    sealed.close()
