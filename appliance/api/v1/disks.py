"""/disks and /arrays: what was found when somebody last looked."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from appliance.api.parts import Json
from appliance.api.route import Ask, Count, Known, Reply, Route, Time
from appliance.base.errors import NotFoundError

_OLD_S = 60.0

Verdict = Literal["good", "notice", "warning", "critical"]


class DiskUse(msgspec.Struct, kw_only=True):
    """What lies on a disk. `kind`: array, volume, filesystem, swap or other."""

    kind: str
    name: str
    device: str


class Disk(msgspec.Struct, kw_only=True):
    """A disk. `bay` is empty where it is in none; `hidden`: it is a volume of a controller."""

    name: str
    path: str
    model: str
    serial: str
    firmware: str
    wwn: str
    size_bytes: Count
    is_rotating: bool
    rotation_rpm: int | None
    transport: str
    bay: str
    bus_path: str
    partitions: list[str]
    uses: list[DiskUse]
    subject: str
    verdict: Verdict
    hidden: Any = None


class Bay(msgspec.Struct, kw_only=True):
    """A place for a disk: of an enclosure, or a PCI slot with a disk. `disk` is the kernel's name.

    `is_lit`: the light that says where it is.
    """

    name: str
    enclosure: str
    disk: str | None
    has_light: bool
    is_lit: bool


class Reading(msgspec.Struct, kw_only=True):
    """A number that was read of a disk."""

    time: Time
    value: float


class DiskDetail(msgspec.Struct, kw_only=True):
    """A disk with its findings and all that it says of itself (`smart`, as smartctl names it).

    `trends`: what was measured in the last months, oldest first, by its name.
    """

    disk: dict[str, Any]
    verdict: Verdict
    findings: list[dict[str, Any]]
    at_stake: list[dict[str, Any]]
    smart: dict[str, Any]
    trends: dict[str, list[Reading]]
    as_of: Time | None = None
    trouble: str | None = None


class Member(msgspec.Struct, kw_only=True):
    """A disk or partition of an array."""

    name: str
    slot: int | None
    states: list[str]
    errors: int
    size_bytes: Count


class Activity(msgspec.Struct, kw_only=True):
    """What an array does beside its work; `done` from 0 to 1."""

    action: str
    done: float
    speed_bytes_per_s: Count
    eta_s: float | None


class Array(msgspec.Struct, kw_only=True):
    """An array. `redundancy`: how many more members may fail."""

    name: str
    level: str
    uuid: str
    state: str
    slots: int
    missing: int
    redundancy: int
    members: list[Member]
    activity: Activity | None
    mismatches: int
    last_action: str
    bitmap: str
    size_bytes: Count
    component_bytes: Count
    metadata: str


async def list_disks(ask: Ask) -> Reply:
    """All disks."""
    return Reply(ask.parts.snapshots.known("disks", "disks"))


async def get_disk(ask: Ask) -> Reply:
    """One disk, by the kernel's name. Its SMART is known a moment after it was first asked for."""
    name = ask.name("disk")
    disks = ask.parts.snapshots.known("disks", "disks")["items"]
    disk = next((one for one in disks if one["name"] == name), None)
    if disk is None:
        raise NotFoundError(f"{name}: there is no such disk", code="no-such-disk")
    seen = ask.parts.snapshots.detail("disks", "show", "--", name, old_s=_OLD_S)
    nothing: Json = {"findings": [], "at_stake": [], "smart": {}, "trends": {}}
    known = {"disk": disk, "verdict": disk["verdict"], **nothing, **seen.value}
    return Reply({**known, "as_of": seen.as_of, "trouble": seen.trouble})


async def list_bays(ask: Ask) -> Reply:
    """All places for disks, empty ones too."""
    return Reply(ask.parts.snapshots.known("disks", "bays"))


async def list_arrays(ask: Ask) -> Reply:
    """All arrays."""
    return Reply(ask.parts.snapshots.known("array", "arrays"))


ROUTES = (
    Route(
        *("GET", "/disks", "Disks and their verdicts", list_disks, "viewer"),
        answer=Known[Disk],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/bays", "Places for disks and their lights", list_bays, "viewer"),
        answer=Known[Bay],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/disks/{disk}", "One disk with SMART and findings", get_disk, "viewer"),
        answer=DiskDetail,
    ),
    Route(
        *("GET", "/arrays", "Arrays and their rebuilds", list_arrays, "viewer"),
        answer=Known[Array],
        also=frozenset({"console"}),
    ),
)
