"""The files of one point as one tree: `/` is the root filesystem, the others are `/@NAME`.

Owns which filesystem is the root, and paths across filesystems. Never parses a filesystem itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.browse.confined import ConfinedReader, Disk
from appliance.browse.node import Node

SIGN = "@"
NO_FILES = ("swap", "LVM2 member")
# What may be read of a disk at once while a file is copied; the store decodes by 4 MiB.
_COPY_BYTES = 4 << 20


@dataclass(frozen=True)
class Place:
    """Where on the disks a piece of a file lies."""

    offset: int
    length: int
    disk: int
    at: int


@dataclass
class Entry:
    """A file in a directory. `trouble` says why not all of it could be read."""

    volume: int
    name: str
    number: int
    node: Node | None
    link: str | None = None
    attributes: dict[str, bytes] = field(default_factory=dict)
    places: list[Place] | None = None
    content: bytes | None = None
    trouble: str = ""


@dataclass(frozen=True)
class VolumeInfo:
    """A volume of the point. `kind` is empty where nothing was recognised."""

    number: int
    name: str
    kind: str
    label: str
    size_bytes: int
    score: int
    is_open: bool
    trouble: str = ""
    note: str = ""

    @property
    def obstacle(self) -> str:
        """Why no files of it are shown, and the way to them; empty where they are."""
        if self.is_open:
            return ""
        if self.trouble or not self.kind:
            return self.trouble or "nothing we know is on it"
        if self.kind in NO_FILES:
            return f"{self.kind}, which holds no files"
        return (
            f"{self.kind}, which is not read here: 'holdfast boot' the point, or 'restore' or "
            "'mount' the whole disk and open it where that is known"
        )


class Tree:
    """The files of a point. For one thread; `close` ends the reader."""

    def __init__(
        self, disks: Sequence[Disk], progress: Progress | None = None, *, silence_s: float = 120.0
    ) -> None:
        """Look at all disks. Raises HoldfastError if the reader cannot be started."""
        self.reader = ConfinedReader(disks, progress, silence_s=silence_s)
        try:
            found = self.reader.open()
            self.remarks = [str(remark) for remark in found["remarks"]]
            self.volumes = [
                self._probe(number, volume) for number, volume in enumerate(found["volumes"])
            ]
        except BaseException:
            self.reader.close()
            raise
        self.root = choose_root(self.volumes)

    def close(self) -> None:
        """End the reader."""
        self.reader.close()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _probe(self, number: int, volume: dict[str, Any]) -> VolumeInfo:
        name, kind, size = str(volume["name"]), str(volume["kind"]), int(volume["size_bytes"])
        try:
            said = self.reader.probe(number)
        except (IntegrityError, NotFoundError) as error:
            return VolumeInfo(number, name, kind, "", size, 0, is_open=False, trouble=str(error))
        return VolumeInfo(
            *(number, name, str(said["kind"]), str(said["label"]), size, int(said["score"])),
            is_open=bool(said["is_open"]),
            note=str(said["note"]),
        )

    # ---- names ----

    def others(self) -> list[VolumeInfo]:
        """The filesystems that appear under `/@`."""
        return [volume for volume in self.volumes if volume.is_open and volume is not self.root]

    def find(self, path: str, *, is_followed: bool = True) -> tuple[str, Entry]:
        """The real path and the entry. Raises NotFoundError; IntegrityError for damage."""
        volume, prefix, rest = self._split(path)
        answer = self.reader.request(
            path, do="find", volume=volume.number, path=rest, is_followed=is_followed
        )
        entry = parse_entry(volume.number, answer.get("entry"))
        if entry.node is None:
            raise IntegrityError(f"{path}: {entry.trouble or 'cannot be read'}")
        return prefix + str(answer["path"]), entry

    def _split(self, path: str) -> tuple[VolumeInfo, str, str]:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if parts and parts[0].startswith(SIGN):
            for volume in self.volumes:
                if volume.name == parts[0].removeprefix(SIGN):
                    if not volume.is_open:
                        raise NotFoundError(
                            f"/{parts[0]} cannot be looked into: {volume.obstacle}",
                            code="no-filesystem",
                        )
                    return volume, f"/{parts[0]}", "/".join(parts[1:])
        if self.root is None:
            known = ", ".join(f"{volume.name}: {volume.obstacle}" for volume in self.volumes)
            raise NotFoundError(
                f"there is no filesystem that can be read ({known or 'no disks'})",
                code="no-filesystem",
            )
        return self.root, "", "/".join(parts)

    def list(self, entry: Entry, *, is_brief: bool = False) -> Iterator[Entry]:
        """The entries of a directory, as the filesystem has them; brief ones can only be shown.

        The last one has no name and names the trouble if the directory is damaged. Other requests
        may be made in between.
        """
        token = None
        while True:
            what = entry.name or "/"
            page = self.reader.request(
                what,
                do="list",
                volume=entry.volume,
                number=entry.number,
                token=token,
                is_brief=is_brief,
            )
            for value in _list_of(page.get("entries")):
                yield parse_entry(entry.volume, value)
            if page.get("trouble"):
                yield Entry(entry.volume, "", 0, None, trouble=str(page["trouble"]))
            token = page.get("token")
            if token is None:
                return

    # ---- content ----

    def places(self, entry: Entry) -> Iterator[Place] | None:
        """Where the content lies, in rising order; None if only the reader can tell it."""
        if entry.content is not None:
            return None
        if entry.places is not None:
            return iter(entry.places)
        first = self._map(entry, 0)
        return None if first.get("map") is None else self._all_places(entry, first)

    def _map(self, entry: Entry, start: int) -> dict[str, Any]:
        return self.reader.request(
            entry.name, do="map", volume=entry.volume, number=entry.number, start=start
        )

    def _all_places(self, entry: Entry, page: dict[str, Any]) -> Iterator[Place]:
        count = 0
        while True:
            found = _places_of(page.get("map"))
            yield from found
            count += len(found)
            if not page.get("is_more") or not found:
                return
            page = self._map(entry, count)

    def copy(self, entry: Entry, write: Callable[[int, bytes], None]) -> None:
        """Give the content as pieces with rising offsets; what is left out is zeros.

        Raises IntegrityError where the store or the filesystem is damaged.
        """
        assert entry.node is not None
        size = entry.node.size_bytes
        places = self.places(entry)
        if places is None:
            self._copy_content(entry, size, write)
            return
        at = 0
        for place in places:
            if place.offset < at or place.offset + place.length > size:
                raise IntegrityError(f"{entry.name}: its pieces lie outside of it")
            disk = self.reader.disks[place.disk] if place.disk < len(self.reader.disks) else None
            if disk is None or place.at + place.length > disk.size_bytes:
                raise IntegrityError(f"{entry.name}: its pieces lie outside their disk")
            at = place.offset + place.length
            self._copy_place(disk, place, write)

    def _copy_place(self, disk: Disk, place: Place, write: Callable[[int, bytes], None]) -> None:
        done = 0
        while done < place.length:
            # Whole multiples of the unit on the disk, so that the store decodes nothing twice.
            count = min(place.length - done, _COPY_BYTES - (place.at + done) % _COPY_BYTES)
            data = disk.read(place.at + done, count)
            self.reader.read_bytes += len(data)
            write(place.offset + done, data)
            done += count

    def _copy_content(self, entry: Entry, size: int, write: Callable[[int, bytes], None]) -> None:
        if entry.content is not None:
            write(0, entry.content[:size])
            return
        at = 0

        def on_content(data: bytes) -> None:
            nonlocal at
            if at + len(data) > size:
                raise IntegrityError(f"{entry.name}: more content than it has")
            if any(data):
                write(at, data)
            at += len(data)

        self.reader.request(
            entry.name, on_content, do="content", volume=entry.volume, number=entry.number
        )


def choose_root(volumes: Sequence[VolumeInfo]) -> VolumeInfo | None:
    """The filesystem that `/` is: what looks most like a system's root, else the largest."""
    candidates = [volume for volume in volumes if volume.is_open]
    return max(candidates, key=lambda volume: (volume.score, volume.size_bytes), default=None)


