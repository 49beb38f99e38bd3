"""Reads NTFS through libfsntfs: names, times, streams, links; content from its extents.

Owners and ACLs of Windows are not translated. The log is not replayed; `note` says so when it was
not empty.
"""

from __future__ import annotations

import codecs
import stat
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pyfsntfs

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.node import Extent, Node
from appliance.browse.volume_file import VolumeFile

_ROOT = 5
_LOG_FILE = 2
_FIRST_OWN = 16  # before these come the files of the filesystem itself
_NUMBER = (1 << 48) - 1
_UNIX_LINK = b"IntxLNK\x01"
_LINK_MAX_BYTES = 8192
_SYSTEM = 0x4
_READ_ONLY, _REPARSE, _COMPRESSED, _ENCRYPTED = 0x1, 0x400, 0x800, 0x4000
_FILE_NAME, _DATA = 0x30, 0x80
_IS_SPARSE = 1
_EPOCH_NS = 11644473600 * 10**9  # 1601 to 1970
_ATTRIBUTE_MAX_BYTES = 64 << 10
_PIECE_BYTES = 1 << 20
_EXTENTS_MAX = 1 << 22


# Found now: later, when the process is confined, no module can be loaded.
codecs.lookup("utf-16-le")


class Ntfs:
    """One NTFS filesystem."""

    kind = "ntfs"
    is_case_blind = True
    root = _ROOT

    def __init__(self, volume: Volume) -> None:
        """Raises OSError or IntegrityError if it is none."""
        self._volume_size = volume.size_bytes
        self._file = VolumeFile(volume)
        self._ntfs = pyfsntfs.volume()
        self._ntfs.open_file_object(self._file)
        self.label = self._ntfs.get_name() or ""
        self.note = (
            ""
            if self._is_clean()
            else (
                "was in use when it was copied: changes of its last moments may be missing here "
                "(a VM that boots the point sees them)"
            )
        )

    def _is_clean(self) -> bool:
        """Whether the log's restart area says that nobody uses it (ntfs-3g: logfile.h)."""
        page = self._entry(_LOG_FILE).read_buffer_at_offset(4096, 0)
        if page[:4] != b"RSTR":
            return bool(page[:4] == b"\xff\xff\xff\xff")  # emptied
        at = struct.unpack_from("<H", page, 24)[0]
        in_use, flags = struct.unpack_from("<HH", page, at + 12)
        return bool(in_use == 0xFFFF or flags & 2)

    def _entry(self, number: int) -> Any:
        entry = self._ntfs.get_file_entry(number)
        if entry is None or not entry.is_allocated():
            raise IntegrityError(f"file {number} is not in use")
        return entry

    def node(self, number: int) -> Node:
        """The file with this number of the master file table."""
        entry = self._entry(number)
        flags = entry.get_file_attribute_flags() or 0
        if entry.has_directory_entries_index():
            kind, rights = stat.S_IFDIR, 0o755
        else:
            kind, rights = stat.S_IFREG, 0o444 if flags & _READ_ONLY else 0o644
        if self._link_text(entry, flags):
            kind, rights = stat.S_IFLNK, 0o777
        size = (
            int(entry.get_size()) if kind == stat.S_IFREG and entry.has_default_data_stream() else 0
        )
        return Node(
            *(number, kind | rights, 0, 0, self._count_links(entry), size),
            mtime_ns=_time(entry.get_modification_time_as_integer()),
            atime_ns=_time(entry.get_access_time_as_integer()),
            ctime_ns=_time(entry.get_entry_modification_time_as_integer()),
            birth_ns=_time(entry.get_creation_time_as_integer()),
        )

    def _count_links(self, entry: Any) -> int:
        """Names without those that DOS saw: one name less for each pair of long and short."""
        names = set()
        for number in range(entry.get_number_of_attributes()):
            if entry.get_attribute(number).get_attribute_type() == _FILE_NAME:
                parent = entry.get_parent_file_reference_by_attribute_index(number)
                name = entry.get_name_by_attribute_index(number)
                if not _is_short(name):
                    names.add((parent, name))
        return max(1, len(names))

    # ---- content ----

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies; None where the library must put it together."""
        entry = self._entry(number)
        flags = entry.get_file_attribute_flags() or 0
        if flags & _ENCRYPTED:
            raise IntegrityError("encrypted by Windows itself (EFS)")
        if flags & (_COMPRESSED | _REPARSE):
            return None
        count, size = entry.get_number_of_extents(), entry.get_size()
        if not count and size:
            return None
        if count > _EXTENTS_MAX:
            raise IntegrityError("a file has more pieces than anybody can count")
        return self._clipped(entry, count, min(size, self._valid_bytes(entry)))

    def _valid_bytes(self, entry: Any) -> int:
        """How much was ever written: what lies behind is zeros, whatever the disk holds."""
        for number in range(entry.get_number_of_attributes()):
            attribute = entry.get_attribute(number)
            if attribute.get_attribute_type() == _DATA and not attribute.get_attribute_name():
                return int(attribute.get_valid_data_size())
        return int(entry.get_size())

    def _clipped(self, entry: Any, count: int, size: int) -> Iterator[Extent]:
        at = 0
        for number in range(count):
            place, length, flags = entry.get_extent(number)
            if at >= size:
                return
            if not flags & _IS_SPARSE:
                if place < 0 or place + length > self._volume_size:
                    raise IntegrityError("a piece of a file lies outside its filesystem")
                yield Extent(at, min(length, size - at), place)
            at += length

    def content(self, number: int) -> Iterator[bytes]:
        """The content in pieces: small, compressed, or behind a reparse point."""
        entry = self._entry(number)
        left = entry.get_size()
        while left > 0:
            piece = entry.read_buffer(min(left, _PIECE_BYTES))
            if not piece:
                raise IntegrityError("a file ends too early")
            yield piece
            left -= len(piece)

    # ---- the rest ----

    def entries(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names and numbers in a directory, without the filesystem's own files."""
        directory = self._entry(number)
        for index in range(directory.get_number_of_sub_file_entries()):
            entry = directory.get_sub_file_entry(index)
            below = entry.get_file_reference() & _NUMBER
            if below >= _FIRST_OWN:
                yield entry.get_name().encode("utf-8", "surrogatepass"), below

    def link_target(self, number: int) -> bytes:
        """Where a link points to, with slashes and without the kernel's prefix."""
        entry = self._entry(number)
        text = self._link_text(entry, entry.get_file_attribute_flags() or 0)
        return text.encode("utf-8", "surrogatepass")

    def _link_text(self, entry: Any, flags: int) -> str:
        """The target of a link of Windows, or of one that a Unix made there; empty for no link."""
        if flags & _REPARSE:
            target = str(entry.get_symbolic_link_target() or "")
            return target.removeprefix("\\??\\").replace("\\", "/")
        is_small = flags & _SYSTEM and entry.has_default_data_stream()
        if not is_small or entry.get_size() > _LINK_MAX_BYTES:
            return ""
        raw = bytes(entry.read_buffer_at_offset(entry.get_size(), 0) or b"")
        if not raw.startswith(_UNIX_LINK):
            return ""
        return raw.removeprefix(_UNIX_LINK).decode("utf-16-le", "surrogatepass").rstrip("\0")

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """Other streams of the file, as ntfs-3g shows them."""
        entry = self._entry(number)
        found = {}
        for index in range(entry.get_number_of_alternate_data_streams()):
            stream = entry.get_alternate_data_stream(index)
            name, size = stream.get_name(), stream.get_size()
            if name == "WofCompressedData":
                continue  # the content itself, in another form
            if size > _ATTRIBUTE_MAX_BYTES:
                raise IntegrityError(f"its stream {name} is too large for an attribute")
            found[f"user.{name}"] = stream.read_buffer(size) if size else b""
        return found


def _is_short(name: str | None) -> bool:
    """Whether a name may be the short form of another: 8.3, in capitals, with a tilde."""
    if not name or "~" not in name or name != name.upper():
        return False
    stem, _, extension = name.partition(".")
    return len(stem) <= 8 and len(extension) <= 3


def _time(filetime: int | None) -> int:
    return (filetime or 0) * 100 - _EPOCH_NS
