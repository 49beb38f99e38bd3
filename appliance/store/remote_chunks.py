"""Chunks of containers that are not on the box, read through the second copy.

Owns which ranges of a container are asked for: header, directory and trailer once, then the frames
that are needed, those of one call all at once, and those of the bases of deltas with them. What
does not authenticate is asked for once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.formats.page import Reference
from appliance.native import KIND_DELTA, Directory, Reader, ReadItem
from appliance.store.containers import ContainerKeys, directory_range, read_directory
from appliance.store.second_copy import Range, RemoteFile, SecondCopy

# Directories kept in memory, about 200 KiB each.
_KEPT = 128
# A base is no delta; what was written otherwise is read all the same, up to here.
_DEPTH_MAX = 4


class RemoteContainer:
    """A container elsewhere whose directory is here and authenticated."""

    def __init__(self, file: RemoteFile, keys: ContainerKeys) -> None:
        """Raises IntegrityError."""
        self.file = file  # it keeps the descriptor open
        self.name = file.name
        self.descriptor = file.descriptor
        self.directory: Directory = read_directory(
            file.descriptor, file.size_bytes, keys, file.name
        )
        # A restore looks up every chunk of a disk twice: tables, since each call costs as much as
        # a hundred bytes of it.
        self._ids = self.directory.ids()
        self._lengths = self.directory.lengths()
        self._frames = self.directory.chunk_frames()
        self._has_bases = self.directory.kind == KIND_DELTA

    def find(self, chunk_id: bytes, ordinal: int) -> Found | None:
        """The chunk, `ordinal` being a hint; None if it is not in this container."""
        if ordinal >= len(self._ids) or self._ids[ordinal] != chunk_id:
            location = self.directory.locate(chunk_id, ordinal)
            if location is None:
                return None
            ordinal = location.ordinal
        frame = self._frames[ordinal]
        base_id = self.directory.base(frame) if self._has_bases else None
        return Found(self, ordinal, frame, self._lengths[ordinal], base_id)


class Found(NamedTuple):
    """A chunk in a container elsewhere."""

    container: RemoteContainer
    ordinal: int
    frame: int
    length: int
    base_id: bytes | None = None
    base: Found | None = None
    """Where the chunk lies that this one decodes with."""

    @property
    def chain(self) -> Iterator[Found]:
        """It and its bases."""
        yield self
        if self.base is not None:
            yield from self.base.chain


class RemoteChunks:
    """Reads chunks by their hints. Thread-safe."""

    def __init__(self, second_copy: SecondCopy, keys: ContainerKeys) -> None:
        self._second_copy = second_copy
        self._keys = keys
        self._open: OrderedDict[bytes, RemoteContainer] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, reference: Reference, reader: Reader) -> bytes | None:
        """One chunk, or None where the second copy lacks it or is damaged there.

        Raises HoldfastError when it cannot be reached.
        """
        for _ in range(2):
            found = self._locate([reference])[0]
            if found is None:
                return None
            self._fill([found])
            try:
                return _decode(found, reference.chunk_id, reader)
            except IntegrityError:
                again = [self._forget(one.container) for one in found.chain]
                if not any(again):
                    return None
        return None

    def read_into(
        self, references: Sequence[tuple[Reference, int, int]], out: bytearray, reader: Reader
    ) -> list[int]:
        """Fill `out` from (reference, length, offset); gives the numbers of those that failed.

        Raises HoldfastError when the second copy cannot be reached.
        """
        found = self._locate([reference for reference, _, _ in references])
        self._fill(found)
        items, numbers, bad = [], [], set[int]()
        for number, ((reference, length, offset), one) in enumerate(
            zip(references, found, strict=True)
        ):
            if one is None:
                continue
            if one.base is not None:
                chunk = _try_to_decode(one, reference.chunk_id, reader)
                if len(chunk) == length and offset + length <= len(out):
                    out[offset : offset + length] = chunk
                else:
                    bad.add(number)
                continue
            item = ReadItem(one.container, one.ordinal, reference.chunk_id, offset, length)
            items.append(item)
            numbers.append(number)
        bad.update(numbers[i] for i in (reader.read(items, out) if items else ()))
        return [number for number, one in enumerate(found) if one is None or number in bad]

    def fetch(self, references: Sequence[Reference]) -> None:
        """Let all that these need be here. Raises HoldfastError when it cannot be reached."""
        self._fill(self._locate(references))

    def expect(self, references: Sequence[Reference]) -> None:
        """Begin to fetch all that these need. Raises as `fetch`."""
        self._second_copy.fill_ahead(_ranges(self._locate(references)))

    def _resolve(self, reference: Reference) -> Reference:
        place = self._second_copy.locate(reference.chunk_id, reference.container)
        return reference if place is None else Reference(reference.chunk_id, *place)

    def _locate(self, references: Sequence[Reference]) -> list[Found | None]:
        return self._add_bases(self._locate_alone(references), _DEPTH_MAX)

    def _add_bases(self, found: list[Found | None], depth: int) -> list[Found | None]:
        """Find the bases of deltas; a delta without its base is not found."""
        wanted = {one.base_id: None for one in found if one is not None and one.base_id is not None}
        if not wanted:
            return found
        bases: dict[bytes, Found | None] = {}
        if depth:
            places = [(one, self._second_copy.locate(one)) for one in wanted]
            known = [Reference(one, *place) for one, place in places if place is not None]
            located = self._add_bases(self._locate_alone(known), depth - 1)
            bases = {one.chunk_id: base for one, base in zip(known, located, strict=True)}
        return [
            one
            if one is None or one.base_id is None
            else (one._replace(base=base) if (base := bases.get(one.base_id)) is not None else None)
            for one in found
        ]

    def _locate_alone(self, references: Sequence[Reference]) -> list[Found | None]:
        found = self._find([self._resolve(reference) for reference in references])
        # Another vault may still have what one has moved: there the hints serve.
        again = [
            number
            for number, (reference, one) in enumerate(zip(references, found, strict=True))
            if one is None and self._resolve(reference) != reference
        ]
        if again:
            hinted = self._find([references[number] for number in again])
            for number, one in zip(again, hinted, strict=True):
                found[number] = one
        return found

    def _find(self, references: Sequence[Reference]) -> list[Found | None]:
        names = list(dict.fromkeys(one.container for one in references if one.container))
        containers = self._containers(names)
        found: list[Found | None] = []
        for chunk_id, name, ordinal in references:
            container = containers.get(name or b"")
            found.append(None if container is None else container.find(chunk_id, ordinal))
        return found

    def _fill(self, found: Iterable[Found | None]) -> None:
        self._second_copy.fill(_ranges(found))

    def _containers(self, names: Sequence[bytes]) -> dict[bytes, RemoteContainer]:
        with self._lock:
            known = {name: self._open[name] for name in names if name in self._open}
            for name in known:
                self._open.move_to_end(name)
        unknown = [name for name in names if name not in known]
        for _ in range(2):
            opened, unknown = self._open_all(unknown)
            known |= opened
            if not unknown:
                break
        with self._lock:
            self._open |= known
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
        return known

    def _open_all(self, names: Sequence[bytes]) -> tuple[dict[bytes, RemoteContainer], list[bytes]]:
        """Those that opened, and those that are worth another try."""
        files = [file for file in self._second_copy.open(names) if file is not None]
        opened, again, tails = {}, [], []
        for file in files:
            try:
                tails.append((file, [directory_range(file.descriptor, file.size_bytes, file.name)]))
            except IntegrityError:
                again += [file.name] if self._second_copy.distrust(file) else []
        self._second_copy.fill(tails)
        for file, _ in tails:
            try:
                opened[file.name] = RemoteContainer(file, self._keys)
            except IntegrityError:
                again += [file.name] if self._second_copy.distrust(file) else []
        return opened, again

    def _forget(self, container: RemoteContainer) -> bool:
        with self._lock:
            self._open.pop(container.name, None)
        return self._second_copy.distrust(container.file)


def _ranges(found: Iterable[Found | None]) -> list[tuple[RemoteFile, list[Range]]]:
    """Where the frames of these chunks and of their bases lie."""
    frames: dict[RemoteContainer, set[int]] = defaultdict(set)
    for whole in found:
        if whole is not None:
            for one in whole.chain if whole.base is not None else (whole,):
                frames[one.container].add(one.frame)
    return [
        (container.file, [container.directory.frame_range(one) for one in sorted(numbers)])
        for container, numbers in frames.items()
    ]


def _decode(found: Found, chunk_id: bytes, reader: Reader) -> bytes:
    """A chunk whose ranges are here, with those of its bases. Raises IntegrityError."""
    directory, descriptor = found.container.directory, found.container.descriptor
    if found.base is None or found.base_id is None:
        return reader.read_chunk(directory, descriptor, chunk_id, found.ordinal)
    base = _decode(found.base, found.base_id, reader)
    return reader.read_delta(directory, descriptor, found.frame, found.length, base)


def _try_to_decode(found: Found, chunk_id: bytes, reader: Reader) -> bytes:
    """As `_decode`; nothing where that fails."""
    try:
        return _decode(found, chunk_id, reader)
    except IntegrityError:
        return b""
