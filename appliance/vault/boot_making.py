"""Making boot sets: what the last boot of a machine read, as a newer point has it.

Owns which chunks and pages that are, and that what an earlier set holds is not sent again: a new
set is the old one's containers and one with what is new, or made anew when too little of the old
is needed. It never sends anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.durable import make_directory, write_file
from appliance.base.errors import HoldfastError
from appliance.formats.boot_set import BootSet
from appliance.formats.page import EXTENT_BYTES, FANOUT, Reference
from appliance.formats.point import Manifest
from appliance.formats.touched import BLOCK_BYTES, Touched
from appliance.keys.hierarchy import MasterKey
from appliance.native import KIND_DATA, KIND_PAGE, Index, Ingester, Writer
from appliance.store.extent_map import ExtentMap
from appliance.store.store import Store

# Made once and fetched over a line that is slow.
_LEVEL = 9
# Below this share of an old set that is still needed it is made anew.
_NEEDED_SHARE = 0.6
_ID_BYTES = 32


@dataclass(frozen=True)
class Made:
    """A new boot set: what lists it, and the containers that are not in the vault yet."""

    boot_set: BootSet
    containers: tuple[tuple[bytes, bytes], ...]
    """(name, bytes)."""


class BootMaking:
    """Makes the boot sets of one box for one vault."""

    def __init__(self, store: Store, folder: Path) -> None:
        """`folder`: where the box keeps what it derives of the vault."""
        self._store = store
        self._folder = folder / "boots"

    def make(
        self, folder: str, stem: str, manifest: Manifest, touched: Sequence[Touched], old: BootSet
    ) -> Made | None:
        """The boot set of a point; None if the old one serves it as it is.

        `folder` and `stem` name the point's file. Raises HoldfastError where the point cannot be
        read. Memory: the set itself, some 100 MiB.
        """
        wanted = self._wanted(manifest, touched)
        kept = {name: ids for name, _ in old.containers if (ids := self._ids(name)) is not None}
        held = {chunk_id for ids in kept.values() for chunk_id in ids}
        needed = sum(chunk_id in held for chunk_id in wanted)
        containers = list(old.containers)
        if len(kept) < len(containers) or needed < _NEEDED_SHARE * len(held):
            held, containers = set(), []
        new = {chunk_id: what for chunk_id, what in wanted.items() if chunk_id not in held}
        if not new:
            return None
        made = []
        for name, data, packed in self._pack(new):
            self._keep_ids(name, packed)
            containers.append((name, len(data)))
            made.append((name, data))
        return Made(BootSet(folder, stem, tuple(containers)), tuple(made))

    # ---- what is wanted ----

    def _wanted(
        self, manifest: Manifest, touched: Sequence[Touched]
    ) -> dict[bytes, tuple[int, Reference]]:
        """Id -> (kind, reference) of pages and chunks, in the order in which they were read."""
        wanted: dict[bytes, tuple[int, Reference]] = {}
        maps = [self._store.extent_map(disk) for disk in manifest.disks]
        for disk, block in touched:
            if disk < len(maps) and block * BLOCK_BYTES < maps[disk].size_bytes:
                for kind, reference in _references(maps[disk], block):
                    wanted.setdefault(reference.chunk_id, (kind, reference))
        return wanted

    # ---- containers ----

    def _pack(
        self, wanted: dict[bytes, tuple[int, Reference]]
    ) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
        """(name, bytes, ids) of containers of these chunks; pages and data lie apart."""
        for kind in (KIND_PAGE, KIND_DATA):
            packer = _Packer(self._store.keys, kind)
            for found, reference in wanted.values():
                if found == kind:
                    yield from packer.add(self._store.chunks.read_chunk(reference))
            yield from packer.finish()

    def _ids(self, name: bytes) -> set[bytes] | None:
        try:
            data = (self._folder / name.hex()).read_bytes()
        except OSError:
            return None
        return {data[at : at + _ID_BYTES] for at in range(0, len(data), _ID_BYTES)}

    def _keep_ids(self, name: bytes, ids: Sequence[bytes]) -> None:
        make_directory(self._folder)
        write_file(self._folder / name.hex(), b"".join(ids))


class _Packer:
    """Fills containers of one kind, in memory."""

    def __init__(self, keys: MasterKey, kind: int) -> None:
        self._keys = keys
        self._kind = kind
        self._index = Index()
        id_key = keys.page_id_key if kind == KIND_PAGE else keys.chunk_id_key
        self._ingester = Ingester(self._index, id_key, keys.cut_key, keys.extent_tag_key)
        self._writer: Writer | None = None
        self._ids: list[bytes] = []

    def add(self, chunk: bytes) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
        """Add a chunk; gives the container that was full."""
        if self._writer is not None and not self._writer.has_room(len(chunk)):
            yield from self.finish()
        if self._writer is None:
            container_id = secrets.token_bytes(16)
            key = self._keys.container_key(container_id)
            self._writer = Writer(self._kind, container_id, key, self._index.open_slot(), _LEVEL)
        ref = self._ingester.ingest_chunk(self._writer, chunk)
        if ref is None:
            raise HoldfastError("a chunk does not fit into an empty container")
        self._ids.append(ref.chunk_id)

    def finish(self) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
        """Give the container that is open, if there is one."""
        if self._writer is not None:
            name, data = self._writer.finish()
            yield name, bytes(data), self._ids
            data.release()
            self._writer.close()
            self._writer, self._ids = None, []


def _references(extent_map: ExtentMap, block: int) -> Iterator[tuple[int, Reference]]:
    """(kind, reference) of the pages on the way to a block of 64 KiB, and of its chunks."""
    start = block * BLOCK_BYTES
    extent, within = divmod(start, EXTENT_BYTES)
    for level in range(extent_map.level, -1, -1):
        entry = extent_map.node(level, extent // int(FANOUT**level))
        if entry.reference is None:
            return
        yield KIND_PAGE, entry.reference
    end = min(within + BLOCK_BYTES, extent_map.extent_length(extent))
    while within < end:
        first, piece = extent_map.piece_at(extent, within)
        if piece.reference is not None:
            yield KIND_DATA, piece.reference
        within = first + piece.length
