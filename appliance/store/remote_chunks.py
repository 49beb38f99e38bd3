"""Chunks of containers that are not on the box, read through the second copy.

Owns which ranges of a container are asked for: header, directory and trailer once, then the frames
that are needed, those of one call all at once. What does not authenticate is asked for once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.formats.page import Reference
from appliance.native import Directory, Reader, ReadItem
from appliance.store.containers import ContainerKeys, directory_range, read_directory
from appliance.store.second_copy import RemoteFile, SecondCopy

# Directories kept in memory, about 100 KiB each.
_KEPT = 128


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


class Found(NamedTuple):
    """A chunk in a container elsewhere."""

    container: RemoteContainer
    ordinal: int
    frame: int


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
            container = found.container
            try:
                return reader.read_chunk(
                    container.directory, container.descriptor, reference.chunk_id, found.ordinal
                )
            except IntegrityError:
                if not self._forget(container):
                    return None
        return None

    def read_into(
        self, references: Sequence[tuple[Reference, int, int]], out: bytearray, reader: Reader
    ) -> list[int]:
        """Fill `out` from (reference, length, offset); gives the numbers of those that failed.

        Raises HoldfastError when the second copy cannot be reached.
        """
        found = self._locate([reference for reference, _, _ in references])
        self._fill([one for one in found if one is not None])
        items, numbers = [], []
        for number, ((reference, length, offset), one) in enumerate(
            zip(references, found, strict=True)
        ):
            if one is not None:
                item = ReadItem(one.container, one.ordinal, reference.chunk_id, offset, length)
                items.append(item)
                numbers.append(number)
        bad = {numbers[i] for i in reader.read(items, out)} if items else set()
        return [number for number, one in enumerate(found) if one is None or number in bad]

    def _resolve(self, reference: Reference) -> Reference:
        place = self._second_copy.locate(reference.chunk_id)
        return reference if place is None else Reference(reference.chunk_id, *place)

    def _locate(self, references: Sequence[Reference]) -> list[Found | None]:
        references = [self._resolve(reference) for reference in references]
        names = list(dict.fromkeys(one.container for one in references if one.container))
        containers = self._containers(names)
        found: list[Found | None] = []
        for reference in references:
            container = containers.get(reference.container or b"")
            location = None
            if container is not None:
                location = container.directory.locate(reference.chunk_id, reference.ordinal)
            if container is None or location is None:
                found.append(None)
            else:
                found.append(Found(container, location.ordinal, location.frame))
        return found

    def _fill(self, found: Iterable[Found]) -> None:
        frames: dict[bytes, tuple[RemoteContainer, set[int]]] = {}
        for one in found:
            frames.setdefault(one.container.name, (one.container, set()))[1].add(one.frame)
        self._second_copy.fill(
            [
                (container.file, [container.directory.frame_range(one) for one in sorted(numbers)])
                for container, numbers in frames.values()
            ]
        )

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
