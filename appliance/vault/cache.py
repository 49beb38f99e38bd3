"""What was read from a vault, kept on local disk: sparse files with a size limit.

Owns the folder `STATE/cache/containers`. One file per container: its bytes at their offsets, so
that readers work on it as on a container, and behind CONTAINER_MAX_BYTES which blocks are there. A
block is marked after it was written, so a kill leaves only what may be believed; after a power cut
marks may be ahead of bytes, which then do not authenticate and are fetched anew. Several processes
share the folder. Nothing here is needed: all of it may be deleted at any moment.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Collection
from pathlib import Path

import psutil

from appliance.base import durable
from appliance.base.durable import named_os_errors
from appliance.base.errors import NoSpaceError
from appliance.native import CONTAINER_MAX_BYTES

# Ranges are asked for in these units, or they would show the sizes of frames and chunks.
BLOCK_BYTES = 256 << 10
_MAGIC = b"HFCACHE1"
_HEAD = struct.Struct("<8sI")
_BLOCKS = CONTAINER_MAX_BYTES // BLOCK_BYTES
_MARKS_AT = CONTAINER_MAX_BYTES + _HEAD.size
# The folder is measured after so many bytes, and emptied down to this share of the limit.
_MEASURE_SHARE = 16
_KEEP_SHARE = 0.9
_LIMIT_MAX_BYTES = 16 << 30
_LIMIT_MIN_BYTES = 256 << 20


def default_limit(folder: Path) -> int:
    """A quarter of what is free there, between 256 MiB and 16 GiB."""
    free = psutil.disk_usage(str(folder)).free
    return int(min(max(free // 4, _LIMIT_MIN_BYTES), _LIMIT_MAX_BYTES))


class CachedFile:
    """The blocks of one container that were fetched. Thread-safe, and safe beside others."""

    def __init__(self, path: Path, name: bytes) -> None:
        """Open or make it; `size_bytes` is 0 until somebody says how long the container is."""
        self.name = name
        self._path = path
        with named_os_errors(path):
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        head = os.pread(self.descriptor, _HEAD.size, CONTAINER_MAX_BYTES)
        magic, size_bytes = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
        is_known = magic == _MAGIC and 0 < size_bytes <= CONTAINER_MAX_BYTES
        self.size_bytes = size_bytes if is_known else 0

    def __del__(self) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            os.close(self.descriptor)

    @property
    def blocks(self) -> int:
        """How many blocks the container has."""
        return -(-self.size_bytes // BLOCK_BYTES)

    def set_size(self, size_bytes: int) -> None:
        """Say how long the container is; nothing of it counts as fetched if that was not known."""
        if size_bytes != self.size_bytes:
            head = _HEAD.pack(_MAGIC, size_bytes)
            with named_os_errors(self._path):
                os.pwrite(self.descriptor, head + bytes(_BLOCKS), CONTAINER_MAX_BYTES)
            self.size_bytes = size_bytes

    def blocks_of(self, offset: int, length: int) -> range:
        """The numbers of the blocks that hold a range."""
        end = min(offset + length, self.size_bytes)
        return range(offset // BLOCK_BYTES, -(-end // BLOCK_BYTES))

    def missing(self, blocks: range) -> list[int]:
        """Which of `blocks` are not here."""
        marks = os.pread(self.descriptor, len(blocks), _MARKS_AT + blocks.start)
        return [block for block, mark in zip(blocks, marks, strict=False) if not mark] + list(
            blocks[len(marks) :]
        )

    def absent(self, blocks: Collection[int]) -> list[int]:
        """Which of `blocks` are not here, in order."""
        if not blocks:
            return []
        around = range(min(blocks), max(blocks) + 1)
        return [block for block in self.missing(around) if block in blocks]

    def write(self, block: int, data: bytes) -> None:
        """Keep whole blocks, from number `block` on."""
        count = -(-len(data) // BLOCK_BYTES)
        with named_os_errors(self._path):
            view, at = memoryview(data), block * BLOCK_BYTES
            while view:
                done = os.pwrite(self.descriptor, view, at)
                view, at = view[done:], at + done
            os.pwrite(self.descriptor, b"\1" * count, _MARKS_AT + block)

    def touch(self) -> None:
        """It is in use now."""
        os.utime(self.descriptor)

    def read_whole(self) -> bytes | None:
        """The container, if all of it is here."""
        if not self.blocks or self.missing(range(self.blocks)):
            return None
        parts, at = [], 0
        while at < self.size_bytes and (
            part := os.pread(self.descriptor, self.size_bytes - at, at)
        ):
            parts.append(part)
            at += len(part)
        return b"".join(parts)


class Cache:
    """The folder of cached files. Thread-safe."""

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        """`limit_bytes`: what it may take on the disk; default: see `default_limit`.

        It is exceeded for a moment, by a sixteenth per process that fills it. Containers that are
        being read go last.
        """
        durable.make_directory(folder)
        self._folder = folder
        self.limit_bytes = limit_bytes or default_limit(folder)
        self._lock = threading.Lock()
        self._unmeasured = self.limit_bytes  # so that the first write measures
        self._foreground = folder / "foreground"

    def open(self, name: bytes) -> CachedFile:
        """The file of container `name`."""
        text = name.hex()
        path = self._folder / text[:2] / text
        with contextlib.suppress(FileExistsError), named_os_errors(path):
            path.parent.mkdir(mode=0o700, exist_ok=True)
        file = CachedFile(path, name)
        file.touch()
        return file

    def write(self, file: CachedFile, block: int, data: bytes) -> None:
        """Keep blocks of a file; what was not used for longest makes room. Raises NoSpaceError."""
        try:
            file.write(block, data)
        except NoSpaceError:
            self.shrink(0)
            file.write(block, data)
        file.touch()
        with self._lock:
            self._unmeasured += len(data)
            is_due = self._unmeasured * _MEASURE_SHARE >= self.limit_bytes
            if is_due:
                self._unmeasured = 0
        if is_due:  # one write may be long, so what it left is what counts
            self.shrink(self.limit_bytes)

    def shrink(self, limit_bytes: int) -> int:
        """Remove the least recently used files if all take more than this; gives what is left."""
        found = []
        total = 0
        for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                total += status.st_blocks * 512
                found.append((status.st_mtime_ns, status.st_blocks * 512, path))
        if total <= limit_bytes:
            return total
        for _, size_bytes, path in sorted(found):
            path.unlink(missing_ok=True)
            total -= size_bytes
            if total <= limit_bytes * _KEEP_SHARE:
                break
        return total

    # ---- who goes first, across processes ----

    def note_foreground(self) -> None:
        """Somebody waits for bytes now."""
        with contextlib.suppress(OSError):
            self._foreground.touch()

    def foreground_ns(self) -> int:
        """When somebody waited last, by the wall clock; 0 = never."""
        try:
            return self._foreground.stat().st_mtime_ns
        except OSError:
            return 0
