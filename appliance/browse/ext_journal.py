"""The journal of ext3 and ext4 (jbd2): what was committed and not yet written back.

A disk copied while its machine ran has its newest metadata here. Nothing is written: the result
says which block of the journal holds the newest content of which block of the filesystem.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from appliance.base.errors import IntegrityError

MAGIC_BYTES = b"\xc0\x3b\x39\x98"
BLOCKS_MAX = 1 << 22
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_64BIT, _CHECKSUM_V2, _CHECKSUM_V3, _FAST_COMMIT = 0x2, 0x8, 0x10, 0x20
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_FAST_BLOCKS = 256
ReadBlock = Callable[[int], bytes]


@dataclass(frozen=True)
class Replay:
    """Block of the filesystem -> block of the journal. `escaped` ones began with the magic."""

    blocks: dict[int, int]
    escaped: frozenset[int]


class _Journal:
    def __init__(self, read: ReadBlock, count: int) -> None:
        head = read(0)
        if head[:4] != MAGIC_BYTES or count < 2:
            raise IntegrityError("the journal is damaged")
        self.read = read
        length, self.first, self.sequence, self.start = struct.unpack_from(">IIII", head, 16)
        self.features = struct.unpack_from(">I", head, 40)[0]
        self.end = min(length, count)
        if self.features & _FAST_COMMIT:
            self.end -= struct.unpack_from(">I", head, 84)[0] or _FAST_BLOCKS
        if not 1 <= self.first < self.end:
            raise IntegrityError("the journal is damaged")

    def after(self, at: int) -> int:
        """The block behind `at`, round the end."""
        return at + 1 if at + 1 < self.end else self.first

    def tags(self, raw: bytes) -> Iterator[tuple[int, bool]]:
        """Block numbers of a descriptor, and whether their content was escaped."""
        is_v3 = bool(self.features & _CHECKSUM_V3)
        size = 16 if is_v3 else 8
        if not is_v3:
            size += 2 if self.features & _CHECKSUM_V2 else 0
            size += 4 if self.features & _64BIT else 0
        at = 12
        while at + size <= len(raw):
            if is_v3:
                low, flags, high = struct.unpack_from(">III", raw, at)
            else:
                low, _, flags = struct.unpack_from(">IHH", raw, at)
                high = struct.unpack_from(">I", raw, at + 8)[0] if self.features & _64BIT else 0
            yield low | (high << 32 if self.features & _64BIT else 0), bool(flags & _ESCAPED)
            if flags & _LAST:
                return
            at += size + (0 if flags & _SAME_UUID else 16)

    def revoked(self, raw: bytes) -> Iterator[int]:
        """Block numbers of a revocation."""
        used = min(struct.unpack_from(">I", raw, 12)[0], len(raw))
        size = 8 if self.features & _64BIT else 4
        for at in range(16, used - size + 1, size):
            yield int.from_bytes(raw[at : at + size], "big")


def replay(read: ReadBlock, count: int) -> Replay:
    """What a journal of `count` blocks holds. Raises IntegrityError if it is damaged."""
    journal = _Journal(read, count)
    newest: dict[int, tuple[int, int, bool]] = {}  # block -> sequence, place, escaped
    revoked: dict[int, int] = {}
    sequence, at, left = journal.sequence, journal.start, journal.end
    written: list[tuple[int, int, bool]] = []
    gone: list[int] = []
    while journal.start and left > 0:
        raw = read(at)
        magic, kind, found = raw[:4], *struct.unpack_from(">II", raw, 4)
        if magic != MAGIC_BYTES or found != sequence:
            break
        at, left = journal.after(at), left - 1
        if kind == _DESCRIPTOR:
            for block, is_escaped in journal.tags(raw):
                written.append((block, at, is_escaped))
                at, left = journal.after(at), left - 1
        elif kind == _REVOKE:
            gone += journal.revoked(raw)
        elif kind == _COMMIT:
            newest |= {block: (sequence, place, escaped) for block, place, escaped in written}
            revoked |= dict.fromkeys(gone, sequence)
            written, gone = [], []
            sequence = (sequence + 1) & 0xFFFFFFFF
        else:
            break
    kept = {block: entry for block, entry in newest.items() if revoked.get(block, -1) < entry[0]}
    escaped = frozenset(block for block, entry in kept.items() if entry[2])
    return Replay({block: entry[1] for block, entry in kept.items()}, escaped)
