"""What is at stake on a sick disk: its arrays, the store, and the points that exist only here.

Owns the join of disks and data. Whether a point is in a vault is asked of whoever knows; what is
uploaded first is decided elsewhere, from what is reported here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from appliance.base.text import counted
from appliance.formats.finding import Finding
from appliance.health.arrays import Array
from appliance.health.inventory import Disk
from appliance.health.kernel_tree import KernelTree
from appliance.health.mounts import list_mounts
from appliance.health.survey import Report

_SICK = ("critical", "warning")


class Copies(Protocol):
    """Knows where points are."""

    def only_here(self) -> Sequence[str]:
        """Names of the points that are in no vault yet, those to save first at the front."""


@dataclass(frozen=True)
class Stake:
    """What one sick disk carries.

    Attributes:
        disk: the subject of its findings.
        arrays: name and level of the arrays of which it is a part.
        redundancy: how many more disks may fail before data is lost, this one counted as lost
            already if it is; 0 where it stands alone.
        holds_store: whether the store lies on it.
        points: those that would be lost with it and are nowhere else.
    """

    disk: str
    name: str
    arrays: tuple[str, ...]
    redundancy: int
    holds_store: bool
    points: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"part of {', '.join(self.arrays)}" if self.arrays else "in no array"]
        parts.append(
            f"{counted(self.redundancy, 'more disk')} may fail"
            if self.redundancy
            else "no redundancy"
        )
        if self.holds_store:
            parts.append(f"the store lies on it; only here: {counted(len(self.points), 'point')}")
        return f"{self.name}: {', '.join(parts)}"


def find_sick(report: Report) -> list[Disk]:
    """Disks that a finding is about, and failed members of arrays."""
    return choose_sick(report.inventory.disks, report.arrays, report.findings)


def choose_sick(
    disks: Sequence[Disk], arrays: Sequence[Array], findings: Sequence[Finding]
) -> list[Disk]:
    """Those of `disks` that a finding is about, or that failed in an array."""
    subjects = {item.subject for item in findings if item.severity in _SICK}
    members = [member for array in arrays for member in array.members]
    failed = {member.name for member in members if member.is_failed or member.is_wanted_out}
    return [
        disk for disk in disks if disk.subject in subjects or failed & {disk.name, *disk.partitions}
    ]


def carries(disk: Disk, device: str) -> bool:
    """Whether the block device `device` lies on a disk."""
    return device in {disk.name, *disk.partitions, *(use.device for use in disk.uses)}


def find_stakes(report: Report, tree: KernelTree, state: Path, copies: Copies) -> list[Stake]:
    """What every sick disk carries; `state` is where the store is."""
    sick = find_sick(report)
    if not sick:
        return []
    home = find_device(tree, state)
    stakes = []
    for disk in sick:
        own = {disk.name, *disk.partitions, *(use.device for use in disk.uses)}
        arrays = [array for array in report.arrays if array.name in own]
        holds_store = home in own
        stakes.append(
            Stake(
                disk=disk.subject,
                name=disk.name,
                arrays=tuple(f"{array.name} ({array.level})" for array in arrays),
                redundancy=min((array.redundancy for array in arrays), default=0),
                holds_store=holds_store,
                points=tuple(copies.only_here()) if holds_store else (),
            )
        )
    return stakes


def find_device(tree: KernelTree, path: Path) -> str:
    """Kernel name of the block device on which `path` (or what exists of it) lies, "" for none."""
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    number = place.stat().st_dev
    link = tree.sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}"
    if link.exists():
        return link.resolve().name
    # A filesystem over several devices has a number of its own; its mount names one of them.
    for mount in list_mounts(tree):
        if mount.device == f"{os.major(number)}:{os.minor(number)}":
            return Path(mount.source).name
    return ""
