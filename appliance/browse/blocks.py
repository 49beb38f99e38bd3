"""The bytes of the disks as the confined reader sees them: asked for over the wire, cached.

Owns the cache of small reads, and volumes as ranges of disks. Never knows where bytes come from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse.wire import READ_MAX_BYTES, Frame, Line, pack_read

# Small enough that scattered metadata costs little, large enough that an inode table is few reads.
_UNIT_BYTES = 64 << 10
_CACHED_UNITS = 1024


class Disks:
    """Reads the disks of a point through the owner."""

    def __init__(self, line: Line, sizes_bytes: Sequence[int]) -> None:
        self._line = line
        self.sizes_bytes = tuple(sizes_bytes)
        self._cache: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._next = (-1, -1)

    def read(self, disk: int, offset: int, length: int) -> bytes:
        """Exactly so many bytes. Raises IntegrityError for a range outside, or damage."""
        if offset < 0 or length < 0 or offset + length > self.sizes_bytes[disk]:
            raise IntegrityError("something points outside its disk")
        first, last = offset // _UNIT_BYTES, (offset + max(length, 1) - 1) // _UNIT_BYTES
        if first == last:
            within = offset - first * _UNIT_BYTES
            return self._unit(disk, first)[within : within + length]
        parts = b"".join(self._unit(disk, number) for number in range(first, last + 1))
        within = offset - first * _UNIT_BYTES
        return parts[within : within + length]

    def _unit(self, disk: int, number: int) -> bytes:
        found = self._cache.get((disk, number))
        if found is not None:
            self._cache.move_to_end((disk, number))
            return found
        # Whoever reads on in order gets more at once.
        count = READ_MAX_BYTES // _UNIT_BYTES if (disk, number) == self._next else 1
        start = number * _UNIT_BYTES
        length = min(count * _UNIT_BYTES, self.sizes_bytes[disk] - start)
        try:
            data = self._ask(disk, start, length)
        except IntegrityError:
            if count == 1:
                raise
            length = min(_UNIT_BYTES, length)  # the damage may lie further on
            data = self._ask(disk, start, length)
        for at in range(0, length, _UNIT_BYTES):
            self._cache[disk, number + at // _UNIT_BYTES] = data[at : at + _UNIT_BYTES]
        self._next = (disk, number + -(-length // _UNIT_BYTES))
        while len(self._cache) > _CACHED_UNITS:
            self._cache.popitem(last=False)
        return self._cache[disk, number]

    def _ask(self, disk: int, offset: int, length: int) -> bytes:
        self._line.send(Frame.READ, pack_read(disk, offset, length))
        reply = self._line.receive()
        if reply is None:
            raise ConnectionError("the owner is gone")
        kind, data = reply
        if kind is Frame.UNREADABLE:
            raise IntegrityError(data.decode("utf-8", "replace"))
        if kind is not Frame.BLOCKS or len(data) != length:
            raise IntegrityError("the owner gave something else")
        return data


class Segment(NamedTuple):
    """`length` bytes of a volume, in stripes that go round `places`, each (disk, offset there)."""

    start: int
    length: int
    places: tuple[tuple[int, int], ...]
    stripe_bytes: int


class Volume:
    """A flat range of bytes put together from ranges of disks."""

    def __init__(self, disks: Disks, segments: Sequence[Segment]) -> None:
        self.disks = disks
        self._segments = tuple(segments)
        self.size_bytes = sum(segment.length for segment in segments)

    @classmethod
    def of_disk(cls, disks: Disks, disk: int) -> Volume:
        """A whole disk."""
        return cls(disks, [_plain(0, disks.sizes_bytes[disk], disk, 0)])

    def part(self, offset: int, length: int) -> Volume:
        """A range of this volume as one of its own. Raises IntegrityError if it sticks out."""
        if offset < 0 or length <= 0 or offset + length > self.size_bytes:
            raise IntegrityError("a partition lies outside its disk")
        if (offset, length) == (0, self.size_bytes):
            return self
        start, parts = 0, []
        for disk, at, count in self.locate(offset, length):
            parts.append(_plain(start, count, disk, at))
            start += count
        return Volume(self.disks, parts)

    def joined(self, others: Sequence[Volume]) -> Volume:
        """This volume and the others, one after the other."""
        start, parts = 0, []
        for volume in (self, *others):
            for segment in volume._segments:
                parts.append(segment._replace(start=start))
                start += segment.length
        return Volume(self.disks, parts)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. Raises IntegrityError outside, or where the disk is damaged."""
        pieces = [self.disks.read(*place) for place in self.locate(offset, length)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def locate(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Disk, offset there and length of each piece of a range."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise IntegrityError("something points outside its filesystem")
        end = offset + length
        for start, count, places, stripe_bytes in self._segments:
            low, high = max(offset, start), min(end, start + count)
            while low < high:
                stripe, within = divmod(low - start, stripe_bytes)
                turn, number = divmod(stripe, len(places))
                disk, at = places[number]
                piece = min(high - low, stripe_bytes - within)
                yield disk, at + turn * stripe_bytes + within, piece
                low += piece


def _plain(start: int, length: int, disk: int, at: int) -> Segment:
    return Segment(start, length, ((disk, at),), max(length, 1))
