"""Which files lie on given bytes of a point's disks: what a damage means to whoever owns the data.

Goes through the files once and stops after so many. Content that only its reader can tell the place
of (packed by the filesystem, or kept in its tables) is not recognised. Never reads content.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from appliance.base.errors import HoldfastError
from appliance.browse.tree import SIGN, Place, Tree
from appliance.browse.walk import walk

FILES_MAX = 20
Range = tuple[int, int, int]
"""Disk, offset and length in bytes."""


@dataclass
class Owners:
    """What was found: the first FILES_MAX of `files`, and of what could not be looked into.

    `is_whole` if all was looked at. `unreadable` holds (path, reason).
    """

    files: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    is_whole: bool = True


def find_owners(tree: Tree, ranges: Iterable[Range], *, entries_max: int) -> Owners:
    """The files of which a part lies in `ranges`, after a look at `entries_max` of all at most."""
    owners = Owners()
    wanted = _Wanted(ranges)

    def tell(path: str, reason: str) -> None:
        if len(owners.unreadable) < FILES_MAX:
            owners.unreadable.append((path, reason))

    seen = 0
    tops = ["/"] if tree.root is not None else []
    for top in [*tops, *(f"/{SIGN}{other.name}" for other in tree.others())]:
        try:
            path, first = tree.find(top)
        except HoldfastError as error:
            tell(top, str(error))
            continue
        for step in walk(tree, path, first, tell):
            seen += 1
            if seen > entries_max or len(owners.files) == FILES_MAX:
                owners.is_whole = False
                return owners
            node = step.entry.node
            if node is None or not node.is_file or step.is_end:
                continue
            try:
                if any(wanted.meets(place) for place in tree.places(step.entry) or ()):
                    owners.files.append(step.path)
            except HoldfastError as error:
                tell(step.path, str(error))
    return owners


class _Wanted:
    """Ranges by disk, to be asked quickly."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges: dict[int, list[tuple[int, int]]] = {}
        for disk, offset, length in sorted(ranges):
            self._ranges.setdefault(disk, []).append((offset, offset + length))

    def meets(self, place: Place) -> bool:
        """Whether the place and one of the ranges, which do not overlap, have a byte in common."""
        ranges = self._ranges.get(place.disk, [])
        number = bisect_right(ranges, (place.at + place.length - 1, 1 << 64))
        return number > 0 and ranges[number - 1][1] > place.at
