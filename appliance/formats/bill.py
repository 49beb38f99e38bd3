"""Bills: what one point needs of a vault (docs/format/vault.md, "Bill").

Owns the bytes of a bill and of its strays. It never seals: `appliance.keys` does.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import zstandard

from appliance.base.errors import IntegrityError
from appliance.formats.vault_names import HashedKey, Kind, object_key

BILL_MAX_BYTES = 512 << 20
STRAYS_MAX_BYTES = 256 << 20
NEEDED_KINDS: tuple[Kind, ...] = ("containers", "deltas")

_HEADER = struct.Struct("<8sH6s32sII8s")
_MAGIC = b"HFBILL01"
_VERSION = 1
_NAME_BYTES = 32
_STRAY = struct.Struct("<32sII")
WHOLE = 0xFFFFFFFF
"""The ordinal of a stray that names a container: what was in it lies there, found by id."""


class Need(NamedTuple):
    """An object that a point needs."""

    name: bytes
    size_bytes: int
    kind: Kind = "containers"

    @property
    def key(self) -> str:
        """Where it lies in the vault."""
        return object_key(self.kind, self.name)


class Stray(NamedTuple):
    """Where a chunk lies whose hint does not serve: which of the bill's needs, and ordinal.

    With the ordinal `WHOLE` it is a container of which all chunks that the point needs, and that
    have no stray of their own, lie there.
    """

    chunk_id: bytes
    need: int
    ordinal: int


@dataclass(frozen=True)
class Bill:
    """What a point needs, by rising name. `strays` is sealed, empty without any."""

    point: bytes
    needs: tuple[Need, ...]
    strays: bytes = b""

    @property
    def point_key(self) -> HashedKey:
        """Where the point's file lies."""
        return HashedKey("points", self.point)

    @property
    def place(self) -> str:
        """What the strays are sealed to."""
        return f"strays/{self.point.hex()}"


def encode_bill(bill: Bill) -> bytes:
    """The whole object. The needs must rise."""
    needs = bill.needs
    return b"".join(
        (
            _HEADER.pack(_MAGIC, _VERSION, b"", bill.point, len(needs), len(bill.strays), b""),
            *(need.name for need in needs),
            struct.pack(f"<{len(needs)}I", *(need.size_bytes for need in needs)),
            bytes(NEEDED_KINDS.index(need.kind) for need in needs),
            bill.strays,
        )
    )


def decode_bill(data: bytes) -> Bill:
    """Read what `encode_bill` wrote. Raises IntegrityError."""
    if not _HEADER.size <= len(data) <= BILL_MAX_BYTES:
        raise IntegrityError(f"bill: an impossible size of {len(data)} bytes")
    magic, version, zero, point, count, strays_bytes, rest = _HEADER.unpack_from(data)
    if magic != _MAGIC or any(zero) or any(rest):
        raise IntegrityError("bill: the header is not that of a bill")
    if version != _VERSION:
        raise IntegrityError(f"bill: version {version} is unknown")
    names_at = _HEADER.size
    sizes_at = names_at + _NAME_BYTES * count
    kinds_at = sizes_at + 4 * count
    strays_at = kinds_at + count
    if strays_at + strays_bytes != len(data):
        raise IntegrityError("bill: its counts do not add up to its length")
    names = [data[at : at + _NAME_BYTES] for at in range(names_at, sizes_at, _NAME_BYTES)]
    sizes = struct.unpack_from(f"<{count}I", data, sizes_at)
    kinds = data[kinds_at:strays_at]
    if not _rise(names):
        raise IntegrityError("bill: its names do not rise")
    if not all(sizes) or any(kind >= len(NEEDED_KINDS) for kind in kinds):
        raise IntegrityError("bill: a size or a kind is none")
    needs = tuple(
        Need(name, size, NEEDED_KINDS[kind])
        for name, size, kind in zip(names, sizes, kinds, strict=True)
    )
    return Bill(bytes(point), needs, data[strays_at:])


def encode_strays(strays: Iterable[Stray]) -> bytes:
    """The plaintext of the strays, which must rise."""
    plain = b"".join(_STRAY.pack(*stray) for stray in strays)
    return zstandard.ZstdCompressor(level=3, write_content_size=True).compress(plain)


def decode_strays(data: bytes, needs: int) -> Iterator[Stray]:
    """Read what `encode_strays` wrote for a bill of so many needs. Raises IntegrityError."""
    try:
        size_bytes = zstandard.frame_content_size(data)
        if not 0 <= size_bytes <= STRAYS_MAX_BYTES or size_bytes % _STRAY.size:
            raise IntegrityError("strays: they state no possible size")
        plain = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("strays: they do not decompress") from error
    strays = [Stray(*entry) for entry in _STRAY.iter_unpack(plain)]
    if not _rise([stray.chunk_id for stray in strays]) or any(
        stray.need >= needs for stray in strays
    ):
        raise IntegrityError("strays: they do not rise, or name no object of the bill")
    yield from strays


def _rise(names: Sequence[bytes]) -> bool:
    return all(low < high for low, high in itertools.pairwise(names))
