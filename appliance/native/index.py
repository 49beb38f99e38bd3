"""The in-memory side of the chunk index (native/src/index.c)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import byref, c_char, c_uint32, create_string_buffer, get_errno
from typing import NamedTuple

from appliance.native.library import E_IO, MemoryStruct, check, lib, required
from appliance.native.reading import Directory


class IndexMemory(NamedTuple):
    """What an index takes, in bytes; filters are pages of the runs' files, shared by processes."""

    filters: int
    marks: int
    table: int
    containers: int


class Index:
    """Chunk id -> (slot of a container, ordinal). Thread-safe for look-ups and claims."""

    def __init__(self) -> None:
        self.handle = required(lib.hf_index_new(), "index")
        self.runs = 0

    def __del__(self) -> None:
        if getattr(self, "handle", 0):
            lib.hf_index_free(self.handle)

    def add_run(self, descriptor: int) -> int:
        """Map the run file open as `descriptor`; gives its number. IntegrityError if malformed."""
        number = check(lib.hf_index_add_run(self.handle, descriptor), "index run")
        self.runs = number + 1
        return number

    def replace(self, first_run: int, descriptor: int) -> None:
        """Use the run just written by `write` instead of memory and the runs it was made of."""
        check(lib.hf_index_replace(self.handle, first_run, descriptor), "index run")
        self.runs = first_run + 1

    def knows(self, name: bytes) -> bool:
        """Whether the sealed container `name` was ever given a slot here."""
        return bool(lib.hf_index_knows(self.handle, name))

    def mark_known(self, names: Sequence[bytes], seen: bytearray) -> bytes:
        """Whether each of `names` has a slot, as bytes of 0 and 1; sets `seen` at those slots."""
        known = create_string_buffer(len(names) + 1)
        slots = (c_char * len(seen)).from_buffer(seen)
        lib.hf_index_mark_known(self.handle, b"".join(names), len(names), known, slots, len(seen))
        return known.raw[: len(names)]

    def is_damaged(self, run: int) -> bool:
        """Whether a page of run number `run` turned out to be unreadable or altered."""
        return bool(lib.hf_index_damaged(self.handle, run))

    def memory(self) -> IndexMemory:
        """What the index takes now."""
        memory = MemoryStruct()
        lib.hf_index_memory(self.handle, byref(memory))
        return IndexMemory(memory.filters, memory.marks, memory.table, memory.containers)

    def run_entries(self, run: int) -> int:
        """The number of entries of run number `run`."""
        return int(lib.hf_index_run_entries(self.handle, run))

    def slot_of(self, name: bytes) -> int:
        """The slot of the sealed container `name` (32 bytes)."""
        return check(lib.hf_index_slot_of(self.handle, name), "index")

    def open_slot(self) -> int:
        """A slot for a container that will be named when it is sealed."""
        return check(lib.hf_index_open_slot(self.handle), "index")

    def name_slot(self, slot: int, name: bytes) -> None:
        """Say that the container of `slot` is durable under `name` now."""
        check(lib.hf_index_name_slot(self.handle, slot, name), "index slot")

    def kill_slot(self, slot: int) -> None:
        """Count chunks of this container as unknown from now on."""
        lib.hf_index_kill_slot(self.handle, slot)

    def slot_name(self, slot: int) -> bytes | None:
        """The name of a sealed container, or None while it is open or once it is dead."""
        name = create_string_buffer(32)
        return name.raw if lib.hf_index_slot_name(self.handle, slot, name) == 0 else None

    def slot_count(self) -> int:
        """The number of slots given so far."""
        return int(lib.hf_index_slot_count(self.handle))

    def find(self, chunk_id: bytes) -> tuple[int, int] | None:
        """(slot, ordinal) of a chunk, or None."""
        slot, ordinal = c_uint32(), c_uint32()
        if lib.hf_index_find(self.handle, chunk_id, byref(slot), byref(ordinal)):
            return slot.value, ordinal.value
        return None

    def claim(self, chunk_id: bytes, slot: int, ordinal: int) -> tuple[int, int]:
        """Where the chunk is: where the index knows it, or else, from now on, where given."""
        slot_out, ordinal_out = c_uint32(slot), c_uint32(ordinal)
        check(
            lib.hf_index_claim(self.handle, chunk_id, byref(slot_out), byref(ordinal_out)), "index"
        )
        return slot_out.value, ordinal_out.value

    def learn(self, slot: int, directory: Directory) -> None:
        """Claim every chunk of a container for its slot."""
        ids = lib.hf_directory_ids(directory.handle)
        check(lib.hf_index_learn(self.handle, slot, ids, directory.chunks), "index")

    def pending(self) -> int:
        """The number of entries that are in memory only."""
        return int(lib.hf_index_pending(self.handle))

    def write(self, first_run: int, descriptor: int) -> None:
        """Write memory and the runs from `first_run` on as one sorted run, without dead slots.

        Others may look up and claim meanwhile. Raises OSError as writing does, IntegrityError when
        one of the runs is damaged; nothing is forgotten then.
        """
        code = lib.hf_index_write(self.handle, first_run, descriptor)
        if code == E_IO:
            raise OSError(get_errno(), os.strerror(get_errno()))
        check(code, "index run")
