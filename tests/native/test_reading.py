"""Directories and readers through the Python door: what is there, and what damage becomes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.native import KIND_DATA, KIND_PAGE, Index, Reader, Ref
from tests.native.containers import (
    ID_KEY,
    Sealed,
    open_ingester,
    open_sealed,
    open_writer,
    seal,
)

CHUNKS = tuple(random.Random(1).randbytes(size) for size in (1, 1000, 65536, 262144, 300000))


class Example:
    """A container of CHUNKS."""

    def __init__(self, path: Path, kind: int) -> None:
        index = Index()
        writer, ingester = open_writer(index, kind), open_ingester(index)
        refs = [ingester.ingest_chunk(writer, chunk) for chunk in CHUNKS]
        self.refs: list[Ref] = [ref for ref in refs if ref is not None]
        self.sealed: Sealed = seal(writer, path)


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    made = Example(tmp_path / "container", KIND_DATA)
    yield made
    made.sealed.close()


def test_a_directory_says_what_the_container_holds(example: Example) -> None:
    directory = example.sealed.directory
    assert directory.kind == KIND_DATA
    assert directory.chunks == len(CHUNKS)
    assert directory.ids() == [ref.chunk_id for ref in example.refs]
    assert directory.lengths() == tuple(map(len, CHUNKS))
    located = [directory.locate(one, ordinal) for ordinal, one in enumerate(directory.ids())]
    assert directory.chunk_frames() == tuple(one.frame for one in located if one is not None)


def test_a_container_of_pages_says_so(tmp_path: Path) -> None:
    made = Example(tmp_path / "pages", KIND_PAGE)
    assert made.sealed.directory.kind == KIND_PAGE
    made.sealed.close()


def test_all_chunks_are_read_in_one_call(example: Example) -> None:
    items, at = [], 0
    for ref in example.refs:
        items.append(example.sealed.item(ref, at))
        at += ref.length
    out = bytearray(at)
    assert Reader().read(items, out) == []
    assert out == b"".join(CHUNKS)


def test_reading_nothing_is_fine() -> None:
    assert Reader().read([], bytearray()) == []


def test_items_that_cannot_be_read_are_named_and_the_others_read(example: Example) -> None:
    good, strange, long, outside = map(example.sealed.item, [example.refs[1]] * 4)
    strange = strange._replace(chunk_id=bytes(32))
    long = long._replace(length=1001)
    outside = outside._replace(out_offset=1)
    out = bytearray(1000)
    assert Reader().read([strange, good, long, outside], out) == [0, 2, 3]
    assert out == CHUNKS[1]


def test_a_chunk_is_located_even_if_the_hint_is_wrong(example: Example) -> None:
    directory = example.sealed.directory
    right = directory.locate(example.refs[2].chunk_id, 2)
    assert right is not None
    assert right.ordinal == 2
    assert directory.locate(example.refs[2].chunk_id, 2**32 - 1) == right
    assert directory.locate(bytes(32), 0) is None


def test_a_frame_is_split_into_its_chunks(example: Example) -> None:
    directory, reader = example.sealed.directory, Reader()
    for ordinal, ref in enumerate(example.refs):
        location = directory.locate(ref.chunk_id, ordinal)
        assert location is not None
        frame = reader.read_frame(
            directory, example.sealed.descriptor, location.frame, location.frame_length
        )
        assert frame[location.offset : location.offset + location.length] == CHUNKS[ordinal]
        assert directory.split_frame(location, frame)[ref.chunk_id] == CHUNKS[ordinal]


def test_a_frame_that_does_not_exist_is_an_error(example: Example) -> None:
    with pytest.raises(HoldfastError):
        Reader().read_frame(example.sealed.directory, example.sealed.descriptor, 99, 1000)


def test_a_flipped_byte_is_named_by_verification_and_by_reading(example: Example) -> None:
    sealed = example.sealed
    assert Reader().verify(sealed.directory, sealed.descriptor, ID_KEY) == []
    data = bytearray(sealed.path.read_bytes())
    data[100] ^= 1
    sealed.path.write_bytes(data)
    bad = Reader().verify(sealed.directory, sealed.descriptor, ID_KEY)
    assert bad
    assert len(bad) < len(CHUNKS)
    out = bytearray(max(map(len, CHUNKS)))
    for ordinal, ref in enumerate(example.refs):
        assert Reader().read([sealed.item(ref)], out) == ([0] if ordinal in bad else [])
    with pytest.raises(IntegrityError, match="does not authenticate"):
        Reader().read_frame(sealed.directory, sealed.descriptor, 0, 1 << 20)


def test_another_id_key_makes_every_chunk_damaged(example: Example) -> None:
    bad = Reader().verify(example.sealed.directory, example.sealed.descriptor, b"k" * 32)
    assert bad == list(range(len(CHUNKS)))


def test_a_cut_file_is_damage(example: Example) -> None:
    example.sealed.path.write_bytes(example.sealed.path.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match="ends too early"):
        Reader().read_frame(example.sealed.directory, example.sealed.descriptor, 0, 1 << 20)


def test_a_wrong_key_or_a_damaged_directory_is_an_integrity_error(example: Example) -> None:
    with pytest.raises(IntegrityError, match="container directory"):
        open_sealed(b"", example.sealed.path, b"x" * 32)
    data = bytearray(example.sealed.path.read_bytes())
    data[-60] ^= 1
    example.sealed.path.write_bytes(data)
    with pytest.raises(IntegrityError, match="container directory"):
        open_sealed(b"", example.sealed.path)
