"""Looking ahead of whoever reads a whole disk, so that what is elsewhere is on its way in time.

Owns how far ahead, and the thread that walks the map there. What is fetched, and how, the second
copy does: it is told what the extents need, in their order. Nothing is looked at before the reader
met something that is elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.formats.page import EXTENT_BYTES, Reference
from appliance.store.chunks import ChunkReader
from appliance.store.extent_map import ExtentMap

# Extents looked at together: few at first, so that the line is busy at once; then many, since each
# batch costs some round trips (pages, ends of containers), all that it finds goes out together, and
# neighbours become one request.
_FIRST = 2
_MOST = 32
# Whoever reads meets it too, and tells; whoever closed the second copy reads no more.
NOT_TOLD = (HoldfastError, CancelledError)


class LookAhead:
    """Walks ahead through the data of one disk. Thread-safe."""

    def __init__(self, extent_map: ExtentMap, chunks: ChunkReader) -> None:
        self._map = extent_map
        self._chunks = chunks
        self._most = chunks.ahead_bytes // EXTENT_BYTES
        self._unread: deque[int] = deque()
        self._at = -1
        self._is_begun = self._is_closed = False
        self._changed = threading.Condition()

    def note_read(self, extent: int) -> None:
        """Somebody reads this extent now."""
        with self._changed:
            self._at = max(self._at, extent)
            while self._unread and self._unread[0] <= self._at:
                self._unread.popleft()
            self._changed.notify_all()
            if self._is_begun or not self._most or not self._chunks.is_reading_elsewhere:
                return
            self._is_begun = True
        threading.Thread(target=self._run, name="look-ahead", daemon=True).start()

    def close(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        with contextlib.suppress(*NOT_TOLD):
            for batch in self._batches():
                if not self._may_begin(batch):
                    return
                begin_extents(self._map, self._chunks, batch)

    def _batches(self) -> Iterator[list[int]]:
        extents = self._map.data_extents()
        count = _FIRST
        while batch := list(islice(extents, count)):
            yield batch
            count = min(2 * count, _MOST)

    def _may_begin(self, batch: list[int]) -> bool:
        """Wait until the reader is near enough; false where it will not come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._unread) < self._most or self._is_closed)
            self._unread += [extent for extent in batch if extent > self._at]
            return not self._is_closed


def begin_extents(extent_map: ExtentMap, chunks: ChunkReader, extents: Sequence[int]) -> None:
    """Have the pages of these extents fetched, then begin to fetch what they name, in order.

    Raises HoldfastError where the second copy cannot be reached.
    """
    chunks.fetch([one for extent in extents for one in _page(extent_map, extent)])
    chunks.expect([one for extent in extents for one in _pieces(extent_map, extent)])


def _page(extent_map: ExtentMap, extent: int) -> Iterator[Reference]:
    with contextlib.suppress(IntegrityError):
        reference = extent_map.node(0, extent).reference
        if reference is not None:
            yield reference


def _pieces(extent_map: ExtentMap, extent: int) -> Iterator[Reference]:
    with contextlib.suppress(IntegrityError):
        for piece in extent_map.leaf(extent).pieces:
            if piece.reference is not None:
                yield piece.reference
