"""Reading containers from vaults on demand: what is fetched, what is kept, what is not believed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.formats.page import Reference
from appliance.formats.vault_names import object_key
from appliance.store.chunks import Wanted
from appliance.store.store import Store
from appliance.vault.bucket import Fetched, TransientError
from appliance.vault.cache import BLOCK_BYTES, Cache
from appliance.vault.directory import DirectoryBucket
from appliance.vault.fetching import Source
from appliance.vault.second_copy import VaultCopy
from tests.store.stores import KEYS, add_container, chunks_of, load_index, make_store

# 7 MiB that does not compress, in frames of 256 KiB.
CHUNKS = chunks_of(11, 120, 60_000)


class CountedBucket(DirectoryBucket):
    """Notes each range, and may hold or fail them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ranges: list[tuple[str, int, int | None]] = []
        self.failures = 0
        self.gate: asyncio.Event | None = None
        self.gated = 0

    async def release(self) -> None:
        if self.gate is not None:
            self.gate.set()

    async def get(
        self,
        name: str,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
        version: str | None = None,
    ) -> Fetched:
        self.ranges.append((name, offset, size_bytes))
        if self.failures:
            self.failures -= 1
            raise TransientError("the line is down")
        if self.gate is not None and (size_bytes or 0) >= self.gated:
            await self.gate.wait()
        return await super().get(name, offset=offset, size_bytes=size_bytes, version=version)


class OffSite:
    """A store whose containers are in vaults only."""

    def __init__(self, state: Path, folder: Path) -> None:
        self.state = state
        self.folder = folder
        layout = make_store(state).layout
        self.name, refs = add_container(layout, load_index(layout), CHUNKS)
        self.references = [Reference(ref.chunk_id, self.name, ref.ordinal) for ref in refs]
        self.key = object_key("containers", self.name)
        self.local = layout.container(self.name)
        self.data = self.local.read_bytes()
        self.buckets: list[CountedBucket] = []
        self.damaged: list[tuple[str, str]] = []
        self.copies: list[VaultCopy] = []
        self.cache = Cache(state / "cache" / "containers", 1 << 30)
        self.add_vault(self.data)
        self.local.unlink()

    def add_vault(self, data: bytes | None) -> CountedBucket:
        root = self.folder / str(len(self.buckets))
        root.mkdir(parents=True)
        bucket = CountedBucket(root)
        if data is not None:
            path = root / self.key
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
        self.buckets.append(bucket)
        return bucket

    async def _open(self) -> list[Source]:
        return [Source(f"v{number}", bucket) for number, bucket in enumerate(self.buckets)]

    async def _note(self, label: str, key: str) -> None:
        self.damaged.append((label, key))

    def open(self) -> Store:
        """The store as another process would open it."""
        copy = VaultCopy(self._open, self.cache, note_damage=self._note)
        self.copies.append(copy)
        return Store(self.state, KEYS, None, copy)

    def read_all(self, store: Store) -> tuple[bytes, list[int]]:
        wanted, at = [], 0
        for reference, chunk in zip(self.references, CHUNKS, strict=True):
            wanted.append(Wanted(reference, len(chunk), at))
            at += len(chunk)
        out = bytearray(at)
        failed = store.chunks.read_into(wanted, out)
        return bytes(out), failed

    def asked(self) -> int:
        return sum(len(bucket.ranges) for bucket in self.buckets)


@pytest.fixture
def site(state: Path, tmp_path: Path) -> Iterator[OffSite]:
    made = OffSite(state, tmp_path / "vaults")
    yield made
    for copy in made.copies:
        copy.close()


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_everything_is_read_from_the_vault(site: OffSite) -> None:
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])
    assert not site.local.exists()


def test_ranges_show_no_sizes_of_chunks(site: OffSite) -> None:
    store = site.open()
    for reference in site.references[::7]:
        store.chunks.read_chunk(reference)
    for _, offset, length in site.buckets[0].ranges:
        assert offset % BLOCK_BYTES == 0
        assert length is not None
        assert length % BLOCK_BYTES == 0 or offset + length == len(site.data)


