"""Making full containers of small ones: what lives of them, copied and compressed anew.

Owns what goes into which container: all that lives of one small container goes into the same, so
that one entry of a bill says where it went. Reads chunks from the box, else from the vaults. It
sends nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.vault_ledger import Held
from appliance.formats.page import Reference
from appliance.native import KIND_DATA, KIND_DELTA, Delta, Directory, Writer
from appliance.store.store import Store
from appliance.vault.wardrobe import Wardrobe

_LEVEL = 9
_PACK_LEVEL = 3
# A delta is kept as one while it takes at most so much of its chunk.
_WORTH_SHARE = 0.75


@dataclass(frozen=True)
class MadeContainer:
    """A container in the place of others.

    Attributes:
        kind: as `KIND_DATA` and its like.
        sources: the containers whose living chunks it holds, all of them.
        ordinals: chunk id -> ordinal.
        sketches: (ordinal, features) of those chunks that may become bases of deltas.
    """

    kind: int
    name: bytes
    data: bytes
    sources: tuple[bytes, ...]
    ordinals: dict[bytes, int]
    sketches: tuple[tuple[int, tuple[int, ...]], ...]


class _Chunk(NamedTuple):
    chunk_id: bytes
    data: bytes
    base_id: bytes | None = None
    packed: bytes = b""


@dataclass
class _Open:
    """The container that is being filled."""

    kind: int
    writer: Writer
    sources: list[bytes] = field(default_factory=list)
    ordinals: dict[bytes, int] = field(default_factory=dict)
    sketches: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)


class MergeMaking:
    """Makes full containers of small ones. For one thread; memory: some 100 MiB."""

    def __init__(self, store: Store, wardrobe: Wardrobe, progress: Progress) -> None:
        self._store = store
        self._wardrobe = wardrobe
        self._progress = progress
        self._delta = Delta(store.keys.sketch_key, _PACK_LEVEL)

    def make(
        self, small: Sequence[Held], directories: dict[bytes, Directory], living: Collection[bytes]
    ) -> Iterator[MadeContainer]:
        """Full containers of what lives in `small`, but the last of each kind.

        A small container of which something cannot be read is left out.
        """
        kinds = {held.name: directories[held.name].kind for held in small}
        for kind in sorted(set(kinds.values())):
            opened: _Open | None = None
            for held in small:
                if kinds[held.name] != kind:
                    continue
                chunks = self._read(held, directories[held.name], living)
                if chunks is None:
                    continue
                # Compressed anew it hardly takes more than before.
                if opened is not None and not opened.writer.has_room(held.size_bytes):
                    yield self._finish(opened)
                    opened = None
                opened = opened or self._open(kind)
                if not self._fill(opened, held.name, chunks):
                    yield self._finish(opened)
                    opened = self._open(kind)
                    self._fill(opened, held.name, chunks)
            if opened is not None and opened.sources:
                yield self._finish(opened)

    # ---- reading ----

    def _read(
        self, held: Held, directory: Directory, living: Collection[bytes]
    ) -> list[_Chunk] | None:
        """What lives of a container; None if not all of that can be read."""
        chunks = []
        for ordinal, chunk_id in enumerate(directory.ids()):
            if chunk_id not in living:
                continue
            self._progress.check()
            try:
                data = self._store.chunks.read_chunk(Reference(chunk_id, held.name, ordinal))
            except (IntegrityError, NotFoundError):
                return None
            chunks.append(self._pack(directory, chunk_id, ordinal, data))
        return chunks

    def _pack(self, directory: Directory, chunk_id: bytes, ordinal: int, data: bytes) -> _Chunk:
        """A chunk, against the base that it had if it had one and that can be read."""
        location = directory.locate(chunk_id, ordinal)
        base_id = None if location is None else directory.base(location.frame)
        found = None if base_id is None else self._wardrobe.find_base(base_id)
        if base_id is None or found is None:
            return _Chunk(chunk_id, data)
        try:
            base = self._store.chunks.read_chunk(Reference(base_id, *found))
        except (IntegrityError, NotFoundError):
            return _Chunk(chunk_id, data)
        packed = self._delta.pack(data, base, int(_WORTH_SHARE * len(data)))
        return _Chunk(chunk_id, data) if packed is None else _Chunk(chunk_id, data, base_id, packed)

    # ---- writing ----

    def _open(self, kind: int) -> _Open:
        container_id = secrets.token_bytes(16)
        keys = self._store.keys
        key = (keys.delta_key if kind == KIND_DELTA else keys.container_key)(container_id)
        return _Open(kind, Writer(kind, container_id, key, 0, _LEVEL))

    def _fill(self, opened: _Open, name: bytes, chunks: Sequence[_Chunk]) -> bool:
        """Add all of one container; False, with only a part of it added, if it has no room."""
        # Those without a base first, so that they share frames.
        for chunk in sorted(chunks, key=lambda one: one.base_id is not None):
            if chunk.chunk_id in opened.ordinals:
                continue
            ordinal = opened.writer.chunks
            if not self._put(opened.writer, chunk):
                return False
            opened.ordinals[chunk.chunk_id] = ordinal
            if chunk.base_id is None and opened.kind == KIND_DATA:
                opened.sketches.append((ordinal, self._delta.sketch(chunk.data)))
        opened.sources.append(name)
        return True

    @staticmethod
    def _put(writer: Writer, chunk: _Chunk) -> bool:
        if chunk.base_id is None:
            return writer.put(chunk.chunk_id, chunk.data)
        return writer.put_delta(chunk.chunk_id, len(chunk.data), chunk.base_id, chunk.packed)

    @staticmethod
    def _finish(opened: _Open) -> MadeContainer:
        name, view = opened.writer.finish()
        data = bytes(view)
        view.release()
        opened.writer.close()
        return MadeContainer(
            opened.kind,
            name,
            data,
            tuple(opened.sources),
            opened.ordinals,
            tuple(opened.sketches),
        )
