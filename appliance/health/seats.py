"""Where each disk sits, and the names of those that are gone.

Owns what of the picture is remembered, and the finding about a disk that vanished with something
on it. A member that an array misses is named in the array's own finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from appliance.formats.disk_seat import Seat
from appliance.formats.finding import Evidence, Finding
from appliance.formats.names import format_time
from appliance.health.arrays import Array
from appliance.health.inventory import Disk, Inventory

_TOLD_FOR = timedelta(days=30)
_PLUGGED = ("usb",)  # meant to come and go
_MISSED = ("array", "volume", "swap")


def list_seats(inventory: Inventory, arrays: list[Array], now: datetime) -> list[Seat]:
    """The seats of the disks that are here, of those with a serial number."""
    return [
        seat
        for disk in inventory.disks
        if disk.serial and disk.transport not in _PLUGGED
        for seat in _seats_of(disk, arrays, now)
    ]


def _seats_of(disk: Disk, arrays: list[Array], now: datetime) -> list[Seat]:
    places = [
        (_key(array), member.name, member.slot)
        for array in arrays
        for member in array.members
        if member.name in (disk.name, *disk.partitions)
    ]
    carries = ", ".join(
        f"{use.kind} {use.name}"
        for use in disk.uses
        if use.kind in _MISSED or use.name.startswith("/")
    )
    facts = (disk.serial, disk.name, disk.model, disk.bay, disk.bus_path)
    return [
        Seat(*facts, array, member, slot, carries, now)
        for array, member, slot in places or [("", disk.name, None)]
    ]


def _key(array: Array) -> str:
    return array.uuid or array.name


def find_gone(array: Array, inventory: Inventory, seats: Sequence[Seat]) -> list[Seat]:
    """The disks that `array` misses and that are not here, each once.

    One that nobody saw in this array is named by what was last seen under its kernel name.
    """
    here = {disk.serial for disk in inventory.disks}
    lost = [seat for seat in seats if seat.serial not in here]
    failed = {member.name for member in array.members if member.is_failed}
    filled = {member.slot for member in array.members if member.slot is not None}
    found = [
        seat
        for seat in lost
        if seat.array == _key(array)
        and (seat.member in failed or (seat.slot is not None and seat.slot not in filled))
    ]
    unnamed = failed - {seat.member for seat in found}
    latest = {seat.member: seat for seat in sorted(lost, key=lambda seat: seat.seen)}
    return found + [latest[name] for name in sorted(unnamed) if name in latest]


def name_gone(seat: Seat) -> str:
    """A disk that is gone, as a person looks for it."""
    parts = [f"serial {seat.serial}"]
    parts += [f"bay {seat.bay}"] if seat.bay else []
    parts.append(f"last seen {format_time(seat.seen.replace(microsecond=0))}")
    return f"{seat.member} ({', '.join(parts)})"


def judge_vanished(
    inventory: Inventory, arrays: list[Array], seats: Sequence[Seat], now: datetime
) -> Iterator[Finding]:
    """Disks that were here, carried something, and that no array's finding names."""
    named = {
        seat.serial
        for array in arrays
        if array.is_degraded
        for seat in find_gone(array, inventory, seats)
    }
    here = {disk.serial for disk in inventory.disks} | named
    for seat in {seat.serial: seat for seat in seats}.values():
        if seat.serial in here or not seat.carries or now - seat.seen > _TOLD_FOR:
            continue
        place = f"bay {seat.bay}" if seat.bay else f"path {seat.bus_path}"
        yield Finding(
            subject=f"disk {seat.serial}",
            rule="disk.vanished",
            severity="warning",
            summary=f"{seat.model} {name_gone(seat)} is gone; it carried {seat.carries}",
            evidence=(Evidence("disk", ((seat.seen, place), (now, "not there"))),),
            consequence="What lay on it cannot be read.",
            action=f"Look at {place}: its cable, its power. If it was taken out on purpose, "
            "acknowledge this.",
        )
