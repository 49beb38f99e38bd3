"""Which ranges of a disk are zeros without being read, for whoever copies only the rest."""

from __future__ import annotations

from appliance.base.errors import IntegrityError
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA
from appliance.store.extent_map import ExtentMap

# Leaves decoded for one answer; a caller asks again for the rest.
_LEAVES_MAX = 32
_BLOCK_BYTES = 4096
Run = tuple[int, bool]
"""Length in bytes, and whether there is anything but zeros."""


def list_runs(extent_map: ExtentMap, offset: int, length: int) -> list[Run]:
    """Runs from `offset` on, at least one, that cover `length` bytes or less.

    They begin and end at multiples of 4 KiB but for the ends of what was asked. Where the map is
    damaged all counts as data: reading it tells.
    """
    runs: list[Run] = []
    end = min(offset + length, extent_map.size_bytes)
    leaves = 0
    while offset < end and leaves < _LEAVES_MAX:
        extent, within = divmod(offset, EXTENT_BYTES)
        until = min(end - extent * EXTENT_BYTES, extent_map.extent_length(extent))
        try:
            has_leaf = extent_map.node(0, extent).reference is not None
            stretches = _list_data(extent_map, extent) if has_leaf else []
        except IntegrityError:
            has_leaf, stretches = True, [(0, until)]
        leaves += has_leaf
        at = within
        for start, stop in [*stretches, (until, until)]:
            first, last = min(max(start, at), until), min(stop, until)
            _append(runs, first - at, has_data=False)
            _append(runs, last - first, has_data=True)
            at = max(at, first, last)
        offset += until - within
    return runs


def _list_data(extent_map: ExtentMap, extent: int) -> list[tuple[int, int]]:
    """(start, end) of where an extent holds data, in blocks."""
    found: list[tuple[int, int]] = []
    at = 0
    for piece in extent_map.leaf(extent).pieces:
        if piece.flag == FLAG_DATA:
            start = at - at % _BLOCK_BYTES
            end = -(-(at + piece.length) // _BLOCK_BYTES) * _BLOCK_BYTES
            if found and start <= found[-1][1]:
                start = found.pop()[0]
            found.append((start, end))
        at += piece.length
    return found


def _append(runs: list[Run], length: int, *, has_data: bool) -> None:
    if length <= 0:
        return
    if runs and runs[-1][1] == has_data:
        runs[-1] = (runs[-1][0] + length, has_data)
    else:
        runs.append((length, has_data))
