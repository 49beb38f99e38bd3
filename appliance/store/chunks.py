"""Reading chunks by reference: hint first, then the index (docs/format/page.md, "References").

The id is the truth. Where the hinted container is gone, or does not hold the id, or is damaged
there, any other container that the index knows serves. Only when none does is the chunk damaged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats.page import Reference
from appliance.native import Reader, ReadItem
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import Container, ContainerCache


class Wanted(NamedTuple):
    """A chunk that should lie at `out_offset` of the output. Its reference names a container."""

    reference: Reference
    length: int
    out_offset: int


class ChunkReader:
    """Reads chunks; thread-safe. The index is loaded only when a hint fails."""

    def __init__(self, containers: ContainerCache, load_index: Callable[[], ChunkIndex]) -> None:
        self._containers = containers
        self._load_index = load_index
        self._index: ChunkIndex | None = None
        self._index_lock = threading.Lock()
        self._threads = threading.local()

    def read_chunk(self, reference: Reference, length: int | None = None) -> bytes:
        """One chunk. Raises IntegrityError if no container gives it."""
        container, ordinal, length = self._locate(reference, length)
        out = bytearray(length)
        item = ReadItem(
            container.directory, container.descriptor, ordinal, reference.chunk_id, 0, length
        )
        if self._reader().read([item], out):
            self._read_elsewhere(Wanted(reference, length, 0), out)
        return bytes(out)

    def read_into(self, wanted: Sequence[Wanted], out: bytearray) -> list[int]:
        """Fill `out`; gives the numbers of the chunks that no container gives."""
        items: list[ReadItem] = []
        numbers: list[int] = []
        holders: list[Container] = []
        failed: list[int] = []
        for number, (reference, length, offset) in enumerate(wanted):
            assert reference.container is not None
            try:
                container = self._containers.get(reference.container)
            except HoldfastError:
                failed.append(number)
                continue
            holders.append(container)
            numbers.append(number)
            items.append(
                ReadItem(
                    container.directory,
                    container.descriptor,
                    reference.ordinal,
                    reference.chunk_id,
                    offset,
                    length,
                )
            )
        failed += [numbers[i] for i in self._reader().read(items, out)] if items else []
        return [number for number in sorted(failed) if not self._is_elsewhere(wanted[number], out)]

    def _locate(self, reference: Reference, length: int | None) -> tuple[Container, int, int]:
        assert reference.container is not None
        try:
            container = self._containers.get(reference.container)
            found = container.directory.locate(reference.chunk_id, reference.ordinal)
            if found is not None:
                return container, found.ordinal, length or found.length
        except HoldfastError as error:
            return self._locate_by_index(reference, length, str(error))
        return self._locate_by_index(reference, length, "it is not where it should be")

    def _locate_by_index(
        self, reference: Reference, length: int | None, why: str
    ) -> tuple[Container, int, int]:
        what = f"chunk {reference.chunk_id.hex()[:16]}"
        for fresh in (False, True):
            found = self._find(reference.chunk_id, fresh=fresh)
            if found is None or found[0] == reference.container:
                continue
            try:
                container = self._containers.get(found[0])
            except HoldfastError:
                continue
            location = container.directory.locate(reference.chunk_id, found[1])
            if location is not None:
                return container, location.ordinal, length or location.length
        raise IntegrityError(f"{what} is lost: {why}")

    def _find(self, chunk_id: bytes, *, fresh: bool) -> tuple[bytes, int] | None:
        with self._index_lock:
            if self._index is None or fresh:
                self._index = self._load_index()
            return self._index.find(chunk_id)

    def _is_elsewhere(self, wanted: Wanted, out: bytearray) -> bool:
        try:
            self._read_elsewhere(wanted, out)
        except IntegrityError:
            return False
        return True

    def _read_elsewhere(self, wanted: Wanted, out: bytearray) -> None:
        reference = wanted.reference
        container, ordinal, length = self._locate_by_index(
            reference, wanted.length, "its container is damaged there"
        )
        item = ReadItem(
            container.directory,
            container.descriptor,
            ordinal,
            reference.chunk_id,
            wanted.out_offset,
            length,
        )
        if self._reader().read([item], out):
            raise IntegrityError(f"chunk {reference.chunk_id.hex()[:16]} is damaged")

    def _reader(self) -> Reader:
        reader: Reader | None = getattr(self._threads, "reader", None)
        if reader is None:
            reader = self._threads.reader = Reader()
        return reader
