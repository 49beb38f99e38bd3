"""Making containers of deltas: what is to be sent, against what the vault already holds.

Owns which chunk is the base of which, and whether that pays (docs/format/delta.md). A base lies in
the same vault, is no delta itself, and is read from the box. What containers hold is remembered as
sketches in the ledger; a wrong guess costs bytes, never correctness. It never sends anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import Held, VaultLedger
from appliance.native import KIND_DELTA, Delta, Reader, Writer
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import Container
from appliance.store.rewrite import chunks_of
from appliance.store.store import Store
from appliance.vault.wardrobe import Wardrobe

# Of chunks against their base, where more hardly helps, and of those without one.
_PACK_LEVEL = 3
_PLAIN_LEVEL = 9
# A container is sent as it is unless so much of it is saved: bases, and what packing the rest anew
# saves of one that was written in a hurry (14 % measured, less counted), if that packs at all.
_SAVED_SHARE = 0.15
_REPACKED_SHARE = 0.12
_PACKS_SHARE = 0.9
# A chunk is worth a base, which somebody has to fetch as well, if it takes at most so much of what
# it takes without.
_WORTH_SHARE = 0.75
# Bases that are tried of a chunk, beside the one behind that of the chunk before it.
_TRIED = 2
# Containers whose sketches are made at a time, in some minutes of a processor.
_LEARNED_MAX = 512


@dataclass(frozen=True)
class MadeDeltas:
    """A container of deltas, and the features of those of its chunks that may become bases."""

    name: bytes
    data: bytes
    sketches: tuple[tuple[int, tuple[int, ...]], ...]


class _Packed(NamedTuple):
    """A chunk against the base at `place` (number of an object, ordinal)."""

    place: tuple[int, int]
    base_id: bytes
    packed: bytes


@dataclass
class _Plan:
    """What becomes of the chunks of one container, by ordinal."""

    features: dict[int, tuple[int, ...]] = field(default_factory=dict)
    packed: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """(base, bytes)."""
    lengths: dict[int, int] = field(default_factory=dict)
    ids: dict[int, bytes] = field(default_factory=dict)


class DeltaMaking:
    """Makes deltas for one vault. For one thread at a time."""

    def __init__(
        self, store: Store, ledger: VaultLedger, wardrobe: Wardrobe, progress: Progress
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._wardrobe = wardrobe
        self._progress = progress
        self._delta = Delta(store.keys.sketch_key, _PACK_LEVEL)
        self._index: ChunkIndex | None = None
        self._open: _Open | None = None

    def learn(self) -> None:
        """Make sketches of what the vault holds and the box still has, as far as there are none."""
        for held in self._ledger.unsketched(_LEARNED_MAX):
            self._progress.check()
            try:
                container = Container(self._store.layout, self._store.keys, held.name)
            except HoldfastError:
                self._ledger.put_sketches(held.number, ())
                continue
            sketches = [
                (ordinal, self._delta.sketch(chunk))
                for ordinal, _, chunk in chunks_of(container, Reader(), lambda _: True)
                if chunk is not None
            ]
            container.close()
            self._ledger.put_sketches(held.number, sketches)

    def make(self, missing: Sequence[Held]) -> Iterator[MadeDeltas]:
        """Containers of deltas in the place of those of `missing` for which that pays.

        Memory: some 100 MiB beside what was given.
        """
        self._open = None
        for held in missing:
            self._progress.check()
            try:
                container = Container(self._store.layout, self._store.keys, held.name)
            except HoldfastError:
                continue  # whoever sends it says what is wrong with it
            plan = self._plan(container)
            if plan is not None and plan.ids:
                yield from self._fill(held, container, plan)
            container.close()
        if self._is_begun():
            yield self._finish()

    def _is_begun(self) -> bool:
        return self._open is not None

    # ---- what is worth it ----

    def _plan(self, container: Container) -> _Plan | None:
        """None if the container may as well go as it is."""
        plan, saved, alone_bytes = _Plan(), 0.0, 0
        behind: tuple[int, int] | None = None
        stored = container.size_bytes / max(1, sum(container.directory.lengths()))
        for ordinal, chunk_id, chunk in chunks_of(container, Reader(), lambda _: True):
            if chunk is None:
                return None  # damaged here
            if self._is_there(chunk_id):
                saved += len(chunk) * stored
                continue
            plan.ids[ordinal], plan.lengths[ordinal] = chunk_id, len(chunk)
            plan.features[ordinal] = self._delta.sketch(chunk)
            places = self._ledger.alike(plan.features[ordinal])[:_TRIED]
            if behind is not None and behind not in places:
                places.append(behind)
            found = self._pack(chunk, places)
            if found is None:
                alone_bytes += len(chunk)
            else:
                plan.packed[ordinal] = (found.base_id, found.packed)
                saved += max(0.0, len(chunk) * stored - len(found.packed))
                behind = found.place
            # What follows on something probably follows on what that resembles.
            behind = None if behind is None else (behind[0], behind[1] + 1)
        if 0 < container.directory.level < _PLAIN_LEVEL and stored < _PACKS_SHARE:
            saved += _REPACKED_SHARE * alone_bytes * stored
        return plan if saved >= _SAVED_SHARE * container.size_bytes else None

    def _is_there(self, chunk_id: bytes) -> bool:
        found = self._wardrobe.find(chunk_id)
        held = None if found is None else self._ledger.find(found[0])
        return held is not None and held.is_present

    def _pack(self, chunk: bytes, places: Sequence[tuple[int, int]]) -> _Packed | None:
        """The chunk packed against the best base of those in `places`, if one is worth it."""
        best, most_bytes = None, 0
        for place in places:
            base_id = self._base_at(*place)
            base = None if base_id is None else self._read(base_id)
            if base is None or base_id is None:
                continue
            if not most_bytes:
                alone = self._delta.pack(chunk, None, len(chunk))
                most_bytes = int(_WORTH_SHARE * (len(chunk) if alone is None else len(alone)))
            packed = self._delta.pack(chunk, base, most_bytes) if most_bytes > 0 else None
            if packed is not None:
                best, most_bytes = _Packed(place, base_id, packed), len(packed) - 1
        return best

    def _base_at(self, number: int, ordinal: int) -> bytes | None:
        """The id of the chunk there, if the vault has it and it is no delta."""
        for held in self._ledger.objects([number]):
            base_id = self._wardrobe.id_at(held.name, ordinal) if held.is_present else None
            if base_id is not None and self._wardrobe.find_base(base_id) is not None:
                return base_id
        return None

    def _read(self, chunk_id: bytes) -> bytes | None:
        """A chunk of the box; None where it has left it."""
        if self._index is None:
            self._index = self._store.load_index(self._progress)
        found = self._index.find(chunk_id)
        if found is None:
            return None
        try:
            return self._store.chunks.read_in(found[0], chunk_id, found[1])
        except HoldfastError:
            return None

    # ---- containers ----

    def _fill(self, held: Held, container: Container, plan: _Plan) -> Iterator[MadeDeltas]:
        """Add what is planned; those without a base first, so that they share frames."""
        is_plain = (plan.ids.keys() - plan.packed.keys()).__contains__
        for ordinal, chunk_id, chunk in chunks_of(container, Reader(), is_plain):
            if chunk is None:
                raise IntegrityError(f"container {held.name.hex()} became unreadable")
            while not self._opened().put(chunk_id, chunk, plan.features[ordinal]):
                yield self._finish()
        for ordinal in sorted(plan.packed):
            base_id, packed = plan.packed.pop(ordinal)  # up to 32 MiB of them: gone as they go in
            chunk_id, length = plan.ids[ordinal], plan.lengths[ordinal]
            while not self._opened().writer.put_delta(chunk_id, length, base_id, packed):
                yield self._finish()

    def _opened(self) -> _Open:
        if self._open is None:
            container_id = secrets.token_bytes(16)
            key = self._store.keys.delta_key(container_id)
            self._open = _Open(Writer(KIND_DELTA, container_id, key, 0, _PLAIN_LEVEL))
        return self._open

    def _finish(self) -> MadeDeltas:
        opened = self._opened()
        self._open = None
        name, data = opened.writer.finish()
        made = MadeDeltas(name, bytes(data), tuple(opened.sketches))
        data.release()
        opened.writer.close()
        return made


@dataclass
class _Open:
    """The container that is being filled."""

    writer: Writer
    sketches: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def put(self, chunk_id: bytes, chunk: bytes, features: tuple[int, ...]) -> bool:
        ordinal = self.writer.chunks
        is_in = self.writer.put(chunk_id, chunk)
        if is_in:
            self.sketches.append((ordinal, features))
        return is_in
