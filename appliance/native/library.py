"""Loads libholdfast.so and declares its functions (native/include/holdfast.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError, IntegrityError

EXTENT_BYTES = 4 << 20
BLOCK_BYTES = 64 << 10
EXTENT_BLOCKS = EXTENT_BYTES // BLOCK_BYTES
TAG_BYTES = 16
CONTAINER_MAX_BYTES = 32 << 20
FRAME_MAX_BYTES = 1 << 20
CHUNK_MIN_BYTES = 16 << 10
CHUNK_MAX_BYTES = 256 << 10
HEADER_BYTES = 64
TRAILER_BYTES = 32
KIND_DATA = 1
KIND_PAGE = 2
KIND_DELTA = 3
FEATURES = 6

OK = 0
E_IO = -5
E_FULL = -8
_MESSAGES = {
    -1: "out of memory",
    -2: "the crypto or compression library failed",
    -3: "does not authenticate",
    -4: "does not follow the format",
    -5: "cannot be read",
    -6: "ends too early",
    -7: "holds another chunk there",
    -8: "is full",
    -9: "decodes with its base only",
}
_DAMAGE = {-3, -4, -5, -6, -7, -9}


def failure(code: int, what: str) -> HoldfastError:
    """The error for result `code` of the library, naming `what`."""
    message = f"{what}: {_MESSAGES.get(code, f'error {code}')}"
    return IntegrityError(message) if code in _DAMAGE else HoldfastError(message)


def check(code: int, what: str) -> int:
    """Give `code` back, or raise what it stands for if it is negative."""
    if code < 0:
        raise failure(code, what)
    return code


class ExtentStruct(ctypes.Structure):
    """hf_extent."""

    _fields_ = (
        ("offset", c_uint64),
        ("disk_offset", c_uint64),
        ("length", c_uint32),
        ("fd", c_int),
        ("loaded", c_uint64),
        ("tagged", c_uint64),
        ("base_block_tags", c_void_p),
        ("base_ends", c_void_p),
        ("base_count", c_uint32),
        ("has_base", c_uint32),
        ("base_tag", ctypes.c_uint8 * TAG_BYTES),
        ("tag", ctypes.c_uint8 * TAG_BYTES),
        ("status", c_uint32),
        ("first_ref", c_uint32),
        ("ref_count", c_uint32),
        ("read_bytes", c_uint32),
        ("block_tags", ctypes.c_uint8 * (TAG_BYTES * EXTENT_BLOCKS)),
    )


class StatsStruct(ctypes.Structure):
    """hf_stats."""

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            "tag_ns",
            "cut_ns",
            "fingerprint_ns",
            "lookup_ns",
            "compress_ns",
            "seal_ns",
            "new_bytes",
            "new_chunks",
            "known_chunks",
            "reused_chunks",
        )
    )


class MemoryStruct(ctypes.Structure):
    """hf_memory."""

    _fields_ = tuple((name, c_uint64) for name in ("filters", "marks", "table", "containers"))


_U32P = POINTER(c_uint32)
_FUNCTIONS: dict[str, tuple[object, list[object]]] = {
    "hf_index_new": (c_void_p, []),
    "hf_index_free": (None, [c_void_p]),
    "hf_index_add_run": (c_int, [c_void_p, c_int]),
    "hf_index_replace": (c_int, [c_void_p, c_int, c_int]),
    "hf_index_knows": (c_int, [c_void_p, c_char_p]),
    "hf_index_run_entries": (c_uint64, [c_void_p, c_int]),
    "hf_index_slot_of": (c_int64, [c_void_p, c_char_p]),
    "hf_index_open_slot": (c_int64, [c_void_p]),
    "hf_index_name_slot": (c_int, [c_void_p, c_uint32, c_char_p]),
    "hf_index_kill_slot": (None, [c_void_p, c_uint32]),
    "hf_index_slot_name": (c_int, [c_void_p, c_uint32, c_char_p]),
    "hf_index_slot_count": (c_uint32, [c_void_p]),
    "hf_index_find": (c_int, [c_void_p, c_char_p, _U32P, _U32P]),
    "hf_index_claim": (c_int, [c_void_p, c_char_p, _U32P, _U32P]),
    "hf_index_pending": (c_uint64, [c_void_p]),
    "hf_index_write": (c_int, [c_void_p, c_int, c_int]),
    "hf_index_learn": (c_int, [c_void_p, c_uint32, c_void_p, c_uint32]),
    "hf_index_mark_known": (None, [c_void_p, c_char_p, c_uint32, c_char_p, c_void_p, c_uint32]),
    "hf_index_damaged": (c_int, [c_void_p, c_int]),
    "hf_index_memory": (None, [c_void_p, POINTER(MemoryStruct)]),
    "hf_writer_new": (c_void_p, [c_int, c_char_p, c_char_p, c_uint32, c_int]),
    "hf_writer_free": (None, [c_void_p]),
    "hf_writer_chunks": (c_uint32, [c_void_p]),
    "hf_writer_has_room": (c_int, [c_void_p, c_size_t]),
    "hf_writer_finish": (c_int, [c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_size_t)]),
    "hf_writer_put": (c_int, [c_void_p, c_char_p, c_char_p, c_uint32]),
    "hf_writer_put_delta": (
        c_int,
        [c_void_p, c_char_p, c_uint32, c_char_p, c_char_p, c_uint32],
    ),
    "hf_delta_new": (c_void_p, [c_char_p, c_int]),
    "hf_delta_free": (None, [c_void_p]),
    "hf_delta_sketch": (None, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "hf_delta_pack": (
        c_int,
        [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, c_char_p, c_size_t],
    ),
    "hf_ingester_new": (c_void_p, [c_void_p, c_char_p, c_char_p, c_char_p]),
    "hf_ingester_free": (None, [c_void_p]),
    "hf_ingester_stats": (None, [c_void_p, POINTER(StatsStruct)]),
    "hf_ingest": (
        c_int,
        [c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_uint32, _U32P],
    ),
    "hf_ingest_chunk": (c_int, [c_void_p, c_void_p, c_void_p, c_uint32, c_void_p]),
    "hf_cut": (c_int, [c_char_p, c_void_p, c_size_t, _U32P, c_int]),
    "hf_confine": (c_int, []),
    "hf_kernels": (c_int, [c_char_p, c_size_t]),
    "hf_directory_open": (
        c_void_p,
        [c_char_p, c_char_p, c_size_t, c_uint64, c_char_p, POINTER(c_int)],
    ),
    "hf_directory_free": (None, [c_void_p]),
    "hf_directory_kind": (c_int, [c_void_p]),
    "hf_directory_level": (c_int, [c_void_p]),
    "hf_directory_chunks": (c_uint32, [c_void_p]),
    "hf_directory_frames": (c_uint32, [c_void_p]),
    "hf_directory_ids": (c_void_p, [c_void_p]),
    "hf_directory_lengths": (c_void_p, [c_void_p]),
    "hf_directory_chunk_frames": (c_void_p, [c_void_p]),
    "hf_directory_frame": (c_int, [c_void_p, c_uint32, _U32P, _U32P]),
    "hf_directory_base": (c_int, [c_void_p, c_uint32, c_char_p]),
    "hf_directory_locate": (c_int, [c_void_p, c_char_p, _U32P, _U32P, _U32P, _U32P, _U32P]),
    "hf_reader_new": (c_void_p, []),
    "hf_reader_free": (None, [c_void_p]),
    "hf_read_chunk": (
        c_int,
        [c_void_p, c_void_p, c_int, c_char_p, c_uint32, c_void_p, c_size_t, _U32P],
    ),
    "hf_read_frame": (c_int, [c_void_p, c_void_p, c_int, c_uint32, c_void_p, c_size_t]),
    "hf_read_delta": (
        c_int,
        [c_void_p, c_void_p, c_int, c_uint32, c_char_p, c_size_t, c_void_p, c_size_t],
    ),
    "hf_read": (c_int, [c_void_p, c_void_p, c_int, c_void_p, c_size_t]),
    "hf_verify": (c_int, [c_void_p, c_void_p, c_int, c_char_p, c_char_p]),
}


class Library:
    """The functions of the C library, which is loaded when the first of them is called.

    Whoever only wants to know how a command is used needs none, and where it cannot be loaded the
    command says so as it says everything else. Calls raise HoldfastError then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Callable[..., Any]:
        vars(self).update(_load(self._path))
        try:
            function: Callable[..., Any] = vars(self)[name]
        except KeyError:
            raise AttributeError(name) from None
        return function


