"""Pages of the extent map: bytes, shape of the tree, and everything that no page may say."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.errors import IntegrityError
from appliance.formats import page
from appliance.formats.page import BranchPage, Entry, LeafPage, Piece, Reference
from tests.formats.examples import (
    BRANCH,
    CONTAINER_A,
    ID_A,
    LEAF,
    assert_survives,
    leaf_of,
    read_golden,
)

ids = st.binary(min_size=32, max_size=32)
references = st.builds(
    Reference,
    ids,
    st.none() | st.sampled_from([b"A" * 32, b"B" * 32]) | ids,
    st.integers(0, 2**32 - 1),
)
pieces = st.builds(Piece, st.integers(1, 2**18), st.just(page.FLAG_DATA), references) | st.builds(
    Piece, st.integers(1, 2**18), st.sampled_from([page.FLAG_ZERO, page.FLAG_GAP]), st.none()
)
extent_bytes = page.EXTENT_BYTES


def entries(tag_bytes: int) -> st.SearchStrategy[Entry]:
    tags = st.binary(min_size=tag_bytes, max_size=tag_bytes)
    return st.builds(Entry, st.just(page.FLAG_DATA), references, tags) | st.just(
        Entry(page.FLAG_ZERO, None, bytes(tag_bytes))
    )


@given(st.lists(pieces, max_size=40))
def test_leaves_read_what_they_write(found: list[Piece]) -> None:
    leaf = leaf_of(*found)
    assert page.decode_leaf(page.encode(leaf), sum(piece.length for piece in found)) == leaf


@given(st.lists(pieces, max_size=40))
def test_references_into_the_own_container_are_given_with_its_name(found: list[Piece]) -> None:
    own = b"own container".ljust(32)
    named = page.decode_leaf(
        page.encode(leaf_of(*found)), sum(piece.length for piece in found), own
    )
    assert [piece.reference for piece in named.pieces] == [
        None
        if piece.reference is None
        else piece.reference._replace(container=piece.reference.container or own)
        for piece in found
    ]


@given(st.lists(entries(16), max_size=128))
def test_branches_of_level_1_read_what_they_write(found: list[Entry]) -> None:
    branch = BranchPage(1, tuple(found))
    assert page.decode_branch(page.encode(branch), 1, len(found)) == branch


@given(st.integers(2, 6), st.lists(entries(0), max_size=128))
def test_higher_branches_read_what_they_write(level: int, found: list[Entry]) -> None:
    branch = BranchPage(level, tuple(found))
    assert page.decode_branch(page.encode(branch), level, len(found)) == branch


def test_the_golden_pages_hold_the_examples() -> None:
    assert page.encode(LEAF) == read_golden("page-leaf.bin")
    assert page.encode(BRANCH) == read_golden("page-branch.bin")
    assert page.decode_leaf(read_golden("page-leaf.bin"), extent_bytes) == LEAF
    assert page.decode_branch(read_golden("page-branch.bin"), 1, 3) == BRANCH


def test_the_layout_is_that_of_the_format_page() -> None:
    pieces = Piece(9, 1, Reference(ID_A, CONTAINER_A, 5)), Piece(3, 2, None)
    leaf = LeafPage(pieces, b"T" * 16)
    assert page.encode(leaf) == b"".join(
        [
            b"HFPG\x02\x00",
            struct.pack("<HII", 1, 2, 0),
            CONTAINER_A,
            ID_A + bytes(32),
            struct.pack("<HH", 0, 0),
            struct.pack("<II", 5, 0),
            b"\x01\x02",
            struct.pack("<II", 9, 3),
            b"T" * 16,
        ]
    )


def test_a_container_used_twice_is_named_once() -> None:
    piece = Piece(1, 1, Reference(ID_A, CONTAINER_A, 5))
    assert page.encode(leaf_of(*[piece] * 9)).count(CONTAINER_A) == 1


@pytest.mark.parametrize(
    ("size_bytes", "extents", "level", "root_entries"),
    [
        (0, 0, 1, 0),
        (1, 1, 1, 1),
        (extent_bytes, 1, 1, 1),
        (extent_bytes + 1, 2, 1, 2),
        (128 * extent_bytes, 128, 1, 128),
        (128 * extent_bytes + 1, 129, 2, 2),
        (128**2 * extent_bytes, 128**2, 2, 128),
        (2**63 - 1, 2**41, 6, 64),
    ],
)
def test_the_tree_has_the_shape_of_the_format_page(
    size_bytes: int, extents: int, level: int, root_entries: int
) -> None:
    assert page.extent_count(size_bytes) == extents
    assert page.root_level(extents) == level
    assert page.entry_count(extents, level) == root_entries


LEAF_BYTES = page.encode(LEAF)
IDS_AT = 16 + 2 * 32
INDEXES_AT = IDS_AT + 5 * 32
ORDINALS_AT = INDEXES_AT + 5 * 2
FLAGS_AT = ORDINALS_AT + 5 * 4
LENGTHS_AT = FLAGS_AT + 5


@pytest.mark.parametrize(
    ("at", "value", "fault"),
    [
        (0, b"X", "header"),
        (4, b"\3", "version 3"),
        (5, b"\1", "level 1, not 0"),
        (6, b"\xff\xff", "do not fit"),
        (8, b"\xff\xff\xff\xff", "do not fit"),
        (12, b"\1", "header"),
        (IDS_AT + 32, b"\1", "zeros have a reference"),
        (INDEXES_AT, b"\2", "container index 2"),
        (INDEXES_AT + 2, b"\1", "zeros have a reference"),
        (ORDINALS_AT + 4, b"\1", "zeros have a reference"),
        (FLAGS_AT, b"\3", "flag"),
        (LENGTHS_AT, b"\0\0\0\0", "no length"),
        (LENGTHS_AT, b"\1", "the extent"),
    ],
)
def test_a_leaf_with_one_wrong_field_is_refused(at: int, value: bytes, fault: str) -> None:
    damaged = LEAF_BYTES[:at] + value + LEAF_BYTES[at + len(value) :]
    with pytest.raises(IntegrityError, match=fault):
        page.decode_leaf(damaged, extent_bytes)


@pytest.mark.parametrize("data", [b"", b"HFPG", LEAF_BYTES[:-1], LEAF_BYTES + b"\0"])
def test_a_leaf_of_another_length_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        page.decode_leaf(data, extent_bytes)


def test_no_table_may_reach_the_index_that_means_the_own_container() -> None:
    data = struct.pack("<4sBBHII", b"HFPG", 2, 1, 0xFFFF, 0, 0) + bytes(32 * 0xFFFF)
    with pytest.raises(IntegrityError, match="do not fit"):
        page.decode_branch(data, 1, 0)


def test_a_branch_must_be_what_the_tree_demands() -> None:
    data = page.encode(BRANCH)
    for level, count, fault in [(2, 3, "level 1, not 2"), (1, 2, "3 entries, not 2")]:
        with pytest.raises(IntegrityError, match=fault):
            page.decode_branch(data, level, count)
    with pytest.raises(IntegrityError, match="zeros has a tag"):
        page.decode_branch(data[:-17] + b"\1" + data[-16:], 1, 3)
    with pytest.raises(IntegrityError, match="flag"):
        page.decode_branch(data[:-49] + b"\2" + data[-48:], 1, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        leaf_of(Piece(0, 0, None)),
        leaf_of(Piece(-1, 0, None)),
        leaf_of(Piece(2**32, 0, None)),
        leaf_of(Piece(1, 1, None)),
        leaf_of(Piece(1, 0, Reference(ID_A, None, 0))),
        leaf_of(Piece(1, 3, None)),
        leaf_of(Piece(1, 1, Reference(b"", None, 0))),
        leaf_of(Piece(1, 1, Reference(ID_A, b"short", 0))),
        leaf_of(Piece(1, 1, Reference(ID_A, None, -1))),
        leaf_of(Piece(1, 1, Reference(ID_A, None, 2**32))),
        BranchPage(1, (Entry(0, None, b""),)),
        BranchPage(1, (Entry(0, None, b"T" * 16),)),
        BranchPage(1, (Entry(2, None, bytes(16)),)),
        BranchPage(2, (Entry(0, None, bytes(16)),)),
        replace(BRANCH, level=0),
        replace(BRANCH, level=256),
    ],
)
def test_an_impossible_page_is_not_written(wrong: LeafPage | BranchPage) -> None:
    with pytest.raises(IntegrityError):
        page.encode(wrong)


def test_mutated_pages_raise_nothing_but_our_errors(seed: int) -> None:
    assert_survives(lambda data: page.decode_leaf(data, extent_bytes), LEAF_BYTES, seed)
    assert_survives(lambda data: page.decode_branch(data, 1, 3), page.encode(BRANCH), seed)


def pieces_one_by_one(data: bytes, extent_length: int) -> list[Piece]:
    packed, found, at = page.PackedLeaf(data, extent_length), [], 0
    while at < extent_length:
        start, piece = packed.piece_at(at)
        assert start == at
        assert packed.piece_at(at + piece.length - 1) == (start, piece)
        found.append(piece)
        at += piece.length
    return found


@given(st.lists(pieces, max_size=40))
def test_a_packed_leaf_gives_the_same_pieces(found: list[Piece]) -> None:
    length = sum(piece.length for piece in found)
    assert pieces_one_by_one(page.encode(leaf_of(*found)), length) == found


def test_damage_of_a_packed_leaf_is_found_or_harms_its_piece_only(seed: int) -> None:
    """What is decoded piece by piece raises nothing else than what is decoded whole."""

    def unpack(data: bytes) -> list[Piece]:
        return pieces_one_by_one(data, extent_bytes)

    assert_survives(unpack, LEAF_BYTES, seed)
