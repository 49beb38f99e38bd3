"""The files that lie on lost bytes, for the newest of the points that are hurt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.text import printable
from appliance.browse.owners import FILES_MAX, Owners, find_owners
from appliance.cli.browse import open_tree
from appliance.cli.session import Session
from appliance.store.impact import HURT_RANGES_MAX, Hurt

# A look at so many files takes some ten seconds, and older points mostly lose the same ones.
_POINTS_MAX = 3
_ENTRIES_MAX = 100_000


def name_files(session: Session, hurts: Iterable[Hurt]) -> dict[str, Owners]:
    """By the name of the point; one whose disks cannot be looked into has a reason instead."""
    found: dict[str, Owners] = {}
    newest = sorted(hurts, key=lambda hurt: hurt.point.time, reverse=True)[:_POINTS_MAX]
    for hurt in newest:
        session.console.progress.phase("looking for files of", about=str(hurt.point))
        try:
            with open_tree(session, hurt.point) as tree:
                owners = find_owners(tree, hurt.ranges, entries_max=_ENTRIES_MAX)
                owners.unreadable += [
                    (volume.name, volume.trouble) for volume in tree.volumes if volume.trouble
                ]
        except Cancelled:
            raise
        except HoldfastError as error:
            owners = Owners(unreadable=[("/", str(error))], is_whole=False)
        owners.is_whole &= len(hurt.ranges) < HURT_RANGES_MAX
        found[str(hurt.point)] = owners
    return found


def files_json(owners: Owners | None) -> dict[str, Any]:
    """Members for a hurt point; nothing where nobody looked."""
    if owners is None:
        return {}
    return {
        "files": [printable(path) for path in owners.files],
        "unreadable": [
            {"path": printable(path), "reason": printable(reason)}
            for path, reason in owners.unreadable
        ],
        "all_files_named": owners.is_whole,
    }


def describe_files(owners: Owners | None) -> list[str]:
    """Lines below a hurt point."""
    if owners is None:
        return []
    lines = [f"    in {printable(path)}" for path in owners.files]
    lines += [
        f"    {printable(path)} cannot be looked into: {printable(reason)}"
        for path, reason in owners.unreadable[:FILES_MAX]
    ]
    if not owners.is_whole:
        lines.append("    and perhaps in other files")
    elif not lines:
        lines.append("    in no file: free space, or what the filesystem keeps for itself")
    return lines
