"""Reading chunks by reference: hint first, then the index (docs/format/page.md, "References").

The id is the truth. Where the hinted container is gone, does not hold the id, or is damaged there,
any other container that the index knows serves. Only when none does is the chunk lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
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
        # Containers that were collected since points named them; their names, so bounded.
        self._gone: set[bytes] = set()
        # Not one per thread: what FUSE calls from gets a new identity with each call.
        self._idle_readers: list[Reader] = []

    def read_chunk(self, reference: Reference) -> bytes:
        """One chunk. Raises IntegrityError if no container gives it."""
        failure = "no container holds it"
        for container, ordinal in self._places(reference):
            try:
                return self._read(container, reference.chunk_id, ordinal)
            except IntegrityError as error:
                failure = f"container {container.name.hex()}: {error}"
        raise IntegrityError(f"chunk {reference.chunk_id.hex()[:16]} is lost: {failure}")

    def read_in(self, name: bytes, chunk_id: bytes, ordinal: int) -> bytes:
        """The chunk as container `name` holds it.

        Raises NotFoundError without that container, IntegrityError if the chunk is not sound there.
        """
        return self._read(self._containers.get(name), chunk_id, ordinal)

    def _read(self, container: Container, chunk_id: bytes, ordinal: int) -> bytes:
        with self._borrow_reader() as reader:
            return reader.read_chunk(container.directory, container.descriptor, chunk_id, ordinal)

    def read_into(self, wanted: Sequence[Wanted], out: bytearray) -> list[int]:
        """Fill `out`; gives the numbers of the chunks that no container gives."""
        items: list[ReadItem] = []
        numbers: list[int] = []
        failed: list[int] = []
        for number, (reference, length, offset) in enumerate(wanted):
            place = self._quick_place(reference)
            if place is None:
                failed.append(number)
                continue
            numbers.append(number)
            items.append(ReadItem(place[0], place[1], reference.chunk_id, offset, length))
        if items:
            with self._borrow_reader() as reader:
                failed += [numbers[i] for i in reader.read(items, out)]
        return [number for number in sorted(failed) if not self._read_again(wanted[number], out)]

    def _quick_place(self, reference: Reference) -> tuple[Container, int] | None:
        """Where the chunk should be: by its hint, or by the index if that container is gone."""
        place = self._by_hint(reference)
        try:
            if place[0] not in self._gone:
                return self._containers.get(place[0]), place[1]
        except NotFoundError:
            self._gone.add(place[0])
        except HoldfastError:
            return None
        found = self._by_index(reference)
        try:
            return None if found is None else (self._containers.get(found[0]), found[1])
        except HoldfastError:
            return None

    def _read_again(self, wanted: Wanted, out: bytearray) -> bool:
        try:
            chunk = self.read_chunk(wanted.reference)
        except IntegrityError:
            return False
        if len(chunk) != wanted.length:
            return False
        out[wanted.out_offset : wanted.out_offset + wanted.length] = chunk
        return True

    def _places(self, reference: Reference) -> Iterator[tuple[Container, int]]:
        """Where the chunk may be, best first: the hint, the index, the index read anew."""
        tried = set()
        for hint in (self._by_hint, self._by_index, self._by_fresh_index):
            found = hint(reference)
            if found is None or found[0] in tried:
                continue
            name, ordinal = found
            tried.add(name)
            try:
                container = self._containers.get(name)
            except HoldfastError:
                continue
            yield container, ordinal

    @staticmethod
    def _by_hint(reference: Reference) -> tuple[bytes, int]:
        assert reference.container is not None
        return reference.container, reference.ordinal

    def _by_index(self, reference: Reference) -> tuple[bytes, int] | None:
        with self._index_lock:
            if self._index is None:
                self._index = self._load_index()
            return self._index.find(reference.chunk_id)

    def _by_fresh_index(self, reference: Reference) -> tuple[bytes, int] | None:
        with self._index_lock:
            if self._index is None or not self._index.is_current():
                self._index = self._load_index()
            return self._index.find(reference.chunk_id)

    @contextmanager
    def _borrow_reader(self) -> Iterator[Reader]:
        """A reader nobody else has; the one given back last remembers the nearest frames."""
        try:
            reader = self._idle_readers.pop()
        except IndexError:
            reader = Reader()
        try:
            yield reader
        finally:
            self._idle_readers.append(reader)
