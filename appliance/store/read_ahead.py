"""Reading ahead for whoever reads a disk in order: whole extents, decoded in the background.

Owns when reading counts as sequential and what is kept for it. Random reads never come here, so a
scan cannot push out what they keep, and they cannot make it decode what nobody asked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

# So much in order before whole extents are decoded: more than a guest's file system reads of
# neighbouring metadata, less than it reads of a file worth the wait.
SEQUENTIAL_BYTES = 512 << 10
# Requests of one reader overtake each other by as much: the kernel sends several at once.
_SLACK_BYTES = 1 << 20
# Extents of 4 MiB kept or under way.
_KEPT = 6
_AHEAD = 2
_THREADS = 2

Load = Callable[[int], bytes | None]


class ReadAhead:
    """The extents around the place where somebody reads in order. Thread-safe."""

    def __init__(self, load: Load, extents: int) -> None:
        """`load` gives the bytes of an extent, or None where something in it is damaged."""
        self._load = load
        self._count = extents
        self._lock = threading.Lock()
        self._next = self._began = -1
        self._run_bytes = 0
        self._pool: ThreadPoolExecutor | None = None
        self._extents: OrderedDict[int, Future[bytes | None]] = OrderedDict()

    def is_sequential(self, offset: int, length: int) -> bool:
        """Note a read; whether it goes on with what was read in order for a while."""
        with self._lock:
            if abs(offset - self._next) <= _SLACK_BYTES:
                self._run_bytes += length
                self._next = max(self._next, offset + length)
            else:
                self._run_bytes = 0
                self._began = offset
                self._next = offset + length
            return self._run_bytes >= SEQUENTIAL_BYTES

    @property
    def run_bytes(self) -> int:
        """How much was read in order lately; reading the same place again and again is none."""
        with self._lock:
            return min(self._run_bytes, self._next - self._began)

    def extent(self, number: int) -> bytes | None:
        """The bytes of an extent, None if something in it is damaged; the next ones are begun."""
        with self._lock:
            wanted = self._ask(number)
            for ahead in range(number + 1, min(number + 1 + _AHEAD, self._count)):
                self._ask(ahead)
            while len(self._extents) > _KEPT:
                self._extents.popitem(last=False)
        return wanted.result()

    def _ask(self, number: int) -> Future[bytes | None]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="read-ahead")
        future = self._extents.get(number)
        if future is None:
            future = self._extents[number] = self._pool.submit(self._load, number)
        self._extents.move_to_end(number)
        return future

    def close(self) -> None:
        """End the threads."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None
            self._extents.clear()
