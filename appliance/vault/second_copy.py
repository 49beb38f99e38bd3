"""The store's second copy: containers in one or more vaults, by name.

Owns the bridge between the store's threads and the vaults' event loop, what is believed of a vault
that gave wrong bytes, and how far ahead of a reader is worth fetching.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import HoldfastError
from appliance.formats.vault_names import HashedKey, Kind, object_key
from appliance.store.containers import directory_range
from appliance.store.second_copy import Range, RemoteFile
from appliance.vault.bucket import MissingObjectError, list_all_versions
from appliance.vault.cache import Cache, CachedFile
from appliance.vault.fetching import Fetching, Source, Urgency
from appliance.vault.loop import LoopThread

# How much of a disk is fetched ahead of whoever reads it in order: enough for a fast and long line,
# and never so much that the cache loses it again before it is read.
_AHEAD_MAX_BYTES = 512 << 20
_AHEAD_SHARE = 4
# What reads of a container went wrong with is looked at as a whole once, not for each chunk.
_HOPELESS_MAX = 100_000
# How long nobody tries to connect again after that failed.
_REST_S = 30.0

OpenSources = Callable[[], Awaitable[Sequence[Source]]]
NoteDamage = Callable[[str, str], Awaitable[None]]
Wanted = Sequence[tuple[RemoteFile, Sequence[Range]]]
Absent = Sequence[tuple[CachedFile, str, Sequence[int]]]
"""Files, their keys, and the blocks to fetch."""


class Places(Protocol):
    """Where chunks lie in the vaults whose hints do not serve there."""

    def find(self, chunk_id: bytes, hint: bytes | None = None) -> tuple[bytes, int] | None:
        """(container, ordinal) of a stray; None for a chunk whose hint serves."""

    def kind(self, name: bytes) -> Kind:
        """Below which kind of key a container lies."""


def cache_folder(state: Path) -> Path:
    """Where what was read from vaults is kept."""
    return state / "cache" / "containers"


class VaultCopy:
    """Reads from vaults. Connects when first asked. Thread-safe."""

    def __init__(
        self,
        open_sources: OpenSources,
        cache: Cache,
        clock: Clock | None = None,
        note_damage: NoteDamage | None = None,
        strays: Places | None = None,
    ) -> None:
        """`open_sources` runs in the loop of this object and gives the vaults, best first.

        `note_damage` is told (label of the vault, key) of objects that are not what they are named.
        `strays`: where chunks lie whose hints do not serve in the vaults.
        """
        self._open_sources = open_sources
        self._cache = cache
        self._clock = clock or SystemClock()
        self._note_damage = note_damage
        self._strays = strays
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._again_s = 0.0
        self._sources: Sequence[Source] = ()
        self._fetching: Fetching | None = None
        self._hopeless: set[bytes] = set()
        self._boots: set[bytes] = set()
        self._preferred: dict[bytes, tuple[bytes, int]] = {}
        self._is_closed = False

    def close(self) -> None:
        """Let go of connections and threads."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.run(self._close_sources())
            loop.close()

    async def _close_sources(self) -> None:
        for source in self._sources:
            await source.bucket.close()

    def _start(self) -> tuple[LoopThread, Fetching]:
        with self._lock:
            if self._is_closed:
                raise HoldfastError("the vault is closed")
            if self._loop is None:
                if self._clock.monotonic_s() < self._again_s:
                    raise HoldfastError("no vault could be reached a moment ago")
                loop = LoopThread("vault")
                try:
                    self._sources = loop.run(_awaited(self._open_sources))
                except BaseException:
                    self._again_s = self._clock.monotonic_s() + _REST_S
                    loop.close()
                    raise
                self._loop = loop
                self._fetching = Fetching(self._sources, self._cache, self._clock)
            assert self._fetching is not None
            return self._loop, self._fetching

    # ---- what the store asks ----

    def has(self, name: bytes) -> bool:
        """Whether a vault holds the container `name`, or one into which it was merged."""
        merged = None if self._strays is None else self._strays.find(name)
        name = name if merged is None else merged[0]
        if self._cache.open(name).size_bytes:
            return True
        loop, _ = self._start()
        return loop.run(self._has(self._key(name)))

    async def _has(self, key: str) -> bool:
        for source in self._sources:
            try:
                await source.bucket.head(key)
            except MissingObjectError:
                continue
            return True
        return False

    def open(self, names: Sequence[bytes]) -> list[RemoteFile | None]:
        """The cached files of these containers with their ends; None where no vault has it."""
        if not names:
            return []
        loop, _ = self._start()
        return loop.run(self._open_all(names))

    async def _open_all(self, names: Sequence[bytes]) -> list[RemoteFile | None]:
        return list(await asyncio.gather(*(self._open(name) for name in names)))

    async def _open(self, name: bytes) -> CachedFile | None:
        assert self._fetching is not None
        file = self._cache.open(name)
        if await self._fetching.open(file, self._key(name)) or await self._heal(file):
            return file
        return None

    def fill(self, wanted: Wanted) -> None:
        """Fetch what is not here of these ranges, all at once."""
        absent = list(self._absent(wanted))  # mostly nothing: then no other thread is bothered
        if absent:
            loop, _ = self._start()
            loop.run(self._fill(absent))

    async def _fill(self, absent: Absent) -> None:
        assert self._fetching is not None
        await asyncio.gather(*(self._fetching.need(*blocks) for blocks in absent))

    @property
    def ahead_bytes(self) -> int:
        """How much of a disk is worth asking for ahead of a reader."""
        return min(_AHEAD_MAX_BYTES, self._cache.limit_bytes // _AHEAD_SHARE)

    def fill_ahead(self, wanted: Wanted) -> None:
        """Begin to fetch what is not here of these ranges, in their order."""
        absent = list(self._absent(wanted))
        if absent:
            loop, _ = self._start()
            loop.run(self._expect(absent))

    async def _expect(self, absent: Absent) -> None:
        assert self._fetching is not None
        for blocks in absent:
            self._fetching.expect(*blocks)

    def _absent(self, wanted: Wanted) -> Iterator[tuple[CachedFile, str, list[int]]]:
        for file, ranges in wanted:
            assert isinstance(file, CachedFile)
            blocks = file.absent({block for one in ranges for block in file.blocks_of(*one)})
            if blocks:
                yield file, self._key(file.name), blocks

    def distrust(self, file: RemoteFile) -> bool:
        """Fetch the whole container, from whichever vault or version has it sound."""
        assert isinstance(file, CachedFile)
        loop, _ = self._start()
        return loop.run(self._heal(file))

    def fetch(self, name: bytes, urgency: Urgency = "soon") -> bytes | None:
        """A whole container, verified by its name; None where no vault has it sound."""
        loop, _ = self._start()
        return loop.run(self._fetch(name, urgency))

    async def _fetch(self, name: bytes, urgency: Urgency) -> bytes | None:
        file = await self._open(name)
        if file is None:
            return None
        await self._fetch_whole(file, urgency)
        for _ in range(2):
            data = file.read_whole()
            if data is not None and hashlib.sha256(data).digest() == name:
                return data
            if not await self._heal(file):
                return None
        return None

    async def _fetch_whole(self, file: CachedFile, urgency: Urgency) -> None:
        """Let the cache hold all of a container."""
        assert self._fetching is not None
        key = self._key(file.name)
        await self._fetching.fetch_ahead(file, key, range(file.blocks), urgency)

    def locate(self, chunk_id: bytes, hint: bytes | None = None) -> tuple[bytes, int] | None:
        """Where a chunk of a boot set lies, or one whose hint does not serve in the vaults."""
        preferred = self._preferred.get(chunk_id)
        if preferred is not None or self._strays is None:
            return preferred
        return self._strays.find(chunk_id, hint)

    def is_delta(self, name: bytes) -> bool:
        """Whether chunks in container `name` may need others to be read."""
        return self._kind(name) == "deltas"

    # ---- boot sets ----

    def read_object(self, key: HashedKey) -> bytes:
        """A small object of the first vault that has it. Raises MissingObjectError."""
        loop, fetching = self._start()
        return loop.run(fetching.get_whole(str(key)))

    def open_boots(self, names: Sequence[bytes]) -> list[CachedFile]:
        """Containers of boot sets, with directories; from now on these names mean those.

        Raises HoldfastError unless all of them are there.
        """
        self._boots.update(names)
        loop, _ = self._start()
        return loop.run(self._open_boots(names))

    async def _open_boots(self, names: Sequence[bytes]) -> list[CachedFile]:
        files = []
        for name, file in zip(names, await self._open_all(names), strict=True):
            if not isinstance(file, CachedFile):
                raise HoldfastError(f"boot container {name.hex()} is not to be had")
            files.append(file)
        tails = [
            (file, [directory_range(file.descriptor, file.size_bytes, file.name)]) for file in files
        ]
        await self._fill(list(self._absent(tails)))
        return files

    def prefer(self, places: Mapping[bytes, tuple[bytes, int]]) -> None:
        """Read these chunks from there."""
        self._preferred.update(places)

    def fetch_now(self, files: Sequence[CachedFile]) -> None:
        """Begin to fetch all of these, as if somebody waited for them."""
        loop, fetching = self._start()
        for file in files:
            loop.submit(fetching.need(file, self._key(file.name), range(file.blocks)))

    def _key(self, name: bytes) -> str:
        return object_key(self._kind(name), name)

    def _kind(self, name: bytes) -> Kind:
        if name in self._boots:
            return "boots"
        return "containers" if self._strays is None else self._strays.kind(name)

    # ---- what was wrong ----

    async def _heal(self, file: CachedFile) -> bool:
        """Put a container whose hash is right into the cache; false where no vault has one."""
        if file.name in self._hopeless:
            return False
        for source in self._sources:
            data = await self._sound(source, file.name)
            if data is not None:
                file.set_size(len(data))
                self._cache.write(file, 0, data)
                return True
        if len(self._hopeless) < _HOPELESS_MAX:
            self._hopeless.add(file.name)
        return False

    async def _sound(self, source: Source, name: bytes) -> bytes | None:
        """The object of a vault that verifies: the latest, or the newest older version."""
        key = self._key(name)
        try:
            data = (await source.bucket.get(key)).data
        except MissingObjectError:
            data = None
        if data is not None:
            if hashlib.sha256(data).digest() == name:
                return data
            if self._note_damage is not None:
                await self._note_damage(source.label, key)
        if not source.bucket.abilities.has_versions:
            return None
        async for info in list_all_versions(source.bucket, key):
            if info.name == key and not info.is_marker:
                data = (await source.bucket.get(key, version=info.version)).data
                if hashlib.sha256(data).digest() == name:
                    return data
        return None


async def _awaited(open_sources: OpenSources) -> Sequence[Source]:
    return await open_sources()
