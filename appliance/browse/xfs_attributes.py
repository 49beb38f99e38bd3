"""Extended attributes of XFS: in the inode, in leaves, in blocks of their own; ACLs too."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from appliance.base.errors import IntegrityError

if TYPE_CHECKING:
    from appliance.browse.xfs import Run, Xfs

_LOCAL, _ROOT, _SECURE, _PARENT, _INCOMPLETE = 1, 2, 4, 8, 0x80
_NODE_MAGICS = (0xFEBE, 0x3EBE)
_LEAF_MAGICS = (0xFBEE, 0x3BEE)
_VALUE_MAX_BYTES = 64 << 10
_LEAVES_MAX = 1 << 16
# Both kinds of block with foreign content begin so: attribute values and link targets.
_PAYLOAD_HEADER_BYTES = 56
_ACLS = {
    "trusted.SGI_ACL_FILE": "system.posix_acl_access",
    "trusted.SGI_ACL_DEFAULT": "system.posix_acl_default",
}
_ACL_VERSION = 2  # as getxattr gives it


def payload(raw: bytes) -> bytes:
    """What a block of version 5 holds behind its header."""
    if raw[:4] not in (b"XARM", b"XSLM"):
        raise IntegrityError("a block of an attribute or link is damaged")
    length = struct.unpack_from(">I", raw, 8)[0]
    return raw[_PAYLOAD_HEADER_BYTES : _PAYLOAD_HEADER_BYTES + length]


def short_attributes(raw: bytes) -> dict[str, bytes]:
    """Attributes that lie in the inode."""
    found: dict[str, bytes] = {}
    at = 4
    for _ in range(raw[2]):
        name_length, value_length, flags = raw[at], raw[at + 1], raw[at + 2]
        middle = at + 3 + name_length
        name, value = raw[at + 3 : middle], raw[middle : middle + value_length]
        at = middle + value_length
        if at > len(raw):
            raise IntegrityError("attributes are damaged")
        _add(found, name, flags, value)
    return found


def read_attributes(filesystem: Xfs, runs: Sequence[Run]) -> dict[str, bytes]:
    """Attributes that lie in blocks: the leaves from the leftmost on."""
    found: dict[str, bytes] = {}
    number, seen = 0, set[int]()
    while number not in seen and len(seen) < _LEAVES_MAX:
        seen.add(number)
        raw = _read(filesystem, runs, number)
        magic = struct.unpack_from(">H", raw, 8)[0]
        if magic in _NODE_MAGICS:
            number = struct.unpack_from(">I", raw, (64 if filesystem.is_v5 else 16) + 4)[0]
            continue
        if magic not in _LEAF_MAGICS:
            raise IntegrityError("attributes are damaged")
        for name, flags, value in _leaf(filesystem, runs, raw):
            _add(found, name, flags, value)
        number = struct.unpack_from(">I", raw, 0)[0]
        if number == 0:
            break
    return found


def _read(filesystem: Xfs, runs: Sequence[Run], number: int) -> bytes:
    for first, count, block in runs:
        if first <= number < first + count:
            return filesystem.read_blocks(block + number - first)
    raise IntegrityError("attributes are damaged")


def _leaf(filesystem: Xfs, runs: Sequence[Run], raw: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    start, header = (56, 80) if filesystem.is_v5 else (12, 32)
    count = struct.unpack_from(">H", raw, start)[0]
    for at in range(header, header + count * 8, 8):
        _, place, flags = struct.unpack_from(">IHB", raw, at)
        if flags & _LOCAL:
            size, length = struct.unpack_from(">HB", raw, place)
            middle = place + 3 + length
            yield raw[place + 3 : middle], flags, raw[middle : middle + size]
        elif not flags & _INCOMPLETE:
            block, size, length = struct.unpack_from(">IIB", raw, place)
            name = raw[place + 9 : place + 9 + length]
            yield name, flags, _remote(filesystem, runs, block, size)


def _remote(filesystem: Xfs, runs: Sequence[Run], block: int, size: int) -> bytes:
    if size > _VALUE_MAX_BYTES:
        raise IntegrityError("an attribute is larger than XFS allows")
    value = bytearray()
    while len(value) < size:
        raw = _read(filesystem, runs, block)
        part = payload(raw) if filesystem.is_v5 else raw
        if not part:
            raise IntegrityError("a block of an attribute is damaged")
        value += part
        block += 1
    return bytes(value[:size])


def _add(found: dict[str, bytes], name: bytes, flags: int, value: bytes) -> None:
    if flags & (_INCOMPLETE | _PARENT):
        return
    prefix = "trusted." if flags & _ROOT else "security." if flags & _SECURE else "user."
    full = prefix + name.decode("utf-8", "surrogateescape")
    if full in _ACLS:
        found[_ACLS[full]] = _acl(value)
    else:
        found[full] = value


def _acl(value: bytes) -> bytes:
    """An ACL as it lies on the disk in the form that getxattr gives."""
    count = min(struct.unpack_from(">I", value, 0)[0], (len(value) - 4) // 12)
    out = bytearray(struct.pack("<I", _ACL_VERSION))
    for at in range(4, 4 + count * 12, 12):
        tag, who, bits = struct.unpack_from(">IIH", value, at)
        # Only named users and groups have a number that means something.
        out += struct.pack("<HHI", tag, bits, who if tag in (2, 8) else 0xFFFFFFFF)
    return bytes(out)
