"""Files and trees of a point as one stream: tar (PAX, with attributes and holes) or zip.

Owns the form of the archive. Needs no target to be able to seek, so it can be a download.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Protocol

from appliance.base.errors import IntegrityError, UsageError
from appliance.base.progress import Progress
from appliance.browse.fetch import Fetched
from appliance.browse.node import Node
from appliance.browse.tree import Entry, Place, Tree
from appliance.browse.walk import walk

FORMATS = ("tar", "zip")
_ZEROS = bytes(1 << 20)
_KINDS = {
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_ZIP_FIRST = datetime(1980, 1, 1, tzinfo=UTC)
_ZIP_LAST = datetime(2107, 12, 31, tzinfo=UTC)
_RECORD = tarfile.BLOCKSIZE
OnGap = Callable[[str, str], None]


class Stream(Protocol):
    """Takes the members of an archive in order."""

    def add(self, name: str, entry: Entry, node: Node) -> int:
        """Add one; gives the bytes of content.

        Raises UsageError for what has no place in it, IntegrityError for damage within, after the
        rest of the member was filled with zeros.
        """

    def close(self) -> None:
        """Write the end."""


def write_archive(
    tree: Tree, paths: list[str], stream: Stream, progress: Progress, on_gap: OnGap
) -> Fetched:
    """Put each path under its own name into the archive; `on_gap` names what is left out.

    Devices and the like are named where the form has no place for them. What is damaged within a
    file becomes zeros and is named: a stream cannot take back what it has promised.
    """
    done = Fetched()

    def tell(path: str, reason: str) -> None:
        done.gap_count += 1
        done.gaps.append((path, reason))
        on_gap(path, reason)

    progress.phase("streaming")
    for wanted in paths:
        path, first = tree.find(wanted, is_followed=False)
        done.volumes.add(first.volume)
        base = len(path.rpartition("/")[0].rstrip("/")) + 1
        for step in walk(tree, path, first, tell):
            node, name = step.entry.node, step.path[base:]
            if step.is_end or node is None or not name:
                continue
            if step.entry.trouble:
                tell(step.path, step.entry.trouble)
            try:
                done.size_bytes += stream.add(name, step.entry, node)
            except UsageError as error:
                tell(step.path, str(error))
                continue
            except IntegrityError as error:
                tell(step.path, f"zeros from where it is damaged: {error}")
            done.directories += node.is_directory
            done.files += node.is_file
            done.others += not (node.is_directory or node.is_file)
    stream.close()
    return done


class TarStream:
    """tar in the PAX form: names of any bytes, times to the nanosecond, attributes, hard links.

    Holes are kept in the form that GNU tar calls sparse 1.0.
    """

    def __init__(self, tree: Tree, out: BinaryIO, progress: Progress) -> None:
        self._tree = tree
        self._out = out
        self._progress = progress
        self._linked: dict[tuple[int, int], str] = {}

    def add(self, name: str, entry: Entry, node: Node) -> int:
        """Add one file. Raises UsageError for what tar has no place for."""
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(node.mode)
        info.uid, info.gid = node.uid, node.gid
        info.mtime = node.mtime_ns // 10**9
        info.pax_headers = {"mtime": _decimal(node.mtime_ns), **_attributes(entry)}
        if node.is_directory:
            info.type = tarfile.DIRTYPE
        elif node.is_link:
            info.type, info.linkname = tarfile.SYMTYPE, str(entry.link)
        elif not node.is_file:
            kind = _KINDS.get(stat.S_IFMT(node.mode))
            if kind is None:
                raise UsageError(f"is a {node.kind}, which has no place in a tar")
            info.type = kind
            info.devmajor, info.devminor = node.device or (0, 0)
        first = self._linked.setdefault((entry.volume, entry.number), name)
        if node.links > 1 and first != name and not node.is_directory:
            info.type, info.linkname = tarfile.LNKTYPE, first
        elif node.is_file:
            return self._add_content(info, entry, node)
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if node.links <= 1:
            del self._linked[entry.volume, entry.number]
        return 0

    def _add_content(self, info: tarfile.TarInfo, entry: Entry, node: Node) -> int:
        if node.links <= 1:
            self._linked.pop((entry.volume, entry.number), None)
        places = self._tree.places(entry)
        runs = None if places is None else _joined(places)
        if runs is None or sum(length for _, length in runs) == node.size_bytes:
            runs = [(0, node.size_bytes)]
            head = b""
        else:
            head = _sparse_map(runs, node.size_bytes)
            info.pax_headers = {
                **info.pax_headers,
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": info.name,
                "GNU.sparse.realsize": str(node.size_bytes),
            }
            folder, _, last = info.name.rpartition("/")
            info.name = f"{folder}/GNUSparseFile.0/{last}".lstrip("/")
        content_bytes = sum(length for _, length in runs)
        info.size = len(head) + content_bytes
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        self._write(head)
        at = written = 0

        def write(offset: int, data: bytes) -> None:
            nonlocal at, written
            if not head:  # zeros are written out
                self._zeros(offset - at)
                written += offset - at
            at = offset + len(data)
            written += len(data)
            self._write(data)
            self._progress.advance(len(data))

        try:
            self._tree.copy(entry, write)
        finally:
            self._zeros(content_bytes - written)
            self._zeros(-info.size % _RECORD)
        return content_bytes

    def close(self) -> None:
        """Two empty records."""
        self._write(bytes(2 * _RECORD))

    def _zeros(self, count: int) -> None:
        while count > 0:
            part = min(count, len(_ZEROS))
            self._write(_ZEROS[:part])
            count -= part

    def _write(self, data: bytes) -> None:
        self._out.write(data)


class ZipStream:
    """zip with 64-bit sizes: what every desktop opens. No place for owners and attributes."""

    def __init__(self, tree: Tree, out: BinaryIO, progress: Progress) -> None:
        self._tree = tree
        self._progress = progress
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1)

    def add(self, name: str, entry: Entry, node: Node) -> int:
        """Add one file. Raises UsageError for what zip has no place for."""
        moment = _zip_time(node.mtime_ns)
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        info = zipfile.ZipInfo(shown + "/" * node.is_directory, moment)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix: the high half of the attributes is the mode
        info.external_attr = (node.mode & 0xFFFF) << 16
        if node.is_directory:
            self._zip.writestr(info, b"")
        elif node.is_link:
            self._zip.writestr(info, str(entry.link).encode("utf-8", "surrogateescape"))
        elif node.is_file:
            self._add_content(info, entry, node)
        else:
            raise UsageError(f"is a {node.kind}, which has no place in a zip", code="not-in-zip")
        return node.size_bytes if node.is_file else 0

    def _add_content(self, info: zipfile.ZipInfo, entry: Entry, node: Node) -> None:
        at = 0
        with self._zip.open(info, "w", force_zip64=True) as member:

            def write(offset: int, data: bytes) -> None:
                nonlocal at
                while at < offset:
                    part = min(offset - at, len(_ZEROS))
                    member.write(_ZEROS[:part])
                    at += part
                    self._progress.check()
                member.write(data)
                at += len(data)
                self._progress.advance(len(data))

            try:
                self._tree.copy(entry, write)
            finally:
                write(node.size_bytes, b"")

    def close(self) -> None:
        """The directory."""
        self._zip.close()


def _joined(places: Iterator[Place]) -> list[tuple[int, int]]:
    """Where a file has content, as (offset, length)."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and sum(runs[-1]) == place.offset:
            runs[-1] = (runs[-1][0], runs[-1][1] + place.length)
        elif runs and place.offset < sum(runs[-1]):
            raise IntegrityError("its pieces overlap")
        else:
            runs.append((place.offset, place.length))
    return runs


def _sparse_map(runs: list[tuple[int, int]], size_bytes: int) -> bytes:
    """The map in front of the content; an empty run at the end says how long the file is."""
    entries = [*runs, (size_bytes, 0)]
    lines = [len(entries), *(number for entry in entries for number in entry)]
    text = "".join(f"{line}\n" for line in lines).encode()
    return text + bytes(-len(text) % _RECORD)


def _decimal(time_ns: int) -> str:
    """Seconds with nanoseconds, as PAX writes times."""
    sign = "-" if time_ns < 0 else ""
    seconds, rest = divmod(abs(time_ns), 10**9)
    return f"{sign}{seconds}.{rest:09}"


def _attributes(entry: Entry) -> dict[str, str]:
    """Extended attributes under the names that tar and star read."""
    return {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
        for name, value in entry.attributes.items()
        if "=" not in name
    }


def _zip_time(time_ns: int) -> tuple[int, int, int, int, int, int]:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // 10**9)
    except OverflowError:
        moment = _ZIP_FIRST
    moment = max(_ZIP_FIRST, min(_ZIP_LAST, moment))
    return moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second
