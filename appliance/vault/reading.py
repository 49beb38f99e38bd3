"""The second copy of a box: built from the vaults that it knows. Owns their order, nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.keys.hierarchy import MasterKey
from appliance.store.store import Store
from appliance.vault.address import DirectoryAddress, parse_address
from appliance.vault.bucket import Bucket
from appliance.vault.cache import Cache
from appliance.vault.fetching import Source
from appliance.vault.mending import Mending
from appliance.vault.opening import open_bucket
from appliance.vault.registry import Registry
from appliance.vault.second_copy import VaultCopy, cache_folder
from appliance.vault.sound import SoundBucket
from appliance.vault.strays import Strays


class VaultReading:
    """What a box reads from its vaults. Connects when something is read."""

    def __init__(self, state: Path, master: MasterKey, clock: Clock) -> None:
        # Without a second copy: it gives records and, to mend, sound containers of the box.
        store = Store(state, master, clock)
        self._clock = clock
        self._registry = Registry(store)
        self._mending = Mending(store, clock)
        self._buckets: dict[str, Bucket] = {}
        strays = Strays([self._registry.folder(name) for name in self._registry.names()], master)
        self.copy = VaultCopy(
            self._open_sources,
            Cache(cache_folder(state), self._cache_limit()),
            clock,
            note_damage=self._note_damage,
            strays=strays,
        )

    def _cache_limit(self) -> int | None:
        """What the cache may take: as the most generous vault says; None: as fits."""
        limits = []
        for name in self._registry.names():
            with contextlib.suppress(HoldfastError):
                limits.append(self._registry.get(name).cache_bytes)
        return max(limits, default=0) or None

    async def _open_sources(self) -> Sequence[Source]:
        """All vaults that can be opened, those in directories first.

        Raises HoldfastError if none can.
        """
        failure: HoldfastError | None = None
        for name in self._registry.names():
            try:
                self._buckets[name] = await self._open(name)
            except HoldfastError as error:
                failure = error
        if not self._buckets and failure is not None:
            raise failure
        sources = [Source(name, bucket) for name, bucket in self._buckets.items()]
        return sorted(sources, key=lambda source: not source.bucket.abilities.is_local)

    async def _open(self, name: str) -> Bucket:
        address = parse_address(self._registry.get(name).url)
        is_local = isinstance(address, DirectoryAddress)
        credentials = None if is_local else self._registry.credentials.find(name)
        return SoundBucket(await open_bucket(address, credentials, clock=self._clock))

    async def _note_damage(self, label: str, key: str) -> None:
        await self._mending.mend(label, self._buckets[label], key)
