"""get: files and trees out of a point."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.base.beneath import Folder
from appliance.base.errors import AccessError, UsageError
from appliance.base.text import counted, printable, size
from appliance.browse.archive import Stream, TarStream, ZipStream, write_archive
from appliance.browse.fetch import GAPS_KEPT, Fetch, Fetched
from appliance.browse.tree import Tree
from appliance.cli.browse import open_tree, tell_note
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.names import PointName


def get(session: Session, options: argparse.Namespace) -> int:
    """Fetch files and trees into a directory, or stream them as an archive."""
    if options.privileged and os.geteuid() != 0:
        raise AccessError("--privileged is for root: devices and setuid bits are root's to give")
    name = session.store.points.resolve(options.point)
    if options.target == "-":
        return _stream(session, options, name)
    target = Path(options.target).absolute()
    if target.resolve().is_relative_to(session.state.resolve()):
        raise UsageError(
            f"{target} lies in the state directory: choose a target elsewhere", code="target-inside"
        )
    console = session.console
    with open_tree(session, name) as tree, Folder.open(target) as folder:
        fetch = Fetch(
            *(tree, folder, console.progress),
            is_privileged=options.privileged,
            replaces=options.force,
            on_gap=_teller(session),
        )
        done = fetch.run(options.paths)
        _tell_notes(session, tree, done)
        read_bytes = tree.reader.read_bytes
    console.result(
        {
            "point": str(name),
            "paths": options.paths,
            "target": options.target,
            **fetched_json(done),
            "read_bytes": read_bytes,
        },
        f"{counted(done.files, 'file')}, {counted(done.directories, 'directory', 'directories')} "
        f"and {counted(done.others, 'other')}, "
        f"{size(done.size_bytes)}, from {name} in {options.target}"
        + (f"; {counted(done.gap_count, 'gap')}" if done.gap_count else ""),
    )
    return DONE_WITH_GAPS if done.gap_count else DONE


def _stream(session: Session, options: argparse.Namespace, name: PointName) -> int:
    """Write an archive to standard output."""
    if session.console.is_json:
        raise UsageError("--json and the target - both want standard output: drop one")
    sys.stdout.flush()
    progress = session.console.progress
    with open_tree(session, name) as tree:
        out = sys.stdout.buffer
        stream: Stream = (TarStream if options.format == "tar" else ZipStream)(tree, out, progress)
        done = write_archive(tree, options.paths, stream, progress, _teller(session))
        out.flush()
        _tell_notes(session, tree, done)
    return DONE_WITH_GAPS if done.gap_count else DONE


def _tell_notes(session: Session, tree: Tree, done: Fetched) -> None:
    for volume in sorted(done.volumes):
        tell_note(session, tree, volume)


def _teller(session: Session) -> Callable[[str, str], None]:
    def tell(path: str, reason: str) -> None:
        session.console.note(f"holdfast: {printable(path)}: {printable(reason)}")

    return tell


def fetched_json(done: Fetched) -> dict[str, object]:
    """What was restored, for programs."""
    return {
        "files": done.files,
        "directories": done.directories,
        "others": done.others,
        "size_bytes": done.size_bytes,
        "gap_count": done.gap_count,
        "gaps": [
            {"path": printable(path), "reason": printable(reason)} for path, reason in done.gaps
        ],
        "gaps_are_all": done.gap_count <= GAPS_KEPT,
    }
