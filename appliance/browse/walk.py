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

    @property
    def is_directory(self) -> bool:
        """Whether there is something below."""
        return self.entry.node is not None and self.entry.node.is_directory


def walk(
    tree: Tree, path: str, entry: Entry, on_gap: OnGap, *, is_brief: bool = False
) -> Iterator[Step]:
    """Everything from `entry` on, parents first. `on_gap(path, reason)` names what is left out."""
    seen: set[tuple[int, int]] = set()
    first = Step(path, entry)
    waiting = [iter([first])]
    open_steps: list[Step] = []
    while waiting:
        step = next(waiting[-1], None)
        if step is None:
            waiting.pop()
            if open_steps:
                left = open_steps.pop()
                yield Step(left.path, left.entry, is_end=True)
            continue
        reason = _refusal(step, seen, len(open_steps))
        if reason:
            on_gap(step.path, reason)
            continue
        yield step
        if step.is_directory and not step.is_skipped:
            open_steps.append(step)
            waiting.append(_steps(tree, step, on_gap, is_brief))


def _refusal(step: Step, seen: set[tuple[int, int]], depth: int) -> str:
    """Why a directory is not even entered; empty for what may be met."""
    if not step.is_directory:
        return ""
    if depth >= DEPTH_MAX:
        return "lies too deep"
    identity = (step.entry.volume, step.entry.number)
    if identity in seen:
        return "is a directory that was met before: a loop, or a damaged filesystem"
    seen.add(identity)
    return ""


def _steps(tree: Tree, step: Step, on_gap: OnGap, is_brief: bool) -> Iterator[Step]:
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
                yield Step(path, entry)
    except IntegrityError as error:
        on_gap(step.path, str(error))
