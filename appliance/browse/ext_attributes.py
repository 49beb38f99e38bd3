"""Extended attributes of ext filesystems, in the inode and in their own block; ACLs too."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from appliance.base.errors import IntegrityError

_MAGIC = 0xEA020000
_PREFIXES = {
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
}
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_ACL_VERSION = 2  # as getxattr gives it
_NOBODY = 0xFFFFFFFF
LargeValue = Callable[[int, int], bytes]


def in_inode(raw: bytes, large_value: LargeValue) -> Iterator[tuple[str, bytes]]:
    """What is kept behind the fields of an inode."""
    yield from _converted(_parse_inode(raw, large_value))


def in_block(block: bytes, large_value: LargeValue) -> dict[str, bytes]:
    """What is kept in the block that an inode names."""
    if struct.unpack_from("<I", block, 0)[0] != _MAGIC:
        raise IntegrityError("a block of attributes is damaged")
    return dict(_converted(_parse(block, 32, 0, large_value)))


def raw_in_inode(raw: bytes) -> dict[str, bytes]:
    """The same as `in_inode`, values as they are: where the rest of inline data is."""
    return dict(_parse_inode(raw, lambda _number, _length: b""))


def _parse_inode(raw: bytes, large_value: LargeValue) -> Iterator[tuple[str, bytes]]:
    if len(raw) < 132:
        return
    start = 128 + struct.unpack_from("<H", raw, 128)[0]
    if start + 8 > len(raw) or struct.unpack_from("<I", raw, start)[0] != _MAGIC:
        return
    yield from _parse(raw, start + 4, start + 4, large_value)


def _parse(raw: bytes, at: int, base: int, large_value: LargeValue) -> Iterator[tuple[str, bytes]]:
    while at + 4 <= len(raw) and raw[at : at + 4] != bytes(4):
        if at + 16 > len(raw):
            raise IntegrityError("attributes are damaged")
        length, index, offset, number, size = struct.unpack_from("<BBHII", raw, at)
        name = raw[at + 16 : at + 16 + length]
        at += 16 + (length + 3 & ~3)
        prefix = _PREFIXES.get(index)
        if prefix is None:
            continue
        start = base + offset
        value = large_value(number, size) if number else raw[start : start + size]
        if len(value) != size and not number:
            raise IntegrityError("the value of an attribute lies outside")
        yield prefix + name.decode("utf-8", "surrogateescape"), value


def _converted(found: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    for name, value in found:
        yield name, _acl(value) if name in _ACLS else value


def _acl(value: bytes) -> bytes:
    """An ACL as it lies on the disk (short entries) in the form that getxattr gives."""
    out = bytearray(struct.pack("<I", _ACL_VERSION))
    at = 4
    while at + 4 <= len(value):
        tag, bits = struct.unpack_from("<HH", value, at)
        at += 4
        who = _NOBODY
        if tag in (2, 8):  # a user or a group with a number
            who = struct.unpack_from("<I", value, at)[0]
            at += 4
        out += struct.pack("<HHI", tag, bits, who)
    return bytes(out)
