"""Bringing everything that a point needs from the vaults to the box, whole and verified.

Owns the order (that of the disks) and what is skipped. Containers become those of the store, and
chunks that the vaults have as deltas are stored in new ones, so that afterwards the point needs no
line. What was brought stays when it is stopped; the next run goes on. Readers go first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from appliance.base.errors import IntegrityError
from appliance.base.progress import Progress
from appliance.formats.page import FANOUT, Reference
from appliance.formats.point import Disk, Manifest
from appliance.store.anew import Missed, store_anew
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import store_container
from appliance.store.marking import read_page, references
from appliance.store.store import Store
from appliance.vault.second_copy import VaultCopy

# Containers of 32 MiB on their way at once.
_PARALLEL = 4


@dataclass
class Pulled:
    """What was brought, and what no vault could give. `chunks`: those of deltas."""

    containers: int = 0
    chunks: int = 0
    bytes: int = 0
    lost: int = 0


class Hydration:
    """Hydrates points of one store. The caller holds a reader's lease on them."""

    def __init__(self, store: Store, vaults: VaultCopy, progress: Progress) -> None:
        """`vaults` is the second copy of `store`."""
        self._store = store
        self._vaults = vaults
        self._progress = progress
        # Id -> what only deltas give: about 300 bytes for each.
        self._deltas: dict[bytes, Missed] = {}
        self._index: ChunkIndex | None = None

    def pull(self, manifest: Manifest) -> Pulled:
        """Bring what is missing of a point; durable on return.

        Raises HoldfastError when the vault cannot be reached, NoSpaceError, Cancelled.
        """
        self._progress.phase("pulling", about=str(manifest.name))
        self._deltas.clear()
        self._index = None
        pulled = Pulled()
        waiting: deque[tuple[bytes, Future[bytes | None]]] = deque()
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="pull") as pool:
            try:
                for name in self._missing(manifest):
                    waiting.append((name, pool.submit(self._vaults.fetch, name, "idle")))
                    if len(waiting) >= _PARALLEL:
                        self._keep(pulled, *waiting.popleft())
                while waiting:
                    self._keep(pulled, *waiting.popleft())
            finally:
                for _, future in waiting:
                    future.cancel()
        if self._deltas:
            came_bytes, lost = store_anew(self._store, self._deltas.values(), self._progress)
            pulled.chunks = len(self._deltas) - len(lost)
            pulled.bytes += came_bytes
            pulled.lost += len(lost)
        return pulled

    def _keep(self, pulled: Pulled, name: bytes, future: Future[bytes | None]) -> None:
        data = future.result()
        if data is None:
            pulled.lost += 1
            return
        store_container(self._store.layout, name, memoryview(data))
        pulled.containers += 1
        pulled.bytes += len(data)
        self._progress.advance(len(data))

    def _missing(self, manifest: Manifest) -> Iterator[bytes]:
        """The containers of a point that are not here, in the order of its disks, each once."""
        seen: set[bytes] = set()
        for disk in manifest.disks:
            if disk.root is None:
                continue
            for name in self._names(disk, disk.root, disk.level, 0):
                if name in seen:
                    continue
                seen.add(name)
                if not self._store.containers.has(name):
                    yield name

    def _names(self, disk: Disk, reference: Reference, level: int, number: int) -> Iterator[bytes]:
        yield from self._container_of(reference, is_page=True)
        try:
            page = read_page(self._store.chunks, disk, reference, level, number)
        except IntegrityError:
            return  # verification tells what is lost below
        for place, child in references(page, reference.container):
            if level == 0:
                yield from self._container_of(child, is_page=False)
            else:
                yield from self._names(disk, child, level - 1, number * FANOUT + place)

    def _container_of(self, reference: Reference, *, is_page: bool) -> Iterator[bytes]:
        """The container to bring for a chunk, if it is to be had in one."""
        assert reference.container is not None
        place = self._vaults.locate(reference.chunk_id, reference.container)
        name = reference.container if place is None else place[0]
        if not self._vaults.is_delta(name):
            yield name
        elif not self._is_here(reference):
            self._deltas[reference.chunk_id] = Missed(reference, is_page)

    def _is_here(self, reference: Reference) -> bool:
        assert reference.container is not None
        if self._store.containers.has(reference.container):
            return True
        if self._index is None:
            self._index = self._store.load_index(self._progress)
        return self._index.find(reference.chunk_id) is not None
