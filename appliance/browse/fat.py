"""Reads FAT12, FAT16, FAT32 and exFAT through libfsfat; content from its extents."""

from __future__ import annotations

import calendar
import stat
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import pyfsfat

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.node import Extent, Node
from appliance.browse.windows_file import VolumeFile

_KINDS = {1: "fat12", 2: "fat16", 3: "fat32", 4: "exfat"}
_READ_ONLY, _VOLUME_LABEL, _DIRECTORY = 0x01, 0x08, 0x10
_KEPT = 4096


class Fat:
    """One FAT or exFAT filesystem. Files are numbered by where their entry lies."""

    is_case_blind = True
    root = 0
    note = ""

    def __init__(self, volume: Volume) -> None:
        """Raises OSError or IntegrityError if it is none."""
        self._volume_size = volume.size_bytes
        self._file = VolumeFile(volume)
        self._fat = pyfsfat.volume()
        self._fat.open_file_object(self._file)
        self.kind = _KINDS.get(self._fat.get_file_system_format(), "fat")
        self.label = self._fat.get_label() or ""
        self._seen: OrderedDict[int, Any] = OrderedDict()

    def _entry(self, number: int) -> Any:
        if number == self.root:
            return self._fat.get_root_directory()
        entry = self._seen.get(number) or self._fat.get_file_entry_by_identifier(number)
        if entry is None:
            raise IntegrityError(f"there is no file {number}")
        return entry

    def node(self, number: int) -> Node:
        """The file with this number."""
        entry = self._entry(number)
        flags = _DIRECTORY if number == self.root else entry.get_file_attribute_flags() or 0
        is_directory = bool(flags & _DIRECTORY)
        rights = 0o755 if is_directory else 0o444 if flags & _READ_ONLY else 0o644
        changed = 0 if number == self.root else _time(entry.get_modification_time())
        return Node(
            *(number, (stat.S_IFDIR if is_directory else stat.S_IFREG) | rights, 0, 0, 1),
            size_bytes=0 if is_directory else int(entry.get_size()),
            mtime_ns=changed,
            atime_ns=changed if number == self.root else _time(entry.get_access_time()),
            ctime_ns=changed,
            birth_ns=None if number == self.root else _time(entry.get_creation_time()),
        )

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies."""
        entry = self._entry(number)
        return self._clipped(entry, int(entry.get_size()))

    def _clipped(self, entry: Any, size: int) -> Iterator[Extent]:
        at = 0
        for index in range(entry.get_number_of_extents()):
            place, length, flags = entry.get_extent(index)
            if at >= size:
                return
            if not flags & 1:
                if place < 0 or place + length > self._volume_size:
                    raise IntegrityError("a piece of a file lies outside its filesystem")
                yield Extent(at, min(length, size - at), place)
            at += length
        if at < size:
            raise IntegrityError("a file ends too early")

    def content(self, number: int) -> Iterator[bytes]:
        """Never asked for: all content has a place."""
        raise IntegrityError(f"file {number} has no content of its own")

    def entries(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names and numbers in a directory."""
        directory = self._entry(number)
        for index in range(directory.get_number_of_sub_file_entries()):
            entry = directory.get_sub_file_entry(index)
            name, flags = entry.get_name(), entry.get_file_attribute_flags() or 0
            if name in (".", "..") or flags & _VOLUME_LABEL:
                continue
            below = int(entry.get_identifier())
            self._seen[below] = entry
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
            yield name.encode("utf-8", "surrogatepass"), below

    def link_target(self, number: int) -> bytes:
        """FAT has no links."""
        raise IntegrityError(f"file {number} is no link")

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """FAT has none."""
        del number
        return {}


def _time(moment: Any) -> int:
    """What FAT wrote down, taken as UTC: it does not say of which place."""
    if moment is None:
        return 0
    return int(calendar.timegm(moment.timetuple()) * 10**9 + moment.microsecond * 1000)
