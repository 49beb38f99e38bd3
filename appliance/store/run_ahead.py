"""Looking ahead of whoever reads a part of a disk in order: a guest or a program, through a mount.

Owns how far: as far again as was read in order, so that what nobody comes to read is never more
than what was, and up to a limit. Whoever jumps begins anew with nothing. What is fetched, and how,
the second copy does; what is on the box is left to `read_ahead`.
"""

from __future__ import annotations

import contextlib
import threading

from appliance.formats.page import EXTENT_BYTES
from appliance.store.chunks import ChunkReader
from appliance.store.extent_map import ExtentMap
from appliance.store.look_ahead import NOT_TOLD, begin_extents

# Half a second of a line of 1 Gbit/s. A guest that jumps away leaves so much on its way at most.
_MOST_BYTES = 64 << 20
# Less is on its way already where whole extents are decoded ahead.
_LEAST_EXTENTS = 3


class RunAhead:
    """Looks ahead of one reader of a disk. Thread-safe; whoever reads never waits for it."""

    def __init__(self, extent_map: ExtentMap, chunks: ChunkReader) -> None:
        self._map = extent_map
        self._chunks = chunks
        self._lock = threading.Lock()
        # Where somebody reads, and how many extents ahead of that are worth it.
        self._at = self._reach = 0
        # Extents of this run before that one are begun.
        self._begun = 0
        self._is_busy = False

    def note_read(self, extent: int, run_bytes: int) -> None:
        """Somebody reads this extent now, and came to it through `run_bytes` in order."""
        reach = min(run_bytes, _MOST_BYTES, self._chunks.ahead_bytes) // EXTENT_BYTES
        if reach < _LEAST_EXTENTS or not self._chunks.is_reading_elsewhere:
            return
        with self._lock:
            self._at, self._reach = extent, reach
            if self._is_busy or not (batch := self._next_batch()):
                return
            self._is_busy = True
        threading.Thread(target=self._run, args=(batch,), name="run-ahead", daemon=True).start()

    def _next_batch(self) -> range:
        """What is to be begun now; under the lock."""
        stop = min(self._at + 1 + self._reach, self._map.extents)
        first = max(self._at + 1, self._begun if self._begun <= stop else 0)
        # Each batch costs some round trips: half of the reach together, or the end.
        if stop < self._map.extents and 2 * (stop - first) < self._reach:
            return range(0)
        self._begun = max(first, stop)
        return range(first, stop)

    def _run(self, batch: range) -> None:
        while batch:
            with contextlib.suppress(*NOT_TOLD):
                begin_extents(self._map, self._chunks, batch)
            with self._lock:
                batch = self._next_batch()
                self._is_busy = bool(batch)
