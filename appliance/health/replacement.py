"""Replacing a disk of an array, so that nobody pulls or overwrites the wrong one.

Owns the plan and its guards. A disk that still works stays in the array until its copy is complete
(`mdadm --replace`), so the redundancy never becomes less; one that failed is taken out first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from appliance.base.errors import NotFoundError
from appliance.base.process import find_program, run
from appliance.base.text import size
from appliance.health.array_rules import array_path, name_member
from appliance.health.arrays import REDUNDANT_LEVELS, Array, Member
from appliance.health.content import describe_content, is_in_use
from appliance.health.inventory import Disk, Inventory
from appliance.health.plans import Plan, Step


@dataclass(frozen=True)
class Consent:
    """What the person said beyond the two names.

    Attributes:
        erase: serial number (or kernel name) of the new disk, which may be overwritten.
        is_healthy_too: the old disk may be one that nothing is wrong with.
    """

    erase: str = ""
    is_healthy_too: bool = False


def plan_replacement(
    inventory: Inventory,
    arrays: list[Array],
    old: str,
    new: str,
    *,
    sick: Collection[str] = (),
    consent: Consent | None = None,
) -> Plan:
    """How disk `old` is replaced by `new`; `sick` are the subjects of disks with findings.

    Raises NotFoundError when a name is no disk here.
    """
    consent = consent or Consent()
    fresh = require_disk(inventory, new)
    leaving = inventory.find(old)
    names = (leaving.name, *leaving.partitions) if leaving else (old.removeprefix("/dev/"),)
    places = [
        (array, member) for array in arrays for member in array.members if member.name in names
    ]
    if not places:
        require_disk(inventory, old)
        return Plan(
            f"replace {old} by {fresh.path}",
            refusals=(f"{old} is a member of no array: 'holdfast array' lists them",),
        )
    refusals = [
        *_refuse_old(places, leaving, inventory, sick, consent),
        *refuse_new(fresh, consent.erase),
        *_refuse_size(places, fresh),
    ]
    if leaving is not None and fresh.name == leaving.name:
        refusals.insert(0, f"{old} and {new} are the same disk")
    steps = [] if refusals else _list_steps(places, leaving, fresh, inventory)
    array = places[0][0]
    return Plan(
        title=f"replace {name_member(places[0][1], inventory)} in {array.name} ({array.level}) by "
        f"{describe_disk(fresh)}",
        steps=tuple(steps),
        warnings=tuple(_warn(places, fresh)),
        refusals=tuple(refusals),
        facts={"arrays": [array.name for array, _ in places], "new": fresh.name, "old": old},
    )


def require_disk(inventory: Inventory, word: str) -> Disk:
    """The disk called `word`. Raises NotFoundError naming those there are."""
    disk = inventory.find(word)
    if disk is None:
        known = ", ".join(f"{disk.name} ({disk.serial})" for disk in inventory.disks) or "none"
        raise NotFoundError(f"there is no disk {word}: {known}")
    return disk


def describe_disk(disk: Disk) -> str:
    """A disk as a person finds it."""
    parts = [disk.model, f"serial {disk.serial}" if disk.serial else "", size(disk.size_bytes)]
    parts.append(f"bay {disk.bay}" if disk.bay else "")
    return f"{disk.name} ({', '.join(part for part in parts if part)})"


def refuse_new(disk: Disk, erase: str) -> list[str]:
    """Why `disk` must not be overwritten."""
    content = describe_content(disk)
    if not content:
        return []
    if is_in_use(disk):
        return [f"{disk.name} is in use: {content}. Choose another disk"]
    if erase in (disk.serial, disk.name) and erase:
        return []
    return [
        f"{disk.name} carries {content}: if that may be lost, say --erase "
        f"{disk.serial or disk.name}"
    ]


def _refuse_old(
    places: list[tuple[Array, Member]],
    leaving: Disk | None,
    inventory: Inventory,
    sick: Collection[str],
    consent: Consent,
) -> list[str]:
    refusals = []
    for array, member in places:
        failed = [other for other in array.members if other.is_failed and other != member]
        if array.level not in REDUNDANT_LEVELS:
            refusals.append(
                f"{array.name} is {array.level}: without {member.name} all its data is gone. Copy "
                "it elsewhere first"
            )
        elif member.is_in_sync and failed:
            refusals.append(
                f"{member.name} works; the one that failed in {array.name} is "
                f"{name_member(failed[0], inventory)}: replace that one"
            )
        elif array.activity is not None and array.activity.action in ("recover", "reshape"):
            refusals.append(
                f"{array.name} is busy with {array.activity.action} "
                f"({array.activity.done:.0%}): wait until it has ended"
            )
        elif member.is_in_sync and array.is_degraded:
            refusals.append(
                f"{array.name} lacks a member and {member.name} works: fill the empty place "
                f"first, 'holdfast array spare {array.name} NEW'"
            )
    is_known_sick = leaving is not None and leaving.subject in sick
    is_failed = any(member.is_failed or member.is_wanted_out for _, member in places)
    if not refusals and not (is_known_sick or is_failed or consent.is_healthy_too):
        refusals.append(
            f"nothing is wrong with {places[0][1].name}: is it the right disk? If so, say "
            "--healthy-too"
        )
    return refusals


def _refuse_size(places: list[tuple[Array, Member]], fresh: Disk) -> list[str]:
    needed = sum(max(array.component_bytes, member.size_bytes) for array, member in places)
    if fresh.size_bytes >= needed:
        return []
    return [f"{fresh.name} is too small: {size(fresh.size_bytes)}, needed are {size(needed)}"]


def _warn(places: list[tuple[Array, Member]], fresh: Disk) -> list[str]:
    warnings = [f"everything on {fresh.name} is overwritten"]
    for array, member in places:
        if not member.is_in_sync and array.redundancy == 0:
            warnings.append(
                f"until {array.name} is rebuilt, the next disk that fails takes its data"
            )
        if fresh.size_bytes > 1.1 * max(member.size_bytes, array.component_bytes):
            warnings.append(
                f"{fresh.name} is larger than {array.name} uses: 'holdfast array grow "
                f"{array.name}' when all members are as large"
            )
    return warnings


def _list_steps(
    places: list[tuple[Array, Member]], leaving: Disk | None, fresh: Disk, inventory: Inventory
) -> list[Step]:
    mdadm = find_program("mdadm", "mdadm")
    steps = [clear_step(fresh)]
    partitioned = leaving is not None and leaving.partitions and places[0][1].name != leaving.name
    if partitioned and leaving is not None:
        steps.append(_copy_table(leaving, fresh))
    for array, member in places:
        target = fresh.path
        if partitioned and leaving is not None:
            number = member.name.removeprefix(leaving.name)
            target = f"{fresh.path}{_part_mark(fresh.name)}{number.lstrip('p')}"
        path, gone = array_path(array), f"/dev/{member.name}"
        if inventory.disk_of(member.name) is None:
            gone = "detached"  # it has no node any more: mdadm finds it by that
        if member.is_in_sync:
            steps += [
                Step(f"add {target} to {array.name}", (mdadm, path, "--add", target)),
                Step(
                    f"copy {gone} to {target} while it stays in {array.name}",
                    (mdadm, path, "--replace", gone, "--with", target),
                ),
            ]
        else:
            steps += [
                Step(f"take {member.name} out of {array.name}", (mdadm, path, "--remove", gone)),
                Step(
                    f"add {target} to {array.name}, which rebuilds onto it",
                    (mdadm, path, "--add", target),
                ),
            ]
    return steps


def clear_step(disk: Disk) -> Step:
    """Take away what older uses left at the ends of `disk`, so that nothing finds them again."""
    wipefs = find_program("wipefs", "util-linux")
    return Step(f"clear old signatures of {disk.path}", (wipefs, "--all", "--quiet", disk.path))


def _copy_table(leaving: Disk, fresh: Disk) -> Step:
    sfdisk = find_program("sfdisk", "fdisk")
    table = run([sfdisk, "--dump", leaving.path])
    # Identifiers of the old disk would be there twice, and its last usable sector is not ours.
    kept = [
        line
        for line in table.splitlines()
        if not line.startswith(("label-id:", "last-lba:", "device:"))
    ]
    script = "\n".join(line.split(", uuid=")[0] for line in kept) + "\n"
    return Step(
        f"give {fresh.path} the partitions of {leaving.path}",
        (sfdisk, "--quiet", fresh.path),
        stdin=script,
    )


def _part_mark(name: str) -> str:
    """What stands between a disk's name and its partition's number."""
    return "p" if name[-1].isdigit() else ""
