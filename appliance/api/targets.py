"""Where somebody may have files written who has not just confirmed who they are.

Owns the places: disks that are mounted, devices, and what everybody writes to. Anywhere else lie
the programs, the settings and the store of the box: whoever writes there is master of it, and could
delete what nobody may delete.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_PLACES = ("/mnt", "/media", "/srv", "/tmp", "/var/tmp", "/dev")  # noqa: S108 - to restore to


def are_harmless(targets: Iterable[str], state: Path) -> bool:
    """Whether all lie in such places, whatever links there are. Looks at the disk."""
    return all(_is_harmless(Path(target), state.resolve()) for target in targets)


def _is_harmless(target: Path, state: Path) -> bool:
    if not target.is_absolute():
        return False
    try:
        found = target.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle
        return False
    if found.is_relative_to(state) or state.is_relative_to(found):
        return False
    return any(found.is_relative_to(place) for place in _PLACES)
