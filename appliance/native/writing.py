"""Extents to references and sealed containers (native/src/ingest.c, writer.c)."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator
from ctypes import byref, c_char, c_size_t, c_uint32, c_void_p, create_string_buffer
from typing import NamedTuple

from appliance.native.index import Index
from appliance.native.library import (
    CHUNK_MIN_BYTES,
    E_FULL,
    EXTENT_BYTES,
    ExtentStruct,
    StatsStruct,
    check,
    lib,
    required,
)

_REF = struct.Struct("<32sIIII")
_REFS_PER_EXTENT = EXTENT_BYTES // CHUNK_MIN_BYTES + 1
STATUS_ZERO = 0
STATUS_DATA = 1
STATUS_UNCHANGED = 2


class Ref(NamedTuple):
    """Where one chunk of an extent is; `is_data` false means a run of zeros."""

    chunk_id: bytes
    slot: int
    ordinal: int
    length: int
    is_data: int


class ExtentResult(NamedTuple):
    """What became of one extent: `status` is STATUS_*, `refs` is empty unless it is DATA."""

    status: int
    tag: bytes
    refs: list[Ref]


class Stats(NamedTuple):
    """Nanoseconds per stage and counts, summed over an ingester's life."""

    tag_ns: int
    cut_ns: int
    fingerprint_ns: int
    lookup_ns: int
    compress_ns: int
    seal_ns: int
    new_bytes: int
    new_chunks: int
    known_chunks: int


class Writer:
    """One open container in memory, of KIND_DATA or KIND_PAGE. For one thread."""

    def __init__(
        self, kind: int, container_id: bytes, container_key: bytes, slot: int, level: int
    ) -> None:
        self.slot = slot
        self.handle = required(
            lib.hf_writer_new(kind, container_id, container_key, slot, level), "container"
        )

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Free the container's memory."""
        if getattr(self, "handle", 0):
            lib.hf_writer_free(self.handle)
            self.handle = 0

    @property
    def chunks(self) -> int:
        """The number of chunks added so far: the ordinal of the next one."""
        return int(lib.hf_writer_chunks(self.handle))

    def has_room(self, size_bytes: int) -> bool:
        """Whether chunks of `size_bytes` together certainly fit."""
        return bool(lib.hf_writer_has_room(self.handle, size_bytes))

    def finish(self) -> tuple[bytes, memoryview]:
        """Seal: (name, bytes). The bytes are valid until `close`."""
        name = create_string_buffer(32)
        data, length = c_void_p(), c_size_t()
        check(lib.hf_writer_finish(self.handle, name, byref(data), byref(length)), "container")
        assert data.value is not None
        view = memoryview((c_char * length.value).from_address(data.value)).cast("B")
        return name.raw, view.toreadonly()


class Batch:
    """Room for some extents: a buffer to read into, and what the library says about them."""

    def __init__(self, extents_max: int) -> None:
        self._map = mmap.mmap(-1, extents_max * EXTENT_BYTES)
        self.buffer = memoryview(self._map)
        self._address = ctypes.addressof(c_char.from_buffer(self._map))
        self._extents = (ExtentStruct * extents_max)()
        self._refs = (c_char * (_REF.size * _REFS_PER_EXTENT * extents_max))()
        self._capacity = _REFS_PER_EXTENT * extents_max
        self.count = 0

    def clear(self) -> None:
        """Forget the extents of the last round."""
        self.count = 0

    def add(self, offset: int, length: int, base_tag: bytes | None) -> None:
        """Take the `length` bytes at `offset` of the buffer as the next extent.

        With `base_tag` the extent is only compared: an equal tag means that it is unchanged.
        """
        extent = self._extents[self.count]
        extent.offset, extent.length = offset, length
        extent.has_base = base_tag is not None
        if base_tag is not None:
            ctypes.memmove(extent.base_tag, base_tag, 16)
        self.count += 1

    def ingest(self, ingester: Ingester, writer: Writer, first: int) -> list[ExtentResult]:
        """Process extents from number `first` on; gives results for as many as found room."""
        used = c_uint32()
        done = check(
            lib.hf_ingest(
                ingester.handle,
                writer.handle,
                self._address,
                byref(self._extents, first * ctypes.sizeof(ExtentStruct)),
                self.count - first,
                self._refs,
                self._capacity,
                byref(used),
            ),
            "extent",
        )
        raw = memoryview(self._refs)
        return [self._result(self._extents[first + i], raw) for i in range(done)]

    @staticmethod
    def _result(extent: ExtentStruct, raw: memoryview) -> ExtentResult:
        start = extent.first_ref * _REF.size
        stop = start + extent.ref_count * _REF.size
        refs = [Ref._make(fields) for fields in _REF.iter_unpack(raw[start:stop])]
        return ExtentResult(extent.status, bytes(extent.tag), refs)


class Ingester:
    """Cuts, fingerprints and looks up for one thread; the index may be shared."""

    def __init__(self, index: Index, id_key: bytes, cut_key: bytes, tag_key: bytes) -> None:
        self._index = index
        self.handle = required(
            lib.hf_ingester_new(index.handle, id_key, cut_key, tag_key), "ingester"
        )

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            lib.hf_ingester_free(self.handle)

    def ingest_chunk(self, writer: Writer, data: bytes | memoryview) -> Ref | None:
        """Store `data` as one chunk unless known; None when the container has no room for it."""
        ref = create_string_buffer(_REF.size)
        code = lib.hf_ingest_chunk(self.handle, writer.handle, bytes(data), len(data), ref)
        if code == E_FULL:
            return None
        check(code, "chunk")
        return Ref._make(_REF.unpack(ref.raw))

    def stats(self) -> Stats:
        """What this ingester did so far."""
        raw = StatsStruct()
        lib.hf_ingester_stats(self.handle, byref(raw))
        return Stats(*(getattr(raw, name) for name in Stats._fields))


def cut(cut_key: bytes, data: bytes) -> Iterator[int]:
    """The ends of the chunks of `data` (at most one extent)."""
    capacity = len(data) // CHUNK_MIN_BYTES + 1
    ends = (c_uint32 * capacity)()
    yield from ends[: check(lib.hf_cut(cut_key, data, len(data), ends, capacity), "cut")]
