"""One file through time, and names across the points of a machine.

Owns what counts as a version: the same size, time of change and kind is the same file content.
Never opens a store: the caller gives each point as a tree.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.browse.node import Node
from appliance.browse.tree import Entry, Tree
from appliance.browse.walk import walk

OpenTree = Callable[[str], AbstractContextManager[Tree]]
OnGap = Callable[[str, str], None]


@dataclass
class Version:
    """A file as it was in these points, newest point first."""

    path: str
    entry: Entry
    points: list[str] = field(default_factory=list)


@dataclass
class History:
    """The versions of a path, newest first, and the points in which it is missing."""

    versions: list[Version] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def trace(points: Iterable[str], path: str, open_tree: OpenTree) -> History:
    """What a path was in each of `points`, which are given newest first."""
    history = History()
    for point in points:
        try:
            with open_tree(point) as tree:
                real, entry = tree.find(path, is_followed=False)
        except NotFoundError:
            history.missing.append(point)
            continue
        except IntegrityError as error:
            history.unreadable.append((point, str(error)))
            continue
        last = history.versions[-1] if history.versions else None
        if last is None or _identity(last.entry) != _identity(entry):
            last = Version(real, entry)
            history.versions.append(last)
        last.points.append(point)
    return history


def _identity(entry: Entry) -> tuple[object, ...]:
    node = entry.node
    assert node is not None
    # The time of the inode changes with content and rights, and cannot be set back.
    return node.mode, node.size_bytes, node.mtime_ns, node.ctime_ns, entry.link


def search(
    points: Iterable[str], pattern: str, start: str, open_tree: OpenTree, on_gap: OnGap
) -> Iterator[Version]:
    """Files whose name matches, each version once, with the points that have it.

    `pattern` is matched with the whole name, without regard to case: `*` and `?` stand for
    anything. Memory grows with what is found, not with what is looked at.
    """
    wanted = pattern.casefold()
    found: dict[tuple[object, ...], Version] = {}
    for point in points:
        try:
            with open_tree(point) as tree:
                for path, entry in _matches(tree, start, wanted, point, on_gap):
                    key = (path, *_identity(entry))
                    version = found.setdefault(key, Version(path, entry))
                    version.points.append(point)
        except HoldfastError as error:
            if not isinstance(error, IntegrityError | NotFoundError):
                raise
            on_gap(point, str(error))
    yield from sorted(found.values(), key=lambda version: (version.path, _newest(version)))


def _newest(version: Version) -> int:
    node: Node | None = version.entry.node
    assert node is not None
    return -node.mtime_ns


def _matches(
    tree: Tree, start: str, wanted: str, point: str, on_gap: OnGap
) -> Iterator[tuple[str, Entry]]:
    places = [start]
    if start == "/":
        places += [f"/@{other.name}" for other in tree.others()]
    for place in places:
        path, first = tree.find(place)

        def tell(path: str, reason: str) -> None:
            on_gap(f"{point}: {path}", reason)

        for step in walk(tree, path, first, tell, is_brief=True):
            name = step.entry.name
            if not step.is_end and name and fnmatch.fnmatchcase(name.casefold(), wanted):
                yield step.path, step.entry
