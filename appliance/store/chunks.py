"""Reading chunks by reference: hint first, then the index (docs/format/page.md, "References").

The id is the truth. Where the hinted container is gone, does not hold the id, or is damaged there,
any other container that the index knows serves, and then the second copy. Only when none does is
the chunk lost.
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
from appliance.store.remote_chunks import RemoteChunks
from appliance.store.second_copy import SecondCopy


class LostChunkError(IntegrityError):
    """No container gives a chunk. `container` is the one that should."""

    def __init__(self, text: str, container: bytes) -> None:
        super().__init__(text)
        self.container = container


class Wanted(NamedTuple):
    """A chunk that should lie at `out_offset` of the output. Its reference names a container."""

    reference: Reference
    length: int
    out_offset: int


class ChunkReader:
    """Reads chunks; thread-safe. The index is loaded only when a hint fails."""

    def __init__(
        self,
        containers: ContainerCache,
        load_index: Callable[[], ChunkIndex],
        second_copy: SecondCopy,
        note_damage: Callable[[bytes, str], None],
    ) -> None:
        """`note_damage` is told of containers here that do not give what the second copy did."""
        self._containers = containers
        self._load_index = load_index
        self._second_copy = second_copy
        self._remote = RemoteChunks(second_copy, containers.keys)
        self._note_damage = note_damage
        self.is_reading_elsewhere = False
        """Whether something was not here and was asked of the second copy."""
        self._index: ChunkIndex | None = None
        self._index_lock = threading.Lock()
        # Containers that were collected since points named them; their names, so bounded.
        self._gone: set[bytes] = set()
        # Not one per thread: what FUSE calls from gets a new identity with each call.
        self._idle_readers: list[Reader] = []

    def read_chunk(self, reference: Reference) -> bytes:
        """One chunk.

        Raises IntegrityError if no container gives it, HoldfastError if it is not here and the
        second copy that may have it cannot be reached.
        """
        failures: dict[bytes, str] = {}
        for name, ordinal in self._places(reference):
            try:
                container = self._containers.get(name)
            except NotFoundError:
                continue
            except HoldfastError as error:
                failures[name] = str(error)
                continue
            try:
                return self._read(container, reference.chunk_id, ordinal)
            except IntegrityError as error:
                failures[name] = f"container {name.hex()}: {error}"
        chunk = self._read_instead(reference, failures)
        if chunk is None:
            assert reference.container is not None
            name, failure = next(
                reversed(failures.items()), (reference.container, "no container holds it")
            )
            raise LostChunkError(f"chunk {reference.chunk_id.hex()[:16]} is lost: {failure}", name)
        for name, failure in failures.items():
            self._note_damage(name, failure)
        return chunk

    def _read_instead(self, reference: Reference, failures: dict[bytes, str]) -> bytes | None:
        """As `read_elsewhere`; what is damaged here stays so while that cannot be reached."""
        try:
            return self.read_elsewhere(reference)
        except HoldfastError:
            if failures:
                return None
            raise

    def read_elsewhere(self, reference: Reference) -> bytes | None:
        """A chunk as the second copy has it; HoldfastError where that cannot be reached."""
        self.is_reading_elsewhere = True
        with self._borrow_reader() as reader:
            return self._remote.read(reference, reader)

    @property
    def ahead_bytes(self) -> int:
        """How much of a disk `expect` may be asked for ahead of a reader; 0: nothing."""
        return self._second_copy.ahead_bytes

    def fetch(self, references: Sequence[Reference]) -> None:
        """Let what is not here of these come, all at once.

        Raises HoldfastError where the second copy cannot be reached.
        """
        self._remote.fetch(self._absent(references))

    def expect(self, references: Sequence[Reference]) -> None:
        """A hint: these are going to be read, in this order. Raises as `fetch`."""
        self._remote.expect(self._absent(references))

    def _absent(self, references: Sequence[Reference]) -> list[Reference]:
        names = {one.container for one in references if one.container is not None}
        here = {name for name in names if self._containers.has(name)}
        return [one for one in references if one.container not in here]

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
        elsewhere: list[int] = []
        came_back: dict[bytes, bool] = {}  # looked at once in a call, not for each chunk
        for number, (reference, length, offset) in enumerate(wanted):
            place = self._quick_place(reference, came_back)
            if place is None:
                (elsewhere if reference.container in self._gone else failed).append(number)
                continue
            numbers.append(number)
            items.append(ReadItem(place[0], place[1], reference.chunk_id, offset, length))
        if items:
            with self._borrow_reader() as reader:
                failed += [numbers[i] for i in reader.read(items, out)]
        if elsewhere:
            self.is_reading_elsewhere = True
            absent = [wanted[number] for number in elsewhere]
            with self._borrow_reader() as reader:
                failed += [elsewhere[i] for i in self._remote.read_into(absent, out, reader)]
        return [number for number in sorted(failed) if not self._read_again(wanted[number], out)]

    def _quick_place(
        self, reference: Reference, came_back: dict[bytes, bool]
    ) -> tuple[Container, int] | None:
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
        if found is None:
            if place[0] not in came_back:
                came_back[place[0]] = self._containers.has(place[0])
            if came_back[place[0]]:  # or came at last
                self._gone.discard(place[0])
                found = place
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

    def _places(self, reference: Reference) -> Iterator[tuple[bytes, int]]:
        """Where the chunk may be, best first: the hint, the index, the index read anew."""
        tried = set()
        for hint in (self._by_hint, self._by_index, self._by_fresh_index):
            found = hint(reference)
            if found is not None and found[0] not in tried:
                tried.add(found[0])
                yield found

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
