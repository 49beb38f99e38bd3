"""Which chunks a vault holds, whatever containers they lie in.

Owns the *skeletons*: for each container in the vault a sparse file of its size that holds header,
directory and trailer, and nothing else. Since a skeleton has an authentic directory, the index of
the store serves here too, and heals itself from the skeletons. All of it is derived.
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.base import durable
from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.keys.hierarchy import MasterKey
from appliance.native import HEADER_BYTES, TRAILER_BYTES, Directory
from appliance.store.chunk_index import ChunkIndex
from appliance.store.containers import Container, ContainerCache, list_names
from appliance.store.layout import Layout


class Wardrobe:
    """The chunks of one vault. Its folder is used by one process at a time."""

    def __init__(self, folder: Path, keys: MasterKey, progress: Progress) -> None:
        """`folder` is where the box keeps what it remembers of the vault."""
        self._layout = Layout(folder)
        for needed in (self._layout.containers, self._layout.index, self._layout.locks):
            durable.make_directory(needed)
        self._keys = keys
        self._progress = progress
        self._index: ChunkIndex | None = None
        self._containers = ContainerCache(self._layout, keys)

    def find(self, chunk_id: bytes) -> tuple[bytes, int] | None:
        """(container, ordinal) where the vault holds a chunk, or None."""
        return self._opened().find(chunk_id)

    def find_base(self, chunk_id: bytes) -> tuple[bytes, int] | None:
        """As `find`, for a chunk that is no delta: what deltas may need."""
        found = self.find(chunk_id)
        directory = None if found is None else self.directory(found[0])
        location = (
            None if directory is None or found is None else directory.locate(chunk_id, found[1])
        )
        if location is None or directory is None or directory.base(location.frame) is not None:
            return None
        return found

    def id_at(self, name: bytes, ordinal: int) -> bytes | None:
        """The id of a chunk of a container by its ordinal."""
        directory = self.directory(name)
        ids = () if directory is None else directory.ids()
        return ids[ordinal] if ordinal < len(ids) else None

    def bases(self, name: bytes) -> set[bytes]:
        """The chunks that the deltas in a container need."""
        directory = self.directory(name)
        return set() if directory is None else directory.bases()

    def forget(self, name: bytes) -> None:
        """What a container holds does not serve any more."""
        self._layout.container(name).unlink(missing_ok=True)
        self._containers.drop(name)
        self._index = None

    def directory(self, name: bytes) -> Directory | None:
        """The directory of a container that the vault holds; None if nobody has seen it."""
        try:
            return self._containers.get(name).directory
        except HoldfastError:
            return None

    def learn(self, path: Path, name: bytes) -> None:
        """The vault has the container that lies at `path` on the box.

        Raises IntegrityError if its directory does not authenticate.
        """
        skeleton = self._layout.container(name)
        if skeleton.exists():
            return
        with named_os_errors(path), path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            header = os.pread(file.fileno(), HEADER_BYTES, 0)
            trailer = os.pread(file.fileno(), TRAILER_BYTES, size_bytes - TRAILER_BYTES)
            offset = int.from_bytes(trailer[:8], "little")
            directory = os.pread(file.fileno(), max(0, size_bytes - offset), offset)
        self.put(name, size_bytes, header, directory)

    def put(self, name: bytes, size_bytes: int, header: bytes, tail: bytes) -> None:
        """Keep a skeleton; `tail` is the directory and the trailer."""
        skeleton = self._layout.container(name)
        if not skeleton.parent.is_dir():
            durable.make_directory(skeleton.parent)
        with durable.open_durably(skeleton, staging=self._staging()) as descriptor:
            os.ftruncate(descriptor, size_bytes)
            os.pwrite(descriptor, header, 0)
            os.pwrite(descriptor, tail, size_bytes - len(tail))
        if self._index is not None:
            container = Container(self._layout, self._keys, name)
            self._index.native.learn(self._index.native.slot_of(name), container.directory)
            container.close()
            self._index.spill_if_large()

    def keep_only(self, names: set[bytes]) -> None:
        """Forget containers that the vault lost."""
        for name in list_names(self._layout):
            if name not in names:
                self._layout.container(name).unlink(missing_ok=True)
                self._containers.drop(name)
        self._index = None

    def spill(self) -> None:
        """Make what was learned durable."""
        if self._index is not None:
            self._index.spill()

    def _staging(self) -> Path:
        if not self._layout.incoming.is_dir():
            durable.make_directory(self._layout.incoming)
        return self._layout.incoming

    def _opened(self) -> ChunkIndex:
        if self._index is None:
            self._index = ChunkIndex(self._layout, self._keys, self._progress)
        return self._index
