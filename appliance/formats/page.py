"""Pages of the extent map: docs/format/page.md.

Owns the bytes of one page and the shape of the tree. It never reads a page from a store, and does
not know whether a reference leads anywhere.

A restore decodes one page per 4 MiB, so arrays are read and written whole; named tuples instead
of dataclasses because making one costs a third.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from appliance.base.errors import IntegrityError

EXTENT_BYTES = 4 << 20
BLOCK_BYTES = 64 << 10
FANOUT = 128
FLAG_ZERO = 0
FLAG_DATA = 1
FLAG_GAP = 2
ID_BYTES = 32
TAG_BYTES = 16

_MAGIC = b"HFPG"
_VERSION = 2
_HEADER = struct.Struct("<4sBBHII")  # magic, version, level, K, N, zero
_OWN_CONTAINER = 0xFFFF
_ENTRY_BYTES = ID_BYTES + 2 + 4 + 1  # id, container index, ordinal, flag
_LENGTH_BYTES = 4
_NO_ID = bytes(ID_BYTES)


class Reference(NamedTuple):
    """Where a chunk lies. Without `container` it is the one that the page itself lies in."""

    chunk_id: bytes
    container: bytes | None
    ordinal: int


_NO_REFERENCE = Reference(_NO_ID, None, 0)


class Piece(NamedTuple):
    """A run of `length` bytes of an extent. There is a reference if and only if it is data."""

    length: int
    flag: int
    reference: Reference | None


class Entry(NamedTuple):
    """A subtree. `tag` is the extent tag (16 bytes) in a page of level 1, else empty."""

    flag: int
    reference: Reference | None
    tag: bytes


@dataclass(frozen=True)
class LeafPage:
    """Level 0: the pieces of one extent, in order.

    `block_tags` are the tags of its blocks, 16 bytes each; all zero when they are not known.
    """

    pieces: tuple[Piece, ...]
    block_tags: bytes


@dataclass(frozen=True)
class BranchPage:
    """Level 1 and above: up to 128 subtrees, in order."""

    level: int
    entries: tuple[Entry, ...]


class PackedLeaf:
    """A page of level 0 that is read piece by piece: small to keep and quick to open.

    A random read of a disk needs one piece of an extent, not the sixty that it has.
    """

    def __init__(self, data: bytes, extent_length: int) -> None:
        """Raises IntegrityError unless sizes and lengths are those of such a page."""
        more_bytes = TAG_BYTES * block_count(extent_length)
        self._names, self._count, tail_at = _check_header(data, 0, _LENGTH_BYTES, more_bytes)
        lengths = struct.unpack_from(f"<{self._count}I", data, tail_at)
        _check(0 not in lengths, "a piece has no length")
        self._ends = array("I", accumulate(lengths)) if sum(lengths) == extent_length else None
        _check(self._ends is not None, "its pieces do not fill the extent")
        self.data = data

    def piece_at(self, offset: int) -> tuple[int, Piece]:
        """(start, piece) of the piece that holds byte `offset` of the extent.

        Raises IntegrityError if the format does not allow what the page says of it.
        """
        assert self._ends is not None
        number = bisect_right(self._ends, offset)
        start = self._ends[number - 1] if number else 0
        length = self._ends[number] - start
        ids_at = _HEADER.size + ID_BYTES * self._names
        arrays_at = ids_at + ID_BYTES * self._count
        flag = self.data[arrays_at + 6 * self._count + number]
        if flag != FLAG_DATA:
            _check(flag <= FLAG_GAP, "a flag is unknown")
            return start, Piece(length, flag, None)
        chunk_id = self.data[ids_at + ID_BYTES * number : ids_at + ID_BYTES * (number + 1)]
        (index,) = struct.unpack_from("<H", self.data, arrays_at + 2 * number)
        (ordinal,) = struct.unpack_from("<I", self.data, arrays_at + 2 * self._count + 4 * number)
        container = None
        if index != _OWN_CONTAINER:
            _check(index < self._names, f"container index {index} is out of range")
            at = _HEADER.size + ID_BYTES * index
            container = self.data[at : at + ID_BYTES]
        return start, Piece(length, flag, Reference(chunk_id, container, ordinal))


def extent_count(size_bytes: int) -> int:
    """How many extents a disk of `size_bytes` has."""
    return -(-size_bytes // EXTENT_BYTES)


def block_count(length: int) -> int:
    """How many blocks `length` bytes of an extent have."""
    return -(-length // BLOCK_BYTES)


def root_level(extents: int) -> int:
    """The level of the root page of a disk of so many extents."""
    level = 1
    while FANOUT**level < extents:
        level += 1
    return level


def entry_count(extents: int, level: int) -> int:
    """How many entries a page of `level` (at least 1) has that covers so many extents."""
    return -(-extents // int(FANOUT ** (level - 1)))


def encode(page: LeafPage | BranchPage) -> bytes:
    """The bytes of `page`. Raises IntegrityError if no valid page says this."""
    if isinstance(page, LeafPage):
        lengths = [piece.length for piece in page.pieces]
        _check(all(0 < length <= EXTENT_BYTES for length in lengths), "a piece has no length")
        tags_bytes = TAG_BYTES * block_count(sum(lengths))
        _check(len(page.block_tags) == tags_bytes, "its block tags have the wrong length")
        tail = struct.pack(f"<{len(lengths)}I", *lengths) + page.block_tags
        return _encode(0, page.pieces, FLAG_GAP, tail)
    _check(1 <= page.level <= 0xFF, f"level {page.level} is no branch")
    _check_tags(page.entries, TAG_BYTES if page.level == 1 else 0)
    tail = b"".join(entry.tag for entry in page.entries)
    return _encode(page.level, page.entries, FLAG_DATA, tail)


def decode_leaf(data: bytes, extent_length: int, own: bytes | None = None) -> LeafPage:
    """The page of level 0 that describes an extent of `extent_length` bytes.

    `own`: the container that the page lies in, which references into it are then given with.
    Raises IntegrityError for anything that the format does not allow.
    """
    tags_bytes = TAG_BYTES * block_count(extent_length)
    flags, references, tail = _decode(data, 0, FLAG_GAP, (_LENGTH_BYTES, tags_bytes), own)
    lengths = struct.unpack_from(f"<{len(flags)}I", tail)
    _check(0 not in lengths, "a piece has no length")
    _check(
        sum(lengths) == extent_length,
        f"its pieces have {sum(lengths)} bytes, the extent {extent_length}",
    )
    pieces = tuple(map(Piece, lengths, flags, references))
    return LeafPage(pieces, tail[_LENGTH_BYTES * len(flags) :])


def decode_branch(data: bytes, level: int, entries: int, own: bytes | None = None) -> BranchPage:
    """The page of `level` (at least 1) with exactly so many entries; see `entry_count`.

    `own`: as in `decode_leaf`. Raises IntegrityError for anything that the format does not allow.
    """
    tag_bytes = TAG_BYTES if level == 1 else 0
    flags, references, tail = _decode(data, level, FLAG_DATA, (tag_bytes, 0), own)
    _check(len(flags) == entries, f"it has {len(flags)} entries, not {entries}")
    tags = [tail[at : at + tag_bytes] for at in range(0, tag_bytes * entries, tag_bytes or 1)]
    page = BranchPage(level, tuple(map(Entry, flags, references, tags or [b""] * entries)))
    _check_tags(page.entries, tag_bytes)
    return page


def _encode(level: int, entries: Sequence[Piece | Entry], highest_flag: int, tail: bytes) -> bytes:
    flags = [entry.flag for entry in entries]
    _check_flags(flags, highest_flag)
    is_data = [entry.reference is not None for entry in entries]
    _check(is_data == [flag == FLAG_DATA for flag in flags], "a flag contradicts its reference")
    # The key None is the page's own container, which has no place in the table.
    numbers: dict[bytes | None, int] = {None: _OWN_CONTAINER}
    ids, indexes, ordinals = [], [], []
    for entry in entries:
        chunk_id, container, ordinal = entry.reference or _NO_REFERENCE
        ids.append(chunk_id)
        ordinals.append(ordinal)
        indexes.append(numbers.setdefault(container, len(numbers) - 1) if entry.reference else 0)
    names = [name for name in numbers if name is not None]
    _check(len(names) < _OWN_CONTAINER, "there are too many containers")
    _check({*map(len, names), *map(len, ids)} <= {ID_BYTES}, "an id does not have 32 bytes")
    _check(
        0 <= min(ordinals, default=0) <= max(ordinals, default=0) <= 0xFFFFFFFF,
        "an ordinal is out of range",
    )
    count = len(entries)
    header = _HEADER.pack(_MAGIC, _VERSION, level, len(names), count, 0)
    arrays = struct.pack(f"<{count}H{count}I", *indexes, *ordinals)
    return b"".join((header, *names, *ids, arrays, bytes(flags), tail))


def _decode(
    data: bytes, level: int, highest_flag: int, tail_bytes: tuple[int, int], own: bytes | None
) -> tuple[bytes, list[Reference | None], bytes]:
    """The flags, references and the rest: so many bytes for each entry, and so many more."""
    names, count, tail_at = _check_header(data, level, *tail_bytes)
    ids_at = _HEADER.size + ID_BYTES * names
    arrays_at = ids_at + ID_BYTES * count
    table: dict[int, bytes | None] = dict(enumerate(_split(data, _HEADER.size, ids_at)))
    table[_OWN_CONTAINER] = own
    numbers = struct.unpack_from(f"<{count}H{count}I", data, arrays_at)
    flags = data[tail_at - count : tail_at]
    _check_flags(flags, highest_flag)
    fields = zip(flags, _split(data, ids_at, arrays_at), numbers, numbers[count:], strict=False)
    return flags, _references(table, fields), data[tail_at:]


def _check_header(
    data: bytes, level: int, tail_bytes: int, more_bytes: int
) -> tuple[int, int, int]:
    """(number of container names, number of entries, where the tail begins)."""
    _check(len(data) >= _HEADER.size, f"{len(data)} bytes are too short")
    magic, version, found_level, names, count, zero = _HEADER.unpack_from(data)
    _check(magic == _MAGIC and zero == 0, "the header is not that of a page")
    _check(version == _VERSION, f"version {version} is unknown")
    _check(found_level == level, f"it has level {found_level}, not {level}")
    tail_at = _HEADER.size + ID_BYTES * names + _ENTRY_BYTES * count
    _check(
        names < _OWN_CONTAINER and len(data) == tail_at + tail_bytes * count + more_bytes,
        f"{len(data)} bytes do not fit {names} containers and {count} entries",
    )
    return names, count, tail_at


def _references(
    table: dict[int, bytes | None], fields: Iterable[tuple[int, bytes, int, int]]
) -> list[Reference | None]:
    references: list[Reference | None] = []
    try:
        for flag, chunk_id, index, ordinal in fields:
            if flag == FLAG_DATA:
                references.append(Reference(chunk_id, table[index], ordinal))
            else:
                _check(not (index or ordinal) and chunk_id == _NO_ID, "zeros have a reference")
                references.append(None)
    except KeyError as error:
        raise IntegrityError(f"page: container index {error} is out of range") from None
    return references


def _split(data: bytes, start: int, end: int) -> list[bytes]:
    return [data[at : at + ID_BYTES] for at in range(start, end, ID_BYTES)]


def _check_flags(flags: Sequence[int], highest_flag: int) -> None:
    if flags:
        _check(min(flags) >= 0 and max(flags) <= highest_flag, "a flag is unknown")


def _check_tags(entries: Iterable[Entry], tag_bytes: int) -> None:
    no_tag = bytes(tag_bytes)
    for flag, _, tag in entries:
        _check(len(tag) == tag_bytes, "an extent tag has the wrong length")
        _check(flag == FLAG_DATA or tag == no_tag, "an extent of zeros has a tag")


def _check(is_valid: bool, fault: str) -> None:
    if not is_valid:
        raise IntegrityError(f"page: {fault}")
