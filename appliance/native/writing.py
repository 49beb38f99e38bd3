"""Extents to references and sealed containers (native/src/ingest.c, writer.c)."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from ctypes import byref, c_char, c_size_t, c_uint32, c_void_p, create_string_buffer
from typing import Any, NamedTuple

from appliance.native.index import Index
from appliance.native.library import (
    BLOCK_BYTES,
    CHUNK_MIN_BYTES,
    E_FULL,
    EXTENT_BLOCKS,
    EXTENT_BYTES,
    TAG_BYTES,
    ExtentStruct,
    StatsStruct,
    check,
    lib,
    required,
)

_REF = struct.Struct("<32sIIII")
_REFS_PER_EXTENT = EXTENT_BYTES // CHUNK_MIN_BYTES + 1
STATUS_PENDING = 0
STATUS_ZERO = 1
STATUS_DATA = 2
STATUS_UNCHANGED = 3
STATUS_CHANGED = 4
STATUS_UNREAD = 5
REF_ZERO = 0
REF_DATA = 1
REF_BASE = 2
ALL_BLOCKS = 2**EXTENT_BLOCKS - 1


class Ref(NamedTuple):
    """A piece of an extent: zeros, a chunk, or the base's piece `ordinal` (`flag` is REF_*)."""

    chunk_id: bytes
    slot: int
    ordinal: int
    length: int
    flag: int


class Base(NamedTuple):
    """What is known of an extent from the base point: where its pieces end, and its block tags."""

    ends: Sequence[int]
    block_tags: bytes


class ExtentResult(NamedTuple):
    """What became of one extent.

    ZERO, DATA and UNCHANGED are final. CHANGED: it differs from the base, `Batch.retry` it with the
    base's pieces or without. UNREAD: the source could not be read. `refs` is empty unless DATA.
    """

    status: int
    tag: bytes
    block_tags: bytes
    read_bytes: int
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
    reused_chunks: int


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

    def put(self, chunk_id: bytes, data: bytes) -> bool:
        """Add a chunk whose id is known; False when the container has no room for it."""
        code = lib.hf_writer_put(self.handle, chunk_id, data, len(data))
        return code != E_FULL and check(code, "chunk") == 0

    def put_delta(self, chunk_id: bytes, length: int, base_id: bytes, packed: bytes) -> bool:
        """Add a chunk of `length` bytes that `Delta.pack` packed; False as with `put`."""
        code = lib.hf_writer_put_delta(self.handle, chunk_id, length, base_id, packed, len(packed))
        return code != E_FULL and check(code, "chunk") == 0

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
        self._kept: list[ctypes.Array[Any]] = []
        self.count = 0

    def clear(self) -> None:
        """Forget the extents of the last round."""
        self.count = 0
        self._kept.clear()

    def add(self, offset: int, length: int, base_tag: bytes | None) -> None:
        """Take the `length` bytes at `offset` of the buffer as the next extent.

        With `base_tag` the extent is compared with the base's first.
        """
        self._append(ExtentStruct(offset=offset, length=length, loaded=ALL_BLOCKS), base_tag)

    def add_changes(
        self,
        offset: int,
        length: int,
        place: tuple[int, int],
        *,
        changed_blocks: int,
        base_tag: bytes,
        base: Base,
    ) -> None:
        """The next extent, of which only blocks of the mask `changed_blocks` may have changed.

        `place` is (descriptor of the source, offset there); what is needed is read to `offset` of
        the buffer.
        """
        extent = ExtentStruct(offset=offset, length=length, fd=place[0], disk_offset=place[1])
        extent.tagged = ALL_BLOCKS & ~changed_blocks
        ctypes.memmove(extent.block_tags, base.block_tags, len(base.block_tags))
        self._set_base(extent, base)
        self._append(extent, base_tag)

    def retry(self, bases: Mapping[int, Base | None]) -> None:
        """Keep only these extents, by number, for another round: with their base or without."""
        kept = [ExtentStruct.from_buffer_copy(self._extents[number]) for number in bases]
        self.clear()
        for extent, base in zip(kept, bases.values(), strict=True):
            extent.status = STATUS_PENDING
            if base is None:
                self._append(extent, None)
            else:
                self._set_base(extent, base)
                self._append(extent, bytes(extent.base_tag))

    def _set_base(self, extent: ExtentStruct, base: Base) -> None:
        ends = (c_uint32 * len(base.ends))(*base.ends)
        tags = create_string_buffer(base.block_tags, len(base.block_tags))
        self._kept += [ends, tags]  # the library is given their addresses
        extent.base_ends, extent.base_count = ctypes.addressof(ends), len(base.ends)
        extent.base_block_tags = ctypes.addressof(tags)

    def _append(self, extent: ExtentStruct, base_tag: bytes | None) -> None:
        extent.has_base = base_tag is not None
        if base_tag is not None:
            ctypes.memmove(extent.base_tag, base_tag, TAG_BYTES)
        self._extents[self.count] = extent
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
        tags = bytes(extent.block_tags)[: -(-extent.length // BLOCK_BYTES) * TAG_BYTES]
        return ExtentResult(extent.status, bytes(extent.tag), tags, extent.read_bytes, refs)


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