def parse_entry(volume: int, value: object) -> Entry:
    """An entry as the reader told it. Raises IntegrityError if it is none."""
    if not isinstance(value, dict) or type(value.get("number")) is not int:
        raise IntegrityError("the reader answered with something that is no entry")
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        raise IntegrityError("the reader answered with something that are no attributes")
    return Entry(
        volume,
        str(value.get("name")),
        value["number"],
        Node.from_wire(value["node"]) if "node" in value else None,
        link=str(value["link"]) if "link" in value else None,
        attributes={str(key): _bytes_of(data) for key, data in attributes.items()},
        places=_places_of(value["map"]) if "map" in value else None,
        content=_bytes_of(value["content"]) if "content" in value else None,
        trouble=str(value.get("trouble", "")),
    )


def _list_of(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise IntegrityError("the reader answered with something that is no list")
    return value


def _places_of(value: object) -> list[Place]:
    places = []
    for item in _list_of(value):
        match item:
            case [int(offset), int(length), int(disk), int(at)] if (
                min(offset, disk, at) >= 0 and length > 0
            ):
                places.append(Place(offset, length, disk, at))
            case _:
                raise IntegrityError("the reader answered with something that is no place")
    return places


def _bytes_of(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise IntegrityError("the reader answered with something that are no bytes") from error
