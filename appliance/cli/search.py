"""history and find: files across the points of a machine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.text import counted, printable
from appliance.browse import search as searching
from appliance.browse.search import Version
from appliance.browse.tree import Tree
from appliance.cli.browse import entry_json, open_tree, show_time
from appliance.cli.exit_codes import DONE, DONE_WITH_GAPS
from appliance.cli.session import Session
from appliance.formats.names import PointName


class _Points:
    """The newest points of a machine, opened one at a time."""

    def __init__(self, session: Session, options: argparse.Namespace) -> None:
        if options.points < 1:
            raise UsageError("--points is at least 1")
        self._session = session
        self._names: dict[str, PointName] = {}
        store = session.store
        files = list(store.points.files(options.machine))
        for file in islice(reversed(files), options.points):
            try:
                name = store.points.read(file).name
            except (IntegrityError, NotFoundError) as error:
                session.console.note(f"holdfast: {error}")
                continue
            self._names[str(name)] = name
        if not self._names:
            raise NotFoundError(
                f"{printable(options.machine)} has no points: 'holdfast points' lists what there is"
            )
        if len(files) > options.points:
            session.console.note(
                f"holdfast: the {options.points} newest of {counted(len(files), 'point')}: "
                "--points N for more"
            )

    def __iter__(self) -> Iterator[str]:
        progress = self._session.console.progress
        progress.phase("looking into points", total=len(self._names), unit="items")
        for name in self._names:
            yield name
            progress.advance(1)

    @contextmanager
    def open(self, name: str) -> Iterator[Tree]:
        """The files of one of them."""
        with open_tree(self._session, self._names[name]) as tree:
            yield tree


def history(session: Session, options: argparse.Namespace) -> int:
    """Versions of one file."""
    points = _Points(session, options)
    found = searching.trace(points, options.path, points.open)
    if not found.versions and not found.unreadable:
        raise NotFoundError(
            f"no point of {options.machine} that was looked at has {printable(options.path)}: "
            "'holdfast find' searches by name"
        )
    for name, reason in found.unreadable:
        session.console.note(f"holdfast: {name}: {printable(reason)}")
    lines = [_line(version) for version in found.versions]
    if found.missing:
        lines.append(
            f"missing in {counted(len(found.missing), 'point')}, the newest {found.missing[0]}"
        )
    session.console.result(
        {
            "machine": options.machine,
            "path": options.path,
            "versions": [_version_json(version) for version in found.versions],
            "missing": found.missing,
            "unreadable": [list(item) for item in found.unreadable],
        },
        "\n".join(lines),
    )
    return DONE_WITH_GAPS if found.unreadable else DONE


def find(session: Session, options: argparse.Namespace) -> int:
    """Files by name."""
    gaps = 0

    def tell(where: str, reason: str) -> None:
        nonlocal gaps
        gaps += 1
        session.console.note(f"holdfast: {printable(where)}: {printable(reason)}")

    points = _Points(session, options)
    found = list(searching.search(points, options.name, options.below, points.open, tell))
    session.console.result(
        {
            "machine": options.machine,
            "name": options.name,
            "versions": [_version_json(version) for version in found],
            "gap_count": gaps,
        },
        "\n".join(f"{printable(version.path)}  {_line(version)}" for version in found)
        or f"nothing is called {printable(options.name)}",
    )
    return DONE_WITH_GAPS if gaps else DONE


def _version_json(version: Version) -> dict[str, Any]:
    return {
        "path": printable(version.path),
        **entry_json(version.entry),
        "points": version.points,
    }


def _line(version: Version) -> str:
    node = version.entry.node
    assert node is not None
    newest, oldest = version.points[0], version.points[-1]
    span = (
        newest
        if newest == oldest
        else f"{oldest} to {newest} ({counted(len(version.points), 'point')})"
    )
    return f"{node.size_bytes} bytes, modified {show_time(node.mtime_ns)}, in {span}"
