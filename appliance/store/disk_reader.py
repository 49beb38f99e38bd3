"""The bytes of one disk of a point: whole extents for restores, any range for mounts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA, LeafPage
from appliance.store.chunks import ChunkReader, Wanted
from appliance.store.extent_map import ExtentMap

# Decoded chunks kept per disk for small reads; the kernel's page cache lies above.
_CACHE_BYTES = 128 << 20


class DamagedRange(NamedTuple):
    """Bytes of the disk that the store cannot give."""

    offset: int
    length: int


class DiskReader:
    """Reads one disk. Thread-safe."""

    def __init__(self, name: str, extent_map: ExtentMap, chunks: ChunkReader) -> None:
        self._name = name
        self.extent_map = extent_map
        self._chunks = chunks
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """The size of the disk."""
        return self.extent_map.size_bytes

    def read_extent(self, extent: int, out: bytearray) -> list[DamagedRange]:
        """Fill `out` (4 MiB) with an extent; zeros where there is a gap or damage, which is named.

        Raises IntegrityError if a page of the map on the way is damaged.
        """
        leaf = self.extent_map.leaf(extent)
        wanted: list[Wanted] = []
        at = 0
        for piece in leaf.pieces:
            if piece.flag == FLAG_DATA:
                assert piece.reference is not None
                wanted.append(Wanted(piece.reference, piece.length, at))
            else:
                out[at : at + piece.length] = bytes(piece.length)
            at += piece.length
        damaged = []
        for number in self._chunks.read_into(wanted, out):
            _, length, offset = wanted[number]
            out[offset : offset + length] = bytes(length)
            damaged.append(DamagedRange(extent * EXTENT_BYTES + offset, length))
        return damaged

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`, fewer at the end of the disk.

        Raises IntegrityError if any of them are damaged. Gaps read as zeros.
        """
        end = min(offset + length, self.size_bytes)
        parts = []
        while offset < end:
            extent, within = divmod(offset, EXTENT_BYTES)
            count = min(end - offset, EXTENT_BYTES - within)
            parts.append(self._read_within(extent, within, count))
            offset += count
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _read_within(self, extent: int, offset: int, length: int) -> bytes:
        leaf: LeafPage = self.extent_map.leaf(extent)
        parts = []
        at = 0
        end = offset + length
        for piece in leaf.pieces:
            if at >= end:
                break
            first, last = max(offset, at), min(end, at + piece.length)
            if first < last:
                if piece.flag == FLAG_DATA:
                    assert piece.reference is not None
                    chunk = self._chunk(piece.reference.chunk_id, Wanted(piece.reference, 0, 0))
                    if len(chunk) != piece.length:
                        raise IntegrityError(f"{self._name}: a chunk has the wrong length")
                    parts.append(chunk[first - at : last - at])
                else:
                    parts.append(bytes(last - first))
            at += piece.length
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _chunk(self, chunk_id: bytes, wanted: Wanted) -> bytes:
        with self._lock:
            data = self._cache.get(chunk_id)
            if data is not None:
                self._cache.move_to_end(chunk_id)
                return data
        try:
            frame = self._chunks.read_neighbours(wanted.reference)
        except IntegrityError as error:
            raise IntegrityError(f"{self._name}: {error}") from error
        with self._lock:
            for key, data in frame.items():
                self._remember(key, data)
        return frame[chunk_id]

    def _remember(self, chunk_id: bytes, data: bytes) -> None:
        if chunk_id not in self._cache:
            self._cached_bytes += len(data)
        self._cache[chunk_id] = data
        while self._cached_bytes > _CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)
