"""The bytes of one disk of a point: whole extents for restores, any range for mounts."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.formats.page import EXTENT_BYTES, FLAG_DATA, Piece
from appliance.store.chunks import ChunkReader, LostChunkError, Wanted
from appliance.store.extent_map import ExtentMap
from appliance.store.look_ahead import LookAhead
from appliance.store.read_ahead import ReadAhead
from appliance.store.run_ahead import RunAhead

# Decoded chunks kept per disk for small reads; the kernel's page cache lies above.
_CACHE_BYTES = 128 << 20


NoteLoss = Callable[[bytes, str, int, int], None]
"""Told of bytes that a read did not get: container, reason, offset and length."""


class DamagedRange(NamedTuple):
    """Bytes of the disk that the store cannot give."""

    offset: int
    length: int


class DiskReader:
    """Reads one disk. Thread-safe."""

    def __init__(
        self, name: str, extent_map: ExtentMap, chunks: ChunkReader, note_loss: NoteLoss
    ) -> None:
        self._name = name
        self._note_loss = note_loss
        self.extent_map = extent_map
        self._chunks = chunks
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()
        self._look_ahead: LookAhead | None = None
        self._ahead = ReadAhead(self._whole_extent, extent_map.extents)
        self._run_ahead = RunAhead(extent_map, chunks)

    def close(self) -> None:
        """End what runs in the background. Reading once more begins it again."""
        self._ahead.close()

    @property
    def size_bytes(self) -> int:
        """The size of the disk."""
        return self.extent_map.size_bytes

    @contextlib.contextmanager
    def expecting_all(self) -> Iterator[None]:
        """Inside, extents are read in order, to the end of the disk."""
        look_ahead = self._look_ahead = LookAhead(self.extent_map, self._chunks)
        try:
            yield
        finally:
            self._look_ahead = None
            look_ahead.close()

    def read_extent(self, extent: int, out: bytearray) -> list[DamagedRange]:
        """Fill `out` (4 MiB) with an extent; zeros where there is a gap or damage, which is named.

        Raises IntegrityError if a page of the map on the way is damaged.
        """
        if (look_ahead := self._look_ahead) is not None:
            look_ahead.note_read(extent)
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
        is_sequential = self._ahead.is_sequential(offset, length)
        parts = []
        while offset < end:
            extent, within = divmod(offset, EXTENT_BYTES)
            count = min(end - offset, EXTENT_BYTES - within)
            whole = None
            if is_sequential:
                self._run_ahead.note_read(extent, self._ahead.run_bytes)
                whole = self._ahead.extent(extent)
            if whole is None:
                parts.append(self._read_within(extent, within, count))
            else:
                parts.append(whole[within : within + count])
            offset += count
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _whole_extent(self, extent: int) -> bytes | None:
        out = bytearray(EXTENT_BYTES)
        try:
            damaged = self.read_extent(extent, out)
        except IntegrityError:
            return None
        return None if damaged else bytes(out)

    def _read_within(self, extent: int, offset: int, length: int) -> bytes:
        parts = []
        end = offset + length
        while offset < end:
            start, piece = self.extent_map.piece_at(extent, offset)
            last = min(end, start + piece.length)
            if piece.flag == FLAG_DATA:
                chunk = self._chunk_of(piece, extent * EXTENT_BYTES + start)
                parts.append(chunk[offset - start : last - start])
            else:
                parts.append(bytes(last - offset))
            offset = last
        return b"".join(parts) if len(parts) != 1 else parts[0]

    def _chunk_of(self, piece: Piece, at: int) -> bytes:
        """The chunk of `piece`, which begins at byte `at` of the disk."""
        assert piece.reference is not None
        chunk_id = piece.reference.chunk_id
        with self._lock:
            data = self._cache.get(chunk_id)
            if data is not None:
                self._cache.move_to_end(chunk_id)
                return data
        try:
            data = self._chunks.read_chunk(piece.reference)
        except IntegrityError as error:
            if isinstance(error, LostChunkError):
                self._note_loss(error.container, str(error), at, piece.length)
            raise IntegrityError(
                f"{self._name}: bytes {at} to {at + piece.length - 1}: {error}"
            ) from error
        if len(data) != piece.length:
            raise IntegrityError(f"{self._name}: a chunk has the wrong length")
        with self._lock:
            self._remember(chunk_id, data)
        return data

    def _remember(self, chunk_id: bytes, data: bytes) -> None:
        if chunk_id not in self._cache:
            self._cached_bytes += len(data)
        self._cache[chunk_id] = data
        while self._cached_bytes > _CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)
