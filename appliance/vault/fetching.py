"""Fetching blocks of containers from vaults into the cache, each once, as fast as the line goes.

Owns which requests run: neighbouring blocks in one GET, many GETs at once, retries while the line
is down, and who goes first: readers before whatever is fetched in advance. What a reader of a whole
disk will need is expected in its order, in long ranges and in as many streams as go well. (A second
GET beside one that is late is the bucket's business.) Belongs to one event loop. It knows no keys:
callers authenticate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.vault.bucket import Bucket, Fetched, MissingObjectError, TransientError
from appliance.vault.cache import BLOCK_BYTES, Cache, CachedFile
from appliance.vault.streams import Streams

Urgency = Literal["soon", "idle"]
"""`soon`: somebody will wait for it. `idle`: when nobody else wants the line."""

# Blocks of one GET: a reader gets the first sooner, a whole container costs few requests, and a
# connection that is cut costs at most as much again.
_RUN_BLOCKS = 4
_AHEAD_RUN_BLOCKS = 16
_PARALLEL = {"now": 24, "soon": 8, "idle": 2}
# Blocks fetched in advance behind one that follows on what is here already.
_AHEAD_BLOCKS = 3
# What is expected: so many streams at most, and in one GET what a stream brings in a while, between
# 1 and 8 MiB. All together that is held in memory.
_EXPECTING_START, _EXPECTING_MAX = 4, 12
_EXPECTED_RUN_S = 4.0
_EXPECTED_RUN_BLOCKS = range(4, 33)
# Blocks nobody asked for between two that are expected: dearer than a request of their own is what
# a line brings in a round trip.
_EXPECTED_GAP_BLOCKS = 2
# How long a line may be down before readers are told.
_PATIENCE_S = 120.0
_RETRY_MAX_S = 5.0
# Idle fetching waits until nobody has waited for so long, and goes on anyway after the other.
_QUIET_S = 1.0
_YIELD_MAX_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Source:
    """One vault to read from."""

    label: str
    bucket: Bucket


class Fetching:
    """Fetches for one process."""

    def __init__(self, sources: Sequence[Source], cache: Cache, clock: Clock) -> None:
        """`sources`: asked in this order."""
        self._sources = sources
        self._cache = cache
        self._clock = clock
        self._under_way: dict[tuple[bytes, int], asyncio.Task[None]] = {}
        self._slots = {kind: asyncio.Semaphore(count) for kind, count in _PARALLEL.items()}
        self._expected: deque[tuple[CachedFile, str, list[int]]] = deque()
        self._expected_blocks: set[tuple[bytes, int]] = set()
        self._streams = Streams(_EXPECTING_MAX, start=_EXPECTING_START, is_reading=True)
        self._busy_streams = 0
        for source in sources:
            source.bucket.traffic.listeners.append(self._streams.note)
        self._waiting = 0
        self._is_down = False
        self._background: set[asyncio.Task[None]] = set()

    async def open(self, file: CachedFile, key: str) -> bool:
        """Learn how long a container is and fetch its ends; False where no vault has it."""
        if not file.size_bytes:
            try:
                async with self._slots["now"]:
                    first = await self._get(key, 0, BLOCK_BYTES)
            except MissingObjectError:
                return False
            file.set_size(first.info.size_bytes)
            await asyncio.to_thread(self._cache.write, file, 0, first.data)
        await self.need(file, key, [0, file.blocks - 1])
        return True

    async def need(self, file: CachedFile, key: str, blocks: Sequence[int]) -> None:
        """Return when these blocks are here, since somebody waits for them.

        Raises HoldfastError where they cannot be got.
        """
        missing = file.absent(blocks)
        if not missing:
            return
        if missing[0] > 0 and not file.absent([missing[0] - 1]):
            stop = min(missing[-1] + 1 + _AHEAD_BLOCKS, file.blocks)
            ahead = range(missing[-1] + 1, stop)
            unexpected = [one for one in ahead if (file.name, one) not in self._expected_blocks]
            self._later(self.fetch_ahead(file, key, unexpected, "soon"))
        self._waiting += 1
        try:
            await asyncio.gather(*self._begin(file, key, missing, is_awaited=True))
        finally:
            self._waiting -= 1

    async def fetch_ahead(
        self, file: CachedFile, key: str, blocks: Sequence[int], urgency: Urgency
    ) -> None:
        """Return when these blocks are here; readers go first."""
        runs = _runs(file.absent(blocks), _AHEAD_RUN_BLOCKS)
        results = await asyncio.gather(
            *(self._fetch_run(file, key, run, urgency) for run in runs), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def expect(self, file: CachedFile, key: str, blocks: Sequence[int]) -> None:
        """Begin to fetch these blocks, after what was expected before; readers go first."""
        fresh = [
            block
            for block in file.absent(blocks)
            if (file.name, block) not in self._expected_blocks
            and (file.name, block) not in self._under_way
        ]
        for run in _runs(fresh, file.blocks, _EXPECTED_GAP_BLOCKS):
            self._expected.append((file, key, run))
            self._expected_blocks.update((file.name, block) for block in run)
        self._feed_streams()

    def _feed_streams(self) -> None:
        while self._expected and self._busy_streams < self._streams.limit:
            file, key, run = self._expected.popleft()
            longest = self._expected_run_blocks()
            if len(run) > longest:
                self._expected.appendleft((file, key, run[longest:]))
            self._busy_streams += 1
            self._later(self._fetch_expected(file, key, run[:longest]))

    def _expected_run_blocks(self) -> int:
        """As many as one stream brings in a while; few until anybody knows how many that are."""
        rate = self._streams.bytes_per_s or 0.0
        blocks = int(rate * _EXPECTED_RUN_S) // BLOCK_BYTES
        return min(max(blocks, _EXPECTED_RUN_BLOCKS[0]), _EXPECTED_RUN_BLOCKS[-1])

    async def _fetch_expected(self, file: CachedFile, key: str, run: Sequence[int]) -> None:
        self._expected_blocks.difference_update((file.name, block) for block in run)
        try:
            missing = file.absent(run)  # a reader may have been faster
            await asyncio.gather(*self._begin(file, key, missing, is_awaited=False))
        except asyncio.CancelledError:
            self._expected.clear()  # nobody waits any more: nothing else begins
            raise
        finally:
            self._busy_streams -= 1
            self._feed_streams()

    async def _fetch_run(
        self, file: CachedFile, key: str, run: Sequence[int], urgency: Urgency
    ) -> None:
        async with self._slots[urgency]:
            if urgency == "idle":
                await self._yield()
            # A reader may have been faster.
            missing = file.absent(run)
            await asyncio.gather(*self._begin(file, key, missing, is_awaited=False))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits is told; what nobody waits for is asked for again

    def _begin(
        self, file: CachedFile, key: str, missing: Sequence[int], *, is_awaited: bool
    ) -> set[asyncio.Task[None]]:
        """Tasks that bring these blocks, those under way already among them."""
        under_way = [self._under_way.get((file.name, block)) for block in missing]
        tasks = {task for task in under_way if task is not None}
        rest = [block for block, task in zip(missing, under_way, strict=True) if task is None]
        for run in _runs(rest, _RUN_BLOCKS if is_awaited else len(rest)):
            task = asyncio.create_task(self._fetch(file, key, run, is_awaited=is_awaited))
            for block in run:
                self._under_way[file.name, block] = task
            task.add_done_callback(partial(self._end, file.name, run))
            tasks.add(task)
        return tasks

    def _end(self, name: bytes, run: Sequence[int], task: asyncio.Task[None]) -> None:
        for block in run:
            self._under_way.pop((name, block), None)
        self._forget(task)

    async def _fetch(
        self, file: CachedFile, key: str, run: Sequence[int], *, is_awaited: bool
    ) -> None:
        offset = run[0] * BLOCK_BYTES
        length = min(len(run) * BLOCK_BYTES, file.size_bytes - offset)
        if is_awaited:
            async with self._slots["now"]:
                self._cache.note_foreground()
                fetched = await self._get(key, offset, length)
        else:
            fetched = await self._get(key, offset, length)
        if len(fetched.data) != length:
            raise HoldfastError(f"{key} is no longer in the vault as it was")
        await asyncio.to_thread(self._cache.write, file, run[0], fetched.data)

    # ---- one range ----

    async def _get(self, key: str, offset: int, length: int) -> Fetched:
        """From the first vault that has it. Raises MissingObjectError where none has."""
        missing = MissingObjectError(f"no vault has {key}")
        for source in self._sources:
            try:
                return await self._patiently(source, key, offset, length)
            except MissingObjectError as error:
                missing = error
        raise missing

    async def get_whole(self, key: str) -> bytes:
        """A small object, from the first vault that has it. Raises MissingObjectError."""
        missing = MissingObjectError(f"no vault has {key}")
        for source in self._sources:
            try:
                return (await source.bucket.get(key)).data
            except MissingObjectError as error:
                missing = error
        raise missing

    async def _patiently(self, source: Source, key: str, offset: int, length: int) -> Fetched:
        """Again and again while the line is down, for a while; then others do not wait again."""
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        wait_s = _POLL_S
        while True:
            try:
                fetched = await source.bucket.get(key, offset=offset, size_bytes=length)
            except TransientError:
                if self._is_down or self._clock.monotonic_s() >= until_s:
                    self._is_down = True
                    raise
            else:
                self._is_down = False
                return fetched
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _RETRY_MAX_S)

    async def _yield(self) -> None:
        """Wait until no reader of any process has waited for a while."""
        until_s = self._clock.monotonic_s() + _YIELD_MAX_S
        while self._clock.monotonic_s() < until_s:
            quiet_ns = self._clock.now().timestamp() * 1e9 - self._cache.foreground_ns()
            if not self._waiting and not 0 <= quiet_ns < _QUIET_S * 1e9:
                return
            await asyncio.sleep(_POLL_S)


def _runs(blocks: Sequence[int], longest: int, gap: int = 0) -> list[list[int]]:
    """Neighbours together, at most `longest` of them; with those of gaps of up to `gap` blocks."""
    runs: list[list[int]] = []
    for block in blocks:
        if runs and block - runs[-1][-1] <= gap + 1 and block - runs[-1][0] < longest:
            runs[-1] += range(runs[-1][-1] + 1, block + 1)
        else:
            runs.append([block])
    return runs
