"""The index through the Python door."""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.native import Index

NAME, OTHER = bytes(range(32)), bytes(range(1, 33))
CHUNK = bytes(range(100, 132))
PAGE_BYTES = 4096
GOLDEN_RUN = "f4942a4710d0f48a10b5d75b2a85a7c7102f837f970859c39054ea11d05ae6d1"


def write_run(index: Index, path: Path, first_run: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    index.write(first_run, descriptor)
    os.close(descriptor)


def add_run(index: Index, path: Path) -> int:
    with path.open("rb") as file:
        return index.add_run(file.fileno())


def test_a_chunk_is_found_where_it_was_claimed_first() -> None:
    index = Index()
    slot = index.open_slot()
    assert index.find(CHUNK) is None
    assert index.claim(CHUNK, slot, 5) == (slot, 5)
    assert index.claim(CHUNK, index.open_slot(), 6) == (slot, 5)
    assert index.find(CHUNK) == (slot, 5)
    assert index.pending() == 1


def test_a_slot_has_no_name_while_it_is_open_and_none_when_it_is_dead() -> None:
    index = Index()
    slot = index.open_slot()
    assert index.slot_name(slot) is None
    assert not index.knows(NAME)
    index.name_slot(slot, NAME)
    assert index.slot_name(slot) == NAME
    assert index.knows(NAME)
    assert index.slot_of(NAME) == slot
    index.kill_slot(slot)
    assert index.slot_name(slot) is None
    assert index.slot_name(4711) is None
    assert index.slot_count() == 1


def test_a_slot_is_named_once() -> None:
    index = Index()
    slot = index.open_slot()
    index.name_slot(slot, NAME)
    with pytest.raises(IntegrityError, match="index slot"):
        index.name_slot(slot, OTHER)
    with pytest.raises(IntegrityError, match="index slot"):
        index.name_slot(index.open_slot(), NAME)


def test_a_claim_for_a_slot_that_does_not_exist_is_refused() -> None:
    with pytest.raises(IntegrityError):
        Index().claim(CHUNK, 0, 0)


def test_a_run_gives_back_what_memory_held(tmp_path: Path) -> None:
    index = Index()
    index.claim(CHUNK, index.slot_of(NAME), 7)
    write_run(index, tmp_path / "run")
    with (tmp_path / "run").open("rb") as file:
        index.replace(0, file.fileno())
    assert (index.runs, index.run_entries(0), index.pending()) == (1, 1, 0)
    again = Index()
    assert add_run(again, tmp_path / "run") == 0
    assert again.find(CHUNK) == (again.slot_of(NAME), 7)
    assert again.run_entries(0) == 1
    assert again.run_entries(1) == again.run_entries(-1) == 0


@pytest.mark.parametrize("content", [b"", b"HFINDEX2", b"x" * 400, b"HFINDEX2" + b"\xff" * 24])
def test_a_malformed_run_is_an_integrity_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").write_bytes(content)
    with pytest.raises(IntegrityError, match="index run"):
        add_run(Index(), tmp_path / "run")


def test_a_directory_is_no_run(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(IntegrityError):
        Index().add_run(descriptor)
    os.close(descriptor)


def test_too_many_runs_are_an_error_but_no_damage(tmp_path: Path) -> None:
    index = Index()
    write_run(index, tmp_path / "run")
    for number in range(64):
        assert add_run(index, tmp_path / "run") == number
    with pytest.raises(HoldfastError, match="full") as caught:
        add_run(index, tmp_path / "run")
    assert not isinstance(caught.value, IntegrityError)


def test_a_full_disk_is_an_error_that_says_so() -> None:
    """Whoever holds the file's name turns it into NoSpaceError (durable.named_os_errors)."""
    index = Index()
    index.claim(CHUNK, index.slot_of(NAME), 7)
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space") as caught:
        index.write(0, descriptor)
    os.close(descriptor)
    assert caught.value.errno == errno.ENOSPC
    assert index.pending() == 1


def test_a_golden_run_holds(tmp_path: Path) -> None:
    """The layout of docs/format/index.md: head, pages, filter, marks, blocks, names."""
    index = Index()
    ids = sorted(
        hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(400)
    )
    names = [bytes([number]) * 32 for number in range(3)]
    for number, chunk_id in enumerate(ids):
        index.claim(chunk_id, index.slot_of(names[number % 3]), number)
    write_run(index, tmp_path / "run")
    data = (tmp_path / "run").read_bytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN_RUN
    entries, containers, tail = struct.unpack_from("<8xQQQ", data)
    assert (data[:8], entries, containers) == (b"HFINDEX2", 400, 3)
    for number, chunk_id in enumerate(ids):
        at = PAGE_BYTES * (1 + number // 170) + 24 * (number % 170)
        container, ordinal = struct.unpack_from("<II", data, at + 16)
        assert data[at : at + 16] == chunk_id[:16]
        assert (container, ordinal) == (number % 3, number)
    offset, _, length, starts, zero = struct.unpack_from("<QQIIQ", data, tail + 16)
    assert data[tail : tail + 16] == ids[0][:16]
    assert (offset, zero) == (PAGE_BYTES, 0)
    filter_pages = -(-(starts + 3) * length // PAGE_BYTES)
    assert tail == PAGE_BYTES * (1 + 3 + filter_pages)
    assert data[tail + 48 :] == b"".join(names)
