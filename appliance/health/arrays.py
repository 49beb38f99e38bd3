"""MD arrays: state, members, rebuilds and checks, as sysfs shows them (kernel: admin-guide/md).

Owns the reading and what it means for redundancy. Never changes an array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.health.kernel_tree import KernelTree, list_names, read_number, read_text

SECTOR_BYTES = 512
REDUNDANT_LEVELS = ("raid1", "raid4", "raid5", "raid6", "raid10")
RUNNING_ACTIONS = ("resync", "recover", "check", "repair", "reshape")


@dataclass(frozen=True)
class Member:
    """One device of an array.

    Attributes:
        name: kernel name of the disk or partition.
        slot: its role, None for a spare or a failed one.
        states: as the kernel lists them: in_sync, faulty, spare, write_mostly, replacement, ...
        errors: read errors that were corrected.
    """

    name: str
    slot: int | None
    states: tuple[str, ...]
    errors: int
    size_bytes: int

    @property
    def is_in_sync(self) -> bool:
        """Whether its data counts."""
        return "in_sync" in self.states and "faulty" not in self.states

    @property
    def is_failed(self) -> bool:
        """Whether the kernel threw it out."""
        return "faulty" in self.states

    @property
    def is_wanted_out(self) -> bool:
        """Whether it works, and the kernel wants another one for it: a write to it failed."""
        return not self.is_failed and bool({"want_replacement", "write_error"} & {*self.states})

    @property
    def is_spare(self) -> bool:
        """Whether it waits, or is being filled."""
        return not self.is_failed and not self.is_in_sync


@dataclass(frozen=True)
class Activity:
    """What an array does beside its work.

    Attributes:
        action: resync, recover, check, repair, reshape.
        done: from 0 to 1.
        speed_bytes_per_s: 0 while nobody knows.
        eta_s: seconds to go, None while nobody knows.
    """

    action: str
    done: float
    speed_bytes_per_s: int
    eta_s: float | None


@dataclass(frozen=True)
class Array:
    """One MD array.

    Attributes:
        level: raid0, raid1, raid4, raid5, raid6, raid10, linear.
        state: the kernel's array_state: clean, active, readonly, inactive, broken, ...
        slots: devices it should have.
        missing: of these, how many do not work.
        redundancy: how many more of the working members may fail, whichever they are.
        mismatches: sectors that differed when it was last checked.
        bitmap: where the write-intent bitmap is, "" for none.
    """

    name: str
    level: str
    uuid: str
    state: str
    slots: int
    missing: int
    redundancy: int
    members: tuple[Member, ...]
    activity: Activity | None
    mismatches: int
    last_action: str
    bitmap: str
    size_bytes: int
    component_bytes: int
    metadata: str

    @property
    def subject(self) -> str:
        """What findings call it."""
        return f"array {self.name}"

    @property
    def is_degraded(self) -> bool:
        """Whether it works with fewer members than it should."""
        return self.missing > 0

    @property
    def is_replacing(self) -> bool:
        """Whether a member is copied to another one that takes its place."""
        return any("replacement" in member.states for member in self.members)

    def member(self, names: Iterable[str]) -> Member | None:
        """The member that is one of the devices `names`."""
        wanted = set(names)
        return next((item for item in self.members if item.name in wanted), None)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def list_arrays(tree: KernelTree) -> list[Array]:
    """All arrays that are assembled, also those that did not start."""
    return [
        read_array(tree, name)
        for name in list_names(tree.sys / "block")
        if name.startswith("md") and (tree.block(name) / "md").is_dir()
    ]


def read_array(tree: KernelTree, name: str) -> Array:
    """Array `name` as it is now."""
    folder = tree.block(name)
    md = folder / "md"
    level = read_text(md / "level")
    slots = _read_count(md / "raid_disks")
    members = tuple(
        _read_member(md / entry) for entry in list_names(md) if entry.startswith("dev-")
    )
    working = {member.slot for member in members if member.is_in_sync and member.slot is not None}
    missing = read_number(md / "degraded")
    if missing is None:  # levels without redundancy have no such file
        missing = max(slots - len(working), 0)
    state = read_text(md / "array_state")
    return Array(
        name=name,
        level=level,
        uuid=read_text(md / "uuid"),
        state=state,
        slots=slots,
        missing=missing,
        redundancy=count_redundancy(level, slots, missing, working, read_number(md / "layout")),
        members=members,
        activity=_read_activity(md),
        mismatches=_read_count(md / "mismatch_cnt"),
        last_action=read_text(md / "last_sync_action"),
        bitmap=_read_bitmap(md),
        size_bytes=_read_count(folder / "size") * SECTOR_BYTES,
        component_bytes=_read_count(md / "component_size") * 1024,
        metadata=read_text(md / "metadata_version"),
    )


def count_redundancy(
    level: str, slots: int, missing: int, working: set[int], layout: int | None = None
) -> int:
    """How many more members may fail for certain, whichever they are; 0 for none.

    RAID10 keeps `near * far` copies (low and second byte of the layout). Where slots divide into
    mirror sets, the set with the fewest working members decides.
    """
    if level == "raid1":
        return max(len(working) - 1, 0)
    if level in ("raid4", "raid5"):
        return max(1 - missing, 0)
    if level == "raid6":
        return max(2 - missing, 0)
    if level != "raid10" or slots == 0:
        return 0
    near, far = (layout or 0x102) & 0xFF, ((layout or 0x102) >> 8) & 0xFF
    copies = near * far
    if far != 1 or slots % near:
        return max(copies - 1 - missing, 0)
    sets = [set(range(first, first + near)) for first in range(0, slots, near)]
    return max(min(len(mirrors & working) for mirrors in sets) - 1, 0)


def _read_member(folder: Path) -> Member:
    slot = read_number(folder / "slot")
    return Member(
        name=folder.name.removeprefix("dev-").replace("!", "/"),
        slot=slot if slot is not None and slot >= 0 else None,
        states=tuple(filter(None, re.split(r"[,\s]+", read_text(folder / "state")))),
        errors=_read_count(folder / "errors"),
        size_bytes=_read_count(folder / "size") * 1024,
    )


def _read_activity(md: Path) -> Activity | None:
    action = read_text(md / "sync_action")
    if action not in RUNNING_ACTIONS:
        return None
    speed = _read_count(md / "sync_speed") * 1024
    found = re.fullmatch(r"(\d+) / (\d+)", read_text(md / "sync_completed"))
    if found is None or int(found[2]) == 0:
        return Activity(action, 0.0, speed, None)
    done, total = int(found[1]), int(found[2])
    eta_s = (total - done) * SECTOR_BYTES / speed if speed else None
    return Activity(action, done / total, speed, eta_s)


def _read_bitmap(md: Path) -> str:
    place = read_text(md / "bitmap/location")
    return "" if place == "none" else place


def _read_count(path: Path) -> int:
    """A number that never is below 0, 0 where there is none."""
    text = read_text(path).split(" ")[0]  # "none" for a speed, "4 (5)" while a reshape runs
    return int(text) if text.isdecimal() and text.isascii() else 0
