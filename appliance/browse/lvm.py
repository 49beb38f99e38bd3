"""LVM2: logical volumes put together from physical ones, by the newest text of their metadata.

Linear, striped and mirrored volumes are read; of mirrors the first image. Thin volumes, caches and
parity RAID are named, not read. Follows lvm2's own format headers (lib/format_text/layout.h).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Segment, Volume

_SECTOR = 512
_AREA_MAGIC = b" LVM2 x[5A%r0N*>"
_TEXT_MAX_BYTES = 4 << 20
_DEPTH_MAX = 16
_SEGMENTS_MAX = 1 << 16
_MIRRORS = ("raid1", "mirror")
_TOKEN = re.compile(
    r'\s+|#[^\n]*|(?P<string>"(?:\\.|[^"\\])*")|(?P<number>-?\d+(?:\.\d+)?)'
    r"|(?P<name>[A-Za-z0-9_.+-]+)|(?P<mark>[{}=\[\],])"
)


class Physical(NamedTuple):
    """A physical volume: its identity, where it lies, and the text of its group."""

    uuid: str
    volume: Volume
    text: str


class Logical(NamedTuple):
    """A logical volume, or why there is none."""

    group: str
    name: str
    disk: int
    volume: Volume | None
    trouble: str


def read_physical(volume: Volume) -> Physical | None:
    """The physical volume that this is, or None. Raises IntegrityError if it is damaged."""
    head = volume.read(0, min(4 * _SECTOR, volume.size_bytes))
    for at in range(0, len(head) - _SECTOR + 1, _SECTOR):
        if head[at : at + 8] == b"LABELONE" and head[at + 24 : at + 32] == b"LVM2 001":
            start = at + struct.unpack_from("<I", head, at + 20)[0]
            return _parse_physical(volume, head, start)
    return None


def _parse_physical(volume: Volume, head: bytes, at: int) -> Physical:
    uuid = head[at : at + 32].decode("ascii", "replace")
    at += 40
    lists: list[list[tuple[int, int]]] = []
    while len(lists) < 2 and at + 16 <= len(head):
        found = []
        while at + 16 <= len(head):
            place = struct.unpack_from("<QQ", head, at)
            at += 16
            if place[0] == 0:
                break
            found.append(place)
        lists.append(found)
    texts = [_read_area(volume, offset) for offset, _ in (lists[1] if len(lists) > 1 else [])]
    # The one with the highest number is the newest.
    return Physical(uuid, volume, max(texts, key=_sequence, default=""))


def _read_area(volume: Volume, start: int) -> str:
    raw = volume.read(start, _SECTOR)
    if raw[4:20] != _AREA_MAGIC:
        raise IntegrityError("the metadata of LVM is damaged")
    size = struct.unpack_from("<Q", raw, 32)[0]
    offset, length = struct.unpack_from("<QQ", raw, 40)
    if not (length <= _TEXT_MAX_BYTES and _SECTOR <= offset < size):
        return ""
    first = min(length, size - offset)
    text = volume.read(start + offset, first)
    if first < length:  # round the end, past the header
        text += volume.read(start + _SECTOR, length - first)
    return text.rstrip(b"\0").decode("utf-8", "replace")


def _sequence(text: str) -> int:
    found = re.search(r"\bseqno\s*=\s*(\d{1,9})\b", text)
    return int(found[1]) if found else -1


# ---- the text ----


def parse_text(text: str) -> dict[str, Any]:
    """The sections and values of a text of metadata. Raises IntegrityError if it is none."""
    tokens = _tokens(text)
    value, _ = _section(tokens, 0, 0)
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise IntegrityError("the metadata of LVM is no text we know")
        at = match.end()
        if match.lastgroup is not None:
            found.append((match.lastgroup, match[0]))
    return found


def _section(tokens: Sequence[tuple[str, str]], at: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > _DEPTH_MAX:
        raise IntegrityError("the metadata of LVM lies too deep")
    section: dict[str, Any] = {}
    while at < len(tokens) and tokens[at][1] != "}":
        name = tokens[at][1]
        following = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if following == "{":
            section[name], at = _section(tokens, at + 2, depth + 1)
        elif following == "=":
            section[name], at = _value(tokens, at + 2)
        else:
            raise IntegrityError("the metadata of LVM is damaged")
    return section, at + 1


def _value(tokens: Sequence[tuple[str, str]], at: int) -> tuple[Any, int]:
    if at >= len(tokens):
        raise IntegrityError("the metadata of LVM ends too early")
    if tokens[at][1] != "[":
        return _scalar(tokens[at]), at + 1
    values, at = [], at + 1
    while at < len(tokens) and tokens[at][1] != "]":
        if tokens[at][1] != ",":
            values.append(_scalar(tokens[at]))
        at += 1
    return values, at + 1


def _scalar(token: tuple[str, str]) -> str | int:
    kind, text = token
    if kind == "number" and "." not in text:
        return int(text)
    return text[1:-1] if kind == "string" else text


# ---- volumes ----


def read_logical(physicals: Sequence[Physical]) -> Iterator[Logical]:
    """The visible logical volumes of all groups."""
    by_uuid = {physical.uuid: physical for physical in physicals}
    newest: dict[str, tuple[int, dict[str, Any]]] = {}
    for physical in physicals:
        for name, group in parse_text(physical.text).items():
            if isinstance(group, dict) and "physical_volumes" in group:
                number = int(group.get("seqno", 0))
                if name not in newest or number > newest[name][0]:
                    newest[name] = (number, group)
    for name, (_, group) in newest.items():
        yield from _Group(name, group, by_uuid).volumes()


class _Group:
    def __init__(
        self, name: str, group: Mapping[str, Any], physicals: Mapping[str, Physical]
    ) -> None:
        self.name = name
        self.extent_bytes = int(group["extent_size"]) * _SECTOR
        self.logical: Mapping[str, Any] = group.get("logical_volumes", {})
        self.starts: dict[str, int] = {}
        self.physicals: dict[str, Physical | None] = {}
        for key, value in group["physical_volumes"].items():
            self.physicals[key] = physicals.get(str(value["id"]).replace("-", ""))
            self.starts[key] = int(value["pe_start"]) * _SECTOR

    def volumes(self) -> Iterator[Logical]:
        for name, logical in self.logical.items():
            if "VISIBLE" not in logical.get("status", ()):
                continue
            try:
                volume = self._volume(name, 0)
            except IntegrityError as error:
                yield Logical(self.name, name, 0, None, str(error))
            else:
                disk = next(volume.locate(0, 1))[0]
                yield Logical(self.name, name, disk, volume, "")

    def _volume(self, name: str, depth: int) -> Volume:
        logical = self.logical.get(name)
        if logical is None or depth > _DEPTH_MAX:
            raise IntegrityError("a volume of LVM names one that is not there")
        count = int(logical["segment_count"])
        if not 0 < count <= _SEGMENTS_MAX:
            raise IntegrityError("a volume of LVM has no segments")
        parts = []
        for number in range(1, count + 1):
            segment = logical[f"segment{number}"]
            parts.append((int(segment["start_extent"]), self._segment(segment, depth)))
        ordered = [volume for _, volume in sorted(parts, key=lambda part: part[0])]
        return ordered[0].joined(ordered[1:])

    def _segment(self, segment: Mapping[str, Any], depth: int) -> Volume:
        kind, length = str(segment["type"]), int(segment["extent_count"]) * self.extent_bytes
        if kind in _MIRRORS:
            members = segment["raids"][1::2] if kind == "raid1" else segment["mirrors"][::2]
            return self._volume(str(members[0]), depth + 1).part(0, length)
        if kind != "striped":
            raise IntegrityError(f"a volume of LVM of kind {kind}, which we cannot read")
        stripes = segment["stripes"]
        places, disks = [], None
        each = length // max(1, len(stripes) // 2)
        for key, extent in zip(stripes[::2], stripes[1::2], strict=True):
            physical = self.physicals.get(key)
            if physical is None:
                raise IntegrityError(f"a disk of volume group {self.name} is missing")
            at = self.starts[key] + int(extent) * self.extent_bytes
            (disk, offset, _), *rest = physical.volume.locate(at, each)
            if rest:
                raise IntegrityError("a physical volume of LVM lies in pieces")
            places.append((disk, offset))
            disks = physical.volume.disks
        if disks is None or length <= 0:
            raise IntegrityError("a volume of LVM has an empty segment")
        stripe_bytes = int(segment.get("stripe_size", 0)) * _SECTOR or length
        return Volume(disks, [Segment(0, length, tuple(places), stripe_bytes)])
