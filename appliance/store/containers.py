"""Sealed containers on the disk: opening, caching, listing (docs/format/container.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from appliance.base import durable
from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.native import (
    CONTAINER_MAX_BYTES,
    HEADER_BYTES,
    KIND_DELTA,
    TRAILER_BYTES,
    Directory,
)
from appliance.store.layout import Layout

_TRAILER_MAGIC = b"HFCEND01"
_NAME_DIGITS = 64
_KIND_AT = 10  # of the header


class ContainerKeys(Protocol):
    """What is needed of the key hierarchy."""

    def container_key(self, container_id: bytes) -> bytes:
        """The key of one container."""

    def delta_key(self, container_id: bytes) -> bytes:
        """The key of one container of deltas."""


class Container:
    """A sealed container, open for reading. Its directory is authenticated."""

    def __init__(self, layout: Layout, keys: ContainerKeys, name: bytes) -> None:
        """Raises NotFoundError if there is no such file, IntegrityError if it is damaged."""
        self.name = name
        path = layout.container(name)
        try:
            with named_os_errors(f"container {path}"):
                self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except NotFoundError as error:
            raise NotFoundError(f"container {name.hex()} is missing") from error
        try:
            with named_os_errors(path):
                self.size_bytes = os.fstat(self.descriptor).st_size
                self.directory = read_directory(self.descriptor, self.size_bytes, keys, name)
        except BaseException:
            os.close(self.descriptor)
            self.descriptor = -1
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __del__(self) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            self.close()


def read_directory(descriptor: int, size_bytes: int, keys: ContainerKeys, name: bytes) -> Directory:
    """The directory of container `name` in an open file. Raises IntegrityError."""
    what = f"container {name.hex()}"
    offset, length = directory_range(descriptor, size_bytes, name)
    header = _read(descriptor, HEADER_BYTES, 0)
    sealed = _read(descriptor, length, offset)
    if len(header) != HEADER_BYTES or len(sealed) != length:
        raise IntegrityError(f"{what} ends too early")
    is_delta = header[_KIND_AT] == KIND_DELTA
    key = keys.delta_key(header[16:32]) if is_delta else keys.container_key(header[16:32])
    try:
        return Directory(header, sealed, offset, key)
    except IntegrityError as error:
        raise IntegrityError(f"{what}: {error}") from error


def directory_range(descriptor: int, size_bytes: int, name: bytes) -> tuple[int, int]:
    """(offset, length) of the directory, as the trailer says. Raises IntegrityError."""
    what = f"container {name.hex()}"
    if not HEADER_BYTES + TRAILER_BYTES < size_bytes <= CONTAINER_MAX_BYTES:
        raise IntegrityError(f"{what} has an impossible size of {size_bytes} bytes")
    trailer = _read(descriptor, TRAILER_BYTES, size_bytes - TRAILER_BYTES)
    offset = int.from_bytes(trailer[:8], "little")
    length = int.from_bytes(trailer[8:16], "little")
    if trailer[16:24] != _TRAILER_MAGIC or offset + length + TRAILER_BYTES != size_bytes:
        raise IntegrityError(f"{what} has a damaged trailer")
    return offset, length


def _read(descriptor: int, length: int, offset: int) -> bytes:
    """So many bytes from there, or those up to the end of the file; a read may give fewer."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        length, offset = length - len(part), offset + len(part)
    return b"".join(parts)


class ContainerCache:
    """Open containers, the least recently used dropped first. Thread-safe.

    Memory: a directory takes about 100 KiB for chunks of 64 KiB mean.
    """

    def __init__(self, layout: Layout, keys: ContainerKeys, capacity: int = 128) -> None:
        self._layout = layout
        self.keys = keys
        self._capacity = capacity
        self._open: OrderedDict[bytes, Container] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: bytes) -> Container:
        """The container `name`. Raises as `Container` does. It stays open while referenced."""
        with self._lock:
            container = self._open.get(name)
            if container is not None:
                self._open.move_to_end(name)
                return container
        container = Container(self._layout, self.keys, name)
        with self._lock:
            self._open[name] = container
            while len(self._open) > self._capacity:
                # Dropped, not closed: a reader may be using it. The last reference closes it.
                self._open.popitem(last=False)
        return container

    def has(self, name: bytes) -> bool:
        """Whether there is a file of this name, sound or not."""
        with self._lock:
            is_open = name in self._open
        return is_open or self._layout.container(name).exists()

    def drop(self, name: bytes) -> None:
        """Forget a container whose file has moved away."""
        with self._lock:
            self._open.pop(name, None)


def list_names(layout: Layout) -> Iterator[bytes]:
    """The names of all containers in order, folder by folder; foreign files are passed over."""
    for folder in list_folders(layout):
        yield from folder_names(layout, folder)


def list_folders(layout: Layout) -> list[str]:
    """The folders of containers there are, in order."""
    with named_os_errors(layout.containers):
        return sorted(entry.name for entry in os.scandir(layout.containers) if entry.is_dir())


def folder_names(layout: Layout, folder: str) -> list[bytes]:
    """The names of the containers in one folder, in order; none if it is gone."""
    try:
        files = os.listdir(layout.containers / folder)
    except FileNotFoundError:
        return []
    names = map(container_name, files)
    return sorted(name for name in names if name is not None and name.hex().startswith(folder))


def total_bytes(layout: Layout) -> int:
    """What all containers take, for progress: those that vanish meanwhile do not matter."""
    total = 0
    for folder in list_folders(layout):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(layout.containers / folder):
                total += entry.stat().st_size
    return total


def container_name(text: str) -> bytes | None:
    """The 32 bytes of a container's file name, or None if it is none."""
    if len(text) != _NAME_DIGITS:
        return None
    try:
        name = bytes.fromhex(text)
    except ValueError:
        return None
    return name if name.hex() == text else None


def check_name(layout: Layout, name: bytes) -> None:
    """Read the whole file and compare it with its name; needs no key.

    Raises IntegrityError when it differs, NotFoundError when it is missing.
    """
    path = layout.container(name)
    if not path.exists():
        raise NotFoundError(f"container {name.hex()} is missing")
    check_file(path, name)


def check_file(path: Path, name: bytes) -> None:
    """Read the whole file and compare it with the name of the container that it should be.

    Raises IntegrityError when it differs or cannot be read.
    """
    try:
        with named_os_errors(path), path.open("rb") as file:
            # What lies in memory says nothing about the disk.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            digest = hashlib.file_digest(file, "sha256").digest()
    except HoldfastError as error:
        raise IntegrityError(f"container {name.hex()} cannot be read: {error}") from error
    if digest != name:
        raise IntegrityError(f"container {name.hex()} is not what was written")


def store_container(layout: Layout, name: bytes, data: memoryview) -> Path:
    """Make a sealed container durable under its name."""
    path = layout.container(name)
    if not path.parent.is_dir():
        durable.make_directory(path.parent)
    durable.write_file(path, data, staging=layout.incoming)
    return path
