"""Which chunks the points refer to: the walk that collection and verification share.

Each page is visited once, however many points share it, so the cost follows unique pages. Memory: a
bit per chunk of each container; a page's own bit says that it was visited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.formats.page import (
    FANOUT,
    BranchPage,
    LeafPage,
    Reference,
    decode_branch,
    decode_leaf,
    entry_count,
    extent_count,
)
from appliance.formats.point import Disk, Manifest
from appliance.store.chunk_index import ChunkIndex
from appliance.store.chunks import ChunkReader
from appliance.store.condemned import read_condemned
from appliance.store.containers import ContainerCache
from appliance.store.extent_map import absolute, extent_length
from appliance.store.layout import Layout
from appliance.store.second_copy import SecondCopy


class LiveChunks:
    """Marks what is referred to, by container and ordinal."""

    def __init__(
        self,
        layout: Layout,
        chunks: ChunkReader,
        containers: ContainerCache,
        index: ChunkIndex,
        progress: Progress,
        *,
        second_copy: SecondCopy,
    ) -> None:
        self._second_copy = second_copy
        self._elsewhere: dict[bytes, bool] = {}
        self._chunks = chunks
        self._containers = containers
        self._index = index
        self._progress = progress
        self._bits: dict[bytes, bytearray] = {}
        self._condemned = read_condemned(layout).keys()
        self._unreadable: set[bytes] = set()
        self.lost: set[bytes] = set()
        """Ids that something refers to and no container holds."""
        self.lost_pages: set[bytes] = set()
        self.last_seen: set[bytes] = set()
        """The containers in which the lost ids were when they were referred to."""

    def mark_point(self, manifest: Manifest) -> None:
        """Mark all that a point refers to. What is lost is noted, not raised."""
        for disk in manifest.disks:
            if disk.root is not None:
                self._mark_page(disk, disk.root, disk.level, 0)

    def is_live(self, container: bytes, ordinal: int) -> bool:
        """Whether anything refers to this chunk."""
        bits = self._bits.get(container, b"")
        return ordinal // 8 < len(bits) and bool(bits[ordinal // 8] & (1 << ordinal % 8))

    def has_live(self, container: bytes) -> bool:
        """Whether anything refers to this container, or may: one that cannot be read counts."""
        return container in self._bits or container in self._unreadable

    def is_marked(self, container: bytes) -> bool:
        """Whether something is known to refer to this container, which could be read."""
        return container in self._bits and container not in self._unreadable

    def bits(self, container: bytes) -> bytes:
        """What of this container is referred to: a bit per ordinal."""
        return bytes(self._bits.get(container, b""))

    def live_bytes(self, container: bytes, lengths: Sequence[int]) -> int:
        """The plain bytes of this container that are referred to; `lengths` by ordinal."""
        return sum(
            length for ordinal, length in enumerate(lengths) if self.is_live(container, ordinal)
        )

    def containers(self) -> Iterator[bytes]:
        """Containers that something refers to."""
        yield from self._bits

    def _mark(self, reference: Reference) -> bool:
        """Mark one chunk; gives whether it is new: neither marked already nor lost."""
        for name, hint in self._places(reference):
            try:
                directory = self._containers.get(name).directory
            except NotFoundError:
                continue  # collected: its chunks lie elsewhere
            except HoldfastError:
                # What cannot be read today may be read again, or repaired, tomorrow.
                self._unreadable.add(name)
                continue
            location = directory.locate(reference.chunk_id, hint)
            if location is None:
                continue
            return self._set_bit(name, location.ordinal)
        assert reference.container is not None
        if self._is_elsewhere(reference.container):
            return self._set_bit(reference.container, reference.ordinal)
        self.lost.add(reference.chunk_id)
        self.last_seen.add(reference.container)
        return False

    def _set_bit(self, container: bytes, ordinal: int) -> bool:
        """Whether it was not set before."""
        bits = self._bits.setdefault(container, bytearray())
        bits.extend(bytes(max(0, ordinal // 8 + 1 - len(bits))))
        mask = 1 << ordinal % 8
        is_new = not bits[ordinal // 8] & mask
        bits[ordinal // 8] |= mask
        return is_new

    def _is_elsewhere(self, name: bytes) -> bool:
        if name not in self._elsewhere:
            self._elsewhere[name] = self._second_copy.has(name)
        return self._elsewhere[name]

    def _places(self, reference: Reference) -> Iterator[tuple[bytes, int]]:
        """Where the chunk may be, best first: a copy goes before a container that is to go."""
        assert reference.container is not None
        hint = reference.container, reference.ordinal
        if reference.container not in self._condemned:
            yield hint
        found = self._index.find(reference.chunk_id)
        if found is not None:
            yield found
        yield hint

    def _mark_page(self, disk: Disk, reference: Reference, level: int, number: int) -> None:
        if not self._mark(reference):
            if reference.chunk_id in self.lost:
                self.lost_pages.add(reference.chunk_id)
            return
        self._progress.advance(1)
        try:
            page = read_page(self._chunks, disk, reference, level, number)
        except (IntegrityError, NotFoundError):
            self.lost.add(reference.chunk_id)
            self.lost_pages.add(reference.chunk_id)
            return
        for child, found in references(page, reference.container):
            if level == 0:
                self._mark(found)
            else:
                self._mark_page(disk, found, level - 1, number * FANOUT + child)


def read_page(
    chunks: ChunkReader, disk: Disk, reference: Reference, level: int, number: int
) -> LeafPage | BranchPage:
    """Page `number` of `level` of a disk's map. Raises IntegrityError."""
    data = chunks.read_chunk(reference)
    if level == 0:
        return decode_leaf(data, extent_length(disk.size_bytes, number))
    span = int(FANOUT**level)
    covered = min(span, extent_count(disk.size_bytes) - number * span)
    return decode_branch(data, level, entry_count(covered, level))


def references(
    page: LeafPage | BranchPage, container: bytes | None
) -> Iterator[tuple[int, Reference]]:
    """(place, reference) of all that a page lying in `container` refers to."""
    found = (
        [piece.reference for piece in page.pieces]
        if isinstance(page, LeafPage)
        else [entry.reference for entry in page.entries]
    )
    for place, reference in enumerate(found):
        if reference is not None:
            yield place, absolute(reference, container)
