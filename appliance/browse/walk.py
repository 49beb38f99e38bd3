"""Going through a tree of a point, however hostile: every directory once, no name that is none.

Owns what is refused on the way: loops, directories with two parents, depths nobody has, names that
could leave the tree. What is refused is told, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from appliance.base.errors import IntegrityError
from appliance.browse.node import is_safe_name
from appliance.browse.tree import Entry, Tree

# Each level may cost the consumer an open directory.
DEPTH_MAX = 400
OnGap = Callable[[str, str], None]


@dataclass
class Step:
    """An entry that is met, or (`is_end`) a directory that is left.

    Set `is_skipped` on a directory, before the next step, to leave out what is below.
    """

    path: str
    entry: Entry
    is_end: bool = False
    is_skipped: bool = False


def walk(
    tree: Tree, path: str, entry: Entry, on_gap: OnGap, *, is_brief: bool = False
) -> Iterator[Step]:
    """Everything from `entry` on, parents first. `on_gap(path, reason)` names what is left out."""
    seen: set[tuple[int, int]] = set()
    first = Step(path, entry)
    yield first
    if not _may_enter(first, seen, on_gap):
        return
    stack = [(first, _entries(tree, first, on_gap, is_brief))]
    while stack:
        directory, entries = stack[-1]
        below = next(entries, None)
        if below is None:
            stack.pop()
            yield Step(directory.path, directory.entry, is_end=True)
            continue
        step = Step(f"{directory.path.rstrip('/')}/{below.name}", below)
        if below.node is not None and below.node.is_directory and len(stack) >= DEPTH_MAX:
            on_gap(step.path, "lies too deep")
            continue
        yield step
        if _may_enter(step, seen, on_gap):
            stack.append((step, _entries(tree, step, on_gap, is_brief)))


def _may_enter(step: Step, seen: set[tuple[int, int]], on_gap: OnGap) -> bool:
    node = step.entry.node
    if node is None or not node.is_directory or step.is_skipped:
        return False
    identity = (step.entry.volume, step.entry.number)
    if identity in seen:
        on_gap(step.path, "is a directory that was met before: a loop, or a damaged filesystem")
        return False
    seen.add(identity)
    return True


def _entries(tree: Tree, step: Step, on_gap: OnGap, is_brief: bool) -> Iterator[Entry]:
    """The entries of a directory that have a name and a node; the rest is told."""
    names: set[str] = set()
    try:
        for entry in tree.list(step.entry, is_brief=is_brief):
            path = f"{step.path.rstrip('/')}/{entry.name}"
            if not entry.name and entry.trouble:
                on_gap(step.path, entry.trouble)
            elif not is_safe_name(entry.name):
                on_gap(path, "has a name that no file can have")
            elif entry.name in names:
                on_gap(path, "is there twice")
            elif entry.node is None:
                on_gap(path, entry.trouble or "cannot be read")
            else:
                names.add(entry.name)
                yield entry
    except IntegrityError as error:
        on_gap(step.path, str(error))
