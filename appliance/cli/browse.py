"""ls and cat: the files inside the disks of a point."""

from __future__ import annotations

import argparse
import base64
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from appliance.base import durable
from appliance.base.errors import UsageError
from appliance.base.text import printable
from appliance.browse.tree import NO_FILES, SIGN, Entry, Tree
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.names import PointName

_ZEROS = bytes(1 << 20)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def open_tree(session: Session, name: PointName) -> Iterator[Tree]:
    """The files of a point, which stays readable until the block ends."""
    store = session.store
    with ExitStack() as stack:
        lease = stack.enter_context(store.lease("reader"))
        manifest = store.open_point(name, lease)
        disks = []
        for number in range(len(manifest.disks)):
            disk = store.disk_reader(manifest, number)
            stack.callback(disk.close)
            disks.append(disk)
        yield stack.enter_context(Tree(disks, session.console.progress))


def ls(session: Session, options: argparse.Namespace) -> int:
    """List a directory of a point, or show one file."""
    if options.limit < 1:
        raise UsageError("--limit is at least 1")
    name = session.store.points.resolve(options.point)
    with open_tree(session, name) as tree:
        path, found = tree.find(options.path)
        is_top = path == "/"
        entries: list[Entry] = [found]
        troubles: list[Entry] = []
        assert found.node is not None
        if found.node.is_directory and not options.directory:
            session.console.progress.phase("listing", unit="items", about=printable(path))
            entries = []
            for entry in islice(tree.list(found), options.limit):
                (entries if entry.name else troubles).append(entry)
                session.console.progress.advance(1)
        entries.sort(key=lambda entry: entry.name)
        others = tree.others() if is_top else []
        notes = _notes(tree) if is_top else []
        read_bytes = tree.reader.read_bytes
        is_cut = len(entries) >= options.limit
    for note in notes:
        session.console.note(f"holdfast: {name}: {note}")
    if is_cut:
        session.console.note(
            f"holdfast: only the first {options.limit} entries: --limit N for more"
        )
    for entry in [*troubles, *entries]:
        if entry.trouble:
            where = printable(f"{path.rstrip('/')}/{entry.name}")
            session.console.note(f"holdfast: {where}: {printable(entry.trouble)}")
    value = {
        "point": str(name),
        "path": path,
        "entries": [entry_json(entry) for entry in entries],
        "filesystems": [
            {
                "path": f"/{SIGN}{other.name}",
                "kind": other.kind,
                "label": other.label,
                "size_bytes": other.size_bytes,
            }
            for other in others
        ],
        "notes": notes,
        "is_cut": is_cut,
        "read_bytes": read_bytes,
    }
    lines = [
        f"{SIGN}{printable(other.name)}/  {other.kind} {printable(other.label)}".rstrip()
        for other in others
    ]
    session.console.result(value, "\n".join([*lines, *_table(entries)]))
    has_trouble = bool(troubles) or any(entry.trouble for entry in entries)
    return DONE_WITH_GAPS if has_trouble else DONE


def _notes(tree: Tree) -> list[str]:
    """What there is besides the filesystems that can be read."""
    notes = list(tree.remarks)
    for volume in tree.volumes:
        if not volume.is_open and (volume.trouble or volume.kind) and volume.kind not in NO_FILES:
            notes.append(f"{volume.name} cannot be looked into: {printable(volume.obstacle)}")
        elif volume.note:
            notes.append(f"{volume.name}: {printable(volume.note)}")
    return notes


def tell_note(session: Session, tree: Tree, volume: int) -> None:
    """Say what must be known of a filesystem before its files are trusted."""
    found = tree.volumes[volume]
    if found.note:
        session.console.note(f"holdfast: {printable(found.name)}: {printable(found.note)}")


def cat(session: Session, options: argparse.Namespace) -> int:
    """Write a file of a point to standard output."""
    if session.console.is_json:
        raise UsageError("cat writes the file itself to standard output: drop --json")
    name = session.store.points.resolve(options.point)
    with open_tree(session, name) as tree:
        path, entry = tree.find(options.path)
        assert entry.node is not None
        tell_note(session, tree, entry.volume)
        if not entry.node.is_file:
            raise UsageError(f"{path} is a {entry.node.kind}, not a file")
        sys.stdout.flush()
        session.console.progress.phase("reading", entry.node.size_bytes, about=printable(path))
        stream_content(tree, entry, sys.stdout.fileno(), session.console.progress.advance)
    return DONE


def stream_content(tree: Tree, entry: Entry, descriptor: int, advance: Any) -> None:
    """Write the whole content in order, zeros too."""
    assert entry.node is not None
    written = 0

    def write(offset: int, data: bytes) -> None:
        nonlocal written
        while written < offset:
            count = min(offset - written, len(_ZEROS))
            durable.write_all(descriptor, memoryview(_ZEROS)[:count])
            written += count
            advance(count)
        durable.write_all(descriptor, data)
        written += len(data)
        advance(len(data))

    tree.copy(entry, write)
    write(entry.node.size_bytes, b"")


# ---- how an entry is shown ----


def show_time(time_ns: int) -> str:
    """A time as text, to the second, whatever year a filesystem claims."""
    try:
        return f"{_EPOCH + timedelta(seconds=time_ns // 10**9):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"@{time_ns // 10**9}"


def entry_json(entry: Entry) -> dict[str, Any]:
    """An entry for programs. A name that is no UTF-8 is also given as base64."""
    value: dict[str, Any] = {"name": printable(entry.name), "trouble": entry.trouble}
    raw = os.fsencode(entry.name)
    if value["name"] != entry.name:
        value["name_base64"] = base64.b64encode(raw).decode()
    node = entry.node
    if node is not None:
        value |= {
            "kind": node.kind,
            "mode": f"{stat.S_IMODE(node.mode):04o}",
            "uid": node.uid,
            "gid": node.gid,
            "links": node.links,
            "size_bytes": node.size_bytes,
            "modified": show_time(node.mtime_ns),
            "modified_ns": node.mtime_ns,
        }
        if entry.link is not None:
            value["link"] = printable(entry.link)
        if node.device is not None:
            value["device"] = list(node.device)
    if entry.attributes:
        value["attributes"] = sorted(printable(key) for key in entry.attributes)
    return value


def _table(entries: list[Entry]) -> Iterator[str]:
    width = max((len(str(entry.node.size_bytes)) for entry in entries if entry.node), default=1)
    for entry in entries:
        node = entry.node
        name = printable(entry.name or "/")
        if node is None:
            yield f"??????????  {name}"
            continue
        size = str(node.size_bytes)
        if node.device is not None:
            size = f"{node.device[0]},{node.device[1]}"
        target = f" -> {printable(entry.link)}" if entry.link is not None else ""
        slash = "/" if node.is_directory else ""
        yield (
            f"{stat.filemode(node.mode)} {node.uid:>5} {node.gid:>5} {size:>{width}} "
            f"{show_time(node.mtime_ns)} {name}{slash}{target}"
        )
