"""Sealed containers to bytes (native/src/reader.c)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ctypes import byref, c_char, c_int, c_uint32, create_string_buffer, string_at
from typing import NamedTuple, Protocol

from appliance.native.library import FRAME_MAX_BYTES, check, failure, lib, required

_ITEM = struct.Struct("<QiI32sQIi")


class Location(NamedTuple):
    """Where a chunk lies in its container."""

    ordinal: int
    frame: int
    offset: int
    length: int
    frame_length: int


class Directory:
    """The authenticated directory of one container."""

    def __init__(self, header: bytes, sealed: bytes, offset: int, container_key: bytes) -> None:
        """Raises IntegrityError unless it authenticates and follows the format."""
        error = c_int()
        handle = lib.hf_directory_open(
            header, sealed, len(sealed), offset, container_key, byref(error)
        )
        if not handle:
            raise failure(error.value, "container directory")
        self.handle: int = handle

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            lib.hf_directory_free(self.handle)

    @property
    def kind(self) -> int:
        """KIND_DATA or KIND_PAGE."""
        return int(lib.hf_directory_kind(self.handle))

    @property
    def level(self) -> int:
        """The compression level that the container was written with; 0 when it does not say."""
        return int(lib.hf_directory_level(self.handle))

    @property
    def chunks(self) -> int:
        """How many chunks the container holds."""
        return int(lib.hf_directory_chunks(self.handle))

    def ids(self) -> list[bytes]:
        """All chunk ids, by ordinal."""
        raw = self._raw_ids()
        return [raw[i : i + 32] for i in range(0, len(raw), 32)]

    def lengths(self) -> tuple[int, ...]:
        """All chunk lengths in bytes, by ordinal."""
        return self._numbers(lib.hf_directory_lengths(self.handle))

    def _raw_ids(self) -> bytes:
        return string_at(lib.hf_directory_ids(self.handle), 32 * self.chunks)

    def chunk_frames(self) -> tuple[int, ...]:
        """The number of the frame that each chunk lies in, by ordinal."""
        return self._numbers(lib.hf_directory_chunk_frames(self.handle))

    def _numbers(self, address: int) -> tuple[int, ...]:
        return struct.unpack(f"<{self.chunks}I", string_at(address, 4 * self.chunks))

    def split_frame(self, location: Location, frame: bytes) -> dict[bytes, bytes]:
        """The chunks of a decoded frame by id; `location` is that of one of them."""
        ordinal, offset = location.ordinal, location.offset
        ids, lengths = self._raw_ids(), self.lengths()
        while offset > 0:
            ordinal -= 1
            offset -= lengths[ordinal]
        chunks = {}
        while offset < len(frame):
            chunks[ids[32 * ordinal : 32 * ordinal + 32]] = frame[
                offset : offset + lengths[ordinal]
            ]
            offset += lengths[ordinal]
            ordinal += 1
        return chunks

    def frame_range(self, frame: int) -> tuple[int, int]:
        """(offset, length) of a frame in the file of its container."""
        offset, length = c_uint32(), c_uint32()
        check(lib.hf_directory_frame(self.handle, frame, byref(offset), byref(length)), "frame")
        return offset.value, length.value

    def base(self, frame: int) -> bytes | None:
        """The id of the chunk that a frame decodes with; None where it needs none."""
        base_id = create_string_buffer(32)
        return base_id.raw if lib.hf_directory_base(self.handle, frame, base_id) else None

    def bases(self) -> set[bytes]:
        """The ids of the chunks that some frame decodes with."""
        found = map(self.base, range(lib.hf_directory_frames(self.handle)))
        return {base_id for base_id in found if base_id is not None}

    def locate(self, chunk_id: bytes, ordinal: int) -> Location | None:
        """Where the chunk is, `ordinal` being a hint; None if it is not in this container."""
        place, frame, offset = c_uint32(ordinal), c_uint32(), c_uint32()
        length, frame_length = c_uint32(), c_uint32()
        code = lib.hf_directory_locate(
            self.handle,
            chunk_id,
            byref(place),
            byref(frame),
            byref(offset),
            byref(length),
            byref(frame_length),
        )
        if code < 0:
            return None
        return Location(place.value, frame.value, offset.value, length.value, frame_length.value)


class OpenContainer(Protocol):
    """A container as the reader needs it."""

    directory: Directory
    descriptor: int


class ReadItem(NamedTuple):
    """One chunk to read: from which container (kept open by this), and to where in the output."""

    container: OpenContainer
    ordinal: int
    chunk_id: bytes
    out_offset: int
    length: int


class Reader:
    """Decodes frames for one thread at a time; remembers the last few."""

    def __init__(self) -> None:
        self._handle = required(lib.hf_reader_new(), "reader")
        self._chunk = create_string_buffer(FRAME_MAX_BYTES)

    def __del__(self) -> None:
        if getattr(self, "_handle", 0):
            lib.hf_reader_free(self._handle)

    def read(self, items: Sequence[ReadItem], out: bytearray) -> list[int]:
        """Fill `out`; gives the numbers of the items that could not be read as promised."""
        raw = bytearray(_ITEM.size * len(items))
        for i, item in enumerate(items):
            _ITEM.pack_into(
                raw,
                i * _ITEM.size,
                item.container.directory.handle,
                item.container.descriptor,
                item.ordinal,
                item.chunk_id,
                item.out_offset,
                item.length,
                0,
            )
        array = (c_char * len(raw)).from_buffer(raw)
        target = (c_char * len(out)).from_buffer(out)
        failed = check(lib.hf_read(self._handle, array, len(items), target, len(out)), "reader")
        if failed == 0:
            return []
        return [i for i, fields in enumerate(_ITEM.iter_unpack(raw)) if fields[6] < 0]

    def read_chunk(
        self, directory: Directory, descriptor: int, chunk_id: bytes, ordinal: int
    ) -> bytes:
        """The chunk; `ordinal` is a hint. Raises IntegrityError if it is not there or damaged."""
        length = c_uint32()
        code = lib.hf_read_chunk(
            self._handle,
            directory.handle,
            descriptor,
            chunk_id,
            ordinal,
            self._chunk,
            FRAME_MAX_BYTES,
            byref(length),
        )
        check(code, "chunk")
        return string_at(self._chunk, length.value)

    def read_frame(self, directory: Directory, descriptor: int, frame: int, length: int) -> bytes:
        """The plain bytes of frame number `frame`. Raises IntegrityError if it is damaged."""
        out = create_string_buffer(length)
        code = lib.hf_read_frame(self._handle, directory.handle, descriptor, frame, out, length)
        check(code, f"frame {frame}")
        return out.raw

    def read_delta(
        self, directory: Directory, descriptor: int, frame: int, length: int, base: bytes
    ) -> bytes:
        """The chunk of a frame that has a base. Raises IntegrityError if it is damaged."""
        out = create_string_buffer(length)
        code = lib.hf_read_delta(
            self._handle, directory.handle, descriptor, frame, base, len(base), out, length
        )
        check(code, f"frame {frame}")
        return out.raw

    def verify(self, directory: Directory, descriptor: int, id_key: bytes) -> list[int]:
        """Decode and re-hash the whole container; gives the ordinals of damaged chunks."""
        bad = create_string_buffer(directory.chunks)
        check(lib.hf_verify(self._handle, directory.handle, descriptor, id_key, bad), "container")
        return [ordinal for ordinal, flag in enumerate(bad.raw) if flag]