def test_one_chunk_costs_a_few_blocks(site: OffSite) -> None:
    store = site.open()
    store.chunks.read_chunk(site.references[60])
    asked = sum(length or 0 for _, _, length in site.buckets[0].ranges)
    assert asked <= 5 * BLOCK_BYTES
    assert len(site.buckets[0].ranges) <= 4


def test_what_was_read_is_there_after_a_restart(site: OffSite) -> None:
    site.read_all(site.open())
    asked = site.asked()
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])
    assert site.asked() == asked


def test_no_block_is_asked_for_twice_by_many_at_once(site: OffSite) -> None:
    store = site.open()
    results: list[tuple[bytes, list[int]]] = []
    threads = [
        threading.Thread(target=lambda: results.append(site.read_all(store))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(b"".join(CHUNKS), [])] * 8
    blocks = [
        block
        for _, offset, length in site.buckets[0].ranges
        for block in range(offset // BLOCK_BYTES, -(-(offset + (length or 0)) // BLOCK_BYTES))
    ]
    # Only the first block, of which nobody knows yet how long the container is, may be.
    assert sorted(set(blocks) - {0}) == sorted(block for block in blocks if block)


def test_a_cache_that_a_power_cut_spoiled_is_fetched_anew(site: OffSite) -> None:
    site.read_all(site.open())
    (cached,) = site.cache._folder.glob("*/*")
    with cached.open("r+b") as file:
        file.seek(BLOCK_BYTES)
        file.write(bytes(8 * BLOCK_BYTES))
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])
    assert site.damaged == []


def test_a_cache_that_is_cut_off_or_foreign_is_fetched_anew(site: OffSite) -> None:
    site.read_all(site.open())
    (cached,) = site.cache._folder.glob("*/*")
    os.truncate(cached, 1000)
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])
    cached.write_bytes(b"garbage" * 6_000_000)
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])


def test_the_second_vault_serves_what_the_first_has_damaged_and_that_is_told(
    site: OffSite,
) -> None:
    site.add_vault(site.data)
    flip(site.folder / "0" / site.key, BLOCK_BYTES + 5)
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])
    assert set(site.damaged) == {("v0", site.key)}


def test_the_second_vault_serves_what_the_first_lacks(site: OffSite) -> None:
    site.add_vault(site.data)
    (site.folder / "0" / site.key).unlink()
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])


def test_damage_in_the_only_vault_costs_the_chunks_it_hit(site: OffSite) -> None:
    flip(site.folder / "0" / site.key, BLOCK_BYTES + 5)
    store = site.open()
    _, failed = site.read_all(store)
    assert 1 <= len(failed) <= 6
    asked = site.asked()
    site.read_all(store)
    assert site.asked() == asked, "what is hopeless is not asked for again and again"


def test_a_line_that_fails_for_a_while_is_waited_for(site: OffSite) -> None:
    site.buckets[0].failures = 3
    assert site.read_all(site.open()) == (b"".join(CHUNKS), [])


