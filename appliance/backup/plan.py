"""Which extents of a disk have to be read, and which subtrees are known without reading."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from appliance.formats.page import BLOCK_BYTES, EXTENT_BYTES, FANOUT
from appliance.sources.source import Source
from appliance.store.map_writer import MapWriter


class ReadPlan:
    """Walks the extent map of one disk top down.

    A subtree without data is zeros. With a changed list, one without changes is the base's. What is
    left is yielded extent by extent, so the cost follows what is read, not the size of the disk.
    """

    def __init__(
        self, source: Source, target: MapWriter, changed: Sequence[tuple[int, int]] | None
    ) -> None:
        """`changed`: sorted, disjoint (offset, length) since the base; None to read all data."""
        self._source = source
        self._target = target
        self._changed = changed
        self._starts = [offset for offset, _ in changed or ()]

    def extents(self) -> Iterator[int]:
        """The extents to read, in order; tells the target about all others on the way."""
        if self._target.extents:
            yield from self._walk(self._target.level, 0)

    def _walk(self, level: int, number: int) -> Iterator[int]:
        span = int(FANOUT**level)
        start = number * span * EXTENT_BYTES
        end = min(start + span * EXTENT_BYTES, self._target.size_bytes)
        if (
            self._changed is not None
            and not self._is_changed(start, end)
            and self._target.can_reuse(level, number)
        ):
            self._target.reuse(level, number)
        elif not self._source.has_data(start, end):
            self._target.add_zeros(level, number)
        elif level == 0:
            yield number
        else:
            for child in range(self._target.entries_of(level, number)):
                yield from self._walk(level - 1, number * FANOUT + child)

    def changed_blocks(self, extent: int) -> int | None:
        """The mask of the blocks of an extent that may have changed; None without a list."""
        if self._changed is None:
            return None
        start = extent * EXTENT_BYTES
        end = min(start + EXTENT_BYTES, self._target.size_bytes)
        mask = 0
        for place in range(
            max(bisect.bisect_right(self._starts, start) - 1, 0), len(self._changed)
        ):
            offset, length = self._changed[place]
            if offset >= end:
                break
            first, last = max(offset, start) - start, min(offset + length, end) - 1 - start
            if first <= last:
                mask |= (2 << last // BLOCK_BYTES) - (1 << first // BLOCK_BYTES)
        return mask

    def _is_changed(self, start: int, end: int) -> bool:
        assert self._changed is not None
        after = bisect.bisect_left(self._starts, end)
        if after == 0:
            return False
        offset, length = self._changed[after - 1]
        return offset + length > start
