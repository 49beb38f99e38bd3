"""What a file of a foreign filesystem is: the one shape that every reader gives.

Owns the shapes and how they travel between the confined process and the one that asked. Never
reads anything. Names and link targets are bytes as the filesystem has them, carried as text with
`surrogateescape`.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from appliance.base.errors import IntegrityError

# A name may not be any of these anywhere, whatever a filesystem says.
_RESERVED = ("", ".", "..")


class Extent(NamedTuple):
    """Bytes of a file that lie on the volume as they are; what no extent covers is zeros."""

    offset: int
    length: int
    at: int


@dataclass(frozen=True)
class Node:
    """What `stat` would say. `number` is its identity within its filesystem, times are in ns."""

    number: int
    mode: int
    uid: int
    gid: int
    links: int
    size_bytes: int
    mtime_ns: int
    atime_ns: int
    ctime_ns: int
    birth_ns: int | None = None
    device: tuple[int, int] | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it has entries."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it has content."""
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it points elsewhere."""
        return stat.S_ISLNK(self.mode)

    @property
    def kind(self) -> str:
        """The word for what it is."""
        return _KINDS.get(stat.S_IFMT(self.mode), "unknown")

    def to_wire(self) -> list[Any]:
        """As a list for JSON."""
        return [
            *(self.number, self.mode, self.uid, self.gid, self.links, self.size_bytes),
            *(self.mtime_ns, self.atime_ns, self.ctime_ns, self.birth_ns, self.device),
        ]

    @classmethod
    def from_wire(cls, value: object) -> Node:
        """The other way. Raises IntegrityError if it is none: it comes from a hostile place."""
        if not isinstance(value, list) or len(value) != 11:
            raise IntegrityError("the reader answered with something that is no file")
        *numbers, birth_ns, device = value
        if not all(type(number) is int for number in numbers):
            raise IntegrityError("the reader answered with a file without numbers")
        if birth_ns is not None and type(birth_ns) is not int:
            raise IntegrityError("the reader answered with a file without a time")
        number, mode, uid, gid, links, size, mtime_ns, atime_ns, ctime_ns = numbers
        limits = ((number, 64), (mode, 16), (uid, 32), (gid, 32), (links, 32), (size, 63))
        if not all(0 <= value < 1 << bits for value, bits in limits):
            raise IntegrityError("the filesystem is damaged: a file with impossible numbers")
        stamps = (mtime_ns, atime_ns, ctime_ns)
        if not all(abs(stamp) < 1 << 80 for stamp in stamps):
            raise IntegrityError("the filesystem is damaged: a file of an impossible time")
        return cls(number, mode, uid, gid, links, size, *stamps, birth_ns, _device(device))


def _device(value: object) -> tuple[int, int] | None:
    match value:
        case None:
            return None
        case [int(major), int(minor)] if 0 <= major < 1 << 14 and 0 <= minor < 1 << 20:
            return major, minor
    raise IntegrityError("the reader answered with a device without a number")


_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}


class Filesystem(Protocol):
    """One filesystem. Every method may raise IntegrityError, or anything at all: it is confined."""

    kind: str
    label: str
    note: str
    is_case_blind: bool
    root: int

    def node(self, number: int) -> Node:
        """The file with this number."""

    def entries(self, number: int) -> Iterable[tuple[bytes, int]]:
        """Names and numbers in a directory, without `.` and `..`."""

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies, in rising order; None if only `content` can tell."""

    def content(self, number: int) -> Iterator[bytes]:
        """The content in pieces, where `extents` gives None."""

    def link_target(self, number: int) -> bytes:
        """Where a link points to."""

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """Extended attributes as Linux names them, ACLs among them."""


def is_safe_name(name: str) -> bool:
    """Whether a name can be a name at all: not empty, no `.` or `..`, no slash, no zero."""
    return name not in _RESERVED and "/" not in name and "\0" not in name


def text_of(name: bytes) -> str:
    """A name as text that can be turned back."""
    return name.decode("utf-8", "surrogateescape")