def test_a_line_that_stays_down_is_an_error(site: OffSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.vault.fetching._PATIENCE_S", 0.2)
    site.buckets[0].failures = 10**6
    store = site.open()
    with pytest.raises(HoldfastError, match="line is down"):
        site.read_all(store)
    # Who comes next is told at once, and when the line is back all is well.
    asked = site.asked()
    with pytest.raises(HoldfastError, match="line is down"):
        store.chunks.read_chunk(site.references[5])
    assert site.asked() - asked <= 2
    site.buckets[0].failures = 0
    assert site.read_all(store) == (b"".join(CHUNKS), [])


def test_a_vault_without_the_container_has_lost_it(site: OffSite) -> None:
    (site.folder / "0" / site.key).unlink()
    _, failed = site.read_all(site.open())
    assert failed == list(range(len(CHUNKS)))


def test_a_whole_container_is_verified_by_its_name(site: OffSite) -> None:
    store = site.open()
    assert store.second_copy.fetch(site.name) == site.data
    assert store.second_copy.fetch(hashlib.sha256(b"").digest()) is None
    flip(site.folder / "0" / site.key, 300)
    site.cache.shrink(0)
    assert site.open().second_copy.fetch(site.name) is None


def test_the_cache_keeps_to_its_limit_and_the_newest(site: OffSite) -> None:
    cache = Cache(site.state / "small", 4 << 20)
    names = [hashlib.sha256(bytes([number])).digest() for number in range(12)]
    for name in names:
        file = cache.open(name)
        file.set_size(1 << 20)
        cache.write(file, 0, bytes(1 << 20))
    assert cache.shrink(1 << 30) <= (4 << 20) * 17 // 16 + (1 << 20)
    kept = {path.name for path in (site.state / "small").glob("*/*")}
    assert names[-1].hex() in kept
    assert names[0].hex() not in kept


def wait_for_whole(site: OffSite) -> None:
    waiting, file = threading.Event(), site.cache.open(site.name)
    for _ in range(600):
        if file.read_whole() == site.data:
            return
        waiting.wait(0.1)
    raise AssertionError("what is expected does not come")


def test_what_is_expected_comes_in_long_ranges_before_it_is_asked_for(site: OffSite) -> None:
    store = site.open()
    store.chunks.expect(site.references)
    wait_for_whole(site)
    ends = 3  # the first block, the last, and those of the directory
    assert len(site.buckets[0].ranges) <= ends + 7, "7 MiB, a MiB or more at once"
    asked = site.asked()
    assert site.read_all(store) == (b"".join(CHUNKS), [])
    assert site.asked() == asked


def test_what_is_not_expected_is_not_fetched(site: OffSite) -> None:
    store = site.open()
    store.chunks.expect(site.references[40:44])
    store.chunks.fetch(site.references[40:44])
    fetched = sum(length or 0 for _, _, length in site.buckets[0].ranges)
    assert fetched < len(site.data) / 2


def test_readers_do_not_wait_for_what_others_expect(site: OffSite) -> None:
    site.buckets[0].gate = asyncio.Event()
    site.buckets[0].gated = 1 << 20
    store = site.open()
    store.chunks.expect(site.references[:20])
    # All streams are stuck; a reader of other blocks has slots of its own.
    assert store.chunks.read_chunk(site.references[100]) == CHUNKS[100]
    loop = site.copies[-1]._loop
    assert loop is not None
    loop.submit(site.buckets[0].release())
    assert site.read_all(store) == (b"".join(CHUNKS), [])


def test_nothing_is_begun_any_more_once_it_is_closed(
    site: OffSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.vault.fetching._EXPECTED_RUN_BLOCKS", range(1, 2))
    store = site.open()
    store.chunks.fetch(site.references[:1])
    site.buckets[0].gate = asyncio.Event()
    store.chunks.expect(site.references)
    copy = site.copies[-1]
    fetching = copy._fetching
    assert fetching is not None
    assert fetching._expected, "more is expected than streams are open"
    copy.close()
    assert not fetching._background
    assert not fetching._under_way
    assert not fetching._expected


def test_what_was_expected_while_the_line_was_down_is_asked_for_again(
    site: OffSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = site.open()
    store.chunks.fetch(site.references[:1])
    monkeypatch.setattr("appliance.vault.fetching._PATIENCE_S", 0.0)
    site.buckets[0].failures = 10**6
    store.chunks.expect(site.references)
    waiting, fetching = threading.Event(), site.copies[-1]._fetching
    for _ in range(6000):
        if site.buckets[0].failures < 10**6 and fetching and not fetching._busy_streams:
            break
        waiting.wait(0.01)
    site.buckets[0].failures = 0
    assert site.read_all(store) == (b"".join(CHUNKS), [])