def _load(path: Path) -> dict[str, Callable[..., Any]]:
    try:
        library = ctypes.CDLL(str(path), use_errno=True)
    except OSError as error:
        raise HoldfastError(f"{path} cannot be loaded ({error}): run 'make setup'") from error
    functions = {}
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise HoldfastError(
                f"{path} is of another version than this program: run 'make -C native'"
            ) from error
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    return functions


lib = Library(Path(__file__).with_name("libholdfast.so"))


def required(handle: int | None, what: str) -> int:
    """A handle that must exist. Raises HoldfastError when memory ran out."""
    if not handle:
        raise HoldfastError(f"{what}: out of memory")
    return handle


def kernels() -> str:
    """The fast kernels in use, comma-separated, or "scalar"; "; wrong: ..." names rejected ones.

    Environment variable HOLDFAST_KERNELS holds the choice to such a list, or to "scalar". It is
    read once in a process.
    """
    text = ctypes.create_string_buffer(128)
    lib.hf_kernels(text, len(text))
    return text.value.decode()


def confine_process() -> None:
    """From now on compute, and use the descriptors there are; for ever.

    Nothing can be opened, connected or started, and no memory becomes executable. Raises
    HoldfastError if the kernel cannot do that.
    """
    if lib.hf_confine() != OK:
        raise HoldfastError("the kernel has no seccomp filters, so nothing hostile can be parsed")
