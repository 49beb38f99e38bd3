"""Plans for arrays: check, spare, create, grow.

Owns these plans and the choice of a layout. Never touches an array itself: `plans` does, when
somebody has seen the plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.base.errors import NotFoundError, UsageError
from appliance.base.process import find_program
from appliance.base.text import counted, size
from appliance.health.array_rules import array_path
from appliance.health.arrays import REDUNDANT_LEVELS, Array
from appliance.health.content import describe_content
from appliance.health.inventory import Disk, Inventory
from appliance.health.kernel_tree import KernelTree
from appliance.health.plans import Plan, Step
from appliance.health.replacement import clear_step, describe_disk, refuse_new, require_disk

# Beyond so many disks a rebuild takes long enough that one waiting spare is worth its place.
_SPARE_FROM = 8
_GROWABLE = ("raid1", "raid4", "raid5", "raid6")


def require_array(arrays: list[Array], word: str) -> Array:
    """The array called `word`. Raises NotFoundError naming those there are."""
    name = word.removeprefix("/dev/")
    for array in arrays:
        if name in (array.name, array.uuid):
            return array
    known = ", ".join(array.name for array in arrays) or "there is none"
    raise NotFoundError(f"there is no array {word}: {known}")


def plan_check(tree: KernelTree, array: Array) -> Plan:
    """Read all of it and compare the members; nothing is changed."""
    refusals = []
    if array.level not in REDUNDANT_LEVELS:
        refusals.append(f"{array.name} is {array.level}: there is nothing to compare")
    elif array.activity is not None:
        refusals.append(f"{array.name} is busy with {array.activity.action}: wait for its end")
    elif array.is_degraded:
        refusals.append(f"{array.name} lacks members: replace them first")
    step = Step(
        f"read all of {array.name} and compare its members",
        file=tree.block(array.name) / "md/sync_action",
        value="check",
    )
    return Plan(f"check {array.name}", (step,), refusals=tuple(refusals))


def plan_spare(inventory: Inventory, array: Array, new: str, erase: str) -> Plan:
    """Add a disk that takes over when one fails, or at once where one is missing."""
    disk = require_disk(inventory, new)
    refusals = refuse_new(disk, erase)
    if array.level not in REDUNDANT_LEVELS:
        refusals.append(f"{array.name} is {array.level}, which has no use for a spare")
    if disk.size_bytes < array.component_bytes:
        refusals.append(
            f"{disk.name} is too small: {size(disk.size_bytes)}, needed are "
            f"{size(array.component_bytes)}"
        )
    steps: tuple[Step, ...] = ()
    if not refusals:
        mdadm = find_program("mdadm", "mdadm")
        what = "which rebuilds onto it" if array.is_degraded else "where it waits"
        steps = (
            clear_step(disk),
            Step(
                f"add {disk.path} to {array.name}, {what}",
                (mdadm, array_path(array), "--add", disk.path),
            ),
        )
    return Plan(
        f"give {array.name} the spare {describe_disk(disk)}",
        steps,
        (f"everything on {disk.name} is overwritten",),
        tuple(refusals),
    )


# ---- create -------------------------------------------------------------------------------------


def choose_level(count: int) -> str:
    """The best level for `count` equal disks of a backup store: safe first, then large.

    Two disks mirror. Three survive one failure. From four on two may fail, because a rebuild of
    large disks takes days and reads every sector of the others.

    >>> [choose_level(count) for count in (2, 3, 4, 12)]
    ['raid1', 'raid5', 'raid6', 'raid6']
    """
    if count < 2:
        raise UsageError("an array needs two disks at least: put in another one")
    return {2: "raid1", 3: "raid5"}.get(count, "raid6")


def choose_disks(inventory: Inventory) -> list[Disk]:
    """The largest group of empty, equally large disks that are of one kind."""
    groups: dict[tuple[int, bool], list[Disk]] = {}
    for disk in inventory.disks:
        if disk.hidden is None and disk.transport != "usb" and not describe_content(disk):
            key = (disk.size_bytes // 10**9, disk.is_rotating)
            groups.setdefault(key, []).append(disk)
    return max(
        groups.values(),
        key=lambda disks: (len(disks), sum(disk.size_bytes for disk in disks)),
        default=[],
    )


def plan_creation(
    inventory: Inventory,
    arrays: list[Array],
    words: Sequence[str],
    *,
    level: str = "",
    erase: Sequence[str] = (),
) -> Plan:
    """A new array of the disks `words`, or of all that are empty and alike."""
    disks = [require_disk(inventory, word) for word in words] or choose_disks(inventory)
    if len({disk.name for disk in disks}) != len(disks):
        raise UsageError("a disk is named twice")
    level = level or choose_level(len(disks))
    with_spare = not words and len(disks) >= _SPARE_FROM
    active = len(disks) - with_spare
    refusals = _refuse_layout(level, active)
    for disk in disks:
        consent = disk.serial if disk.serial in erase else disk.name if disk.name in erase else ""
        refusals += refuse_new(disk, consent)
        if disk.hidden is not None:
            refusals.append(f"{disk.name} is a volume of a RAID controller: use its own redundancy")
    taken = {array.name for array in arrays}
    name = next(f"md{number}" for number in range(len(taken) + 1) if f"md{number}" not in taken)
    smallest = min((disk.size_bytes for disk in disks), default=0)
    usable = smallest * _data_disks(level, active)
    warnings = [f"everything on {', '.join(disk.name for disk in disks)} is overwritten"]
    if any(disk.size_bytes > 1.05 * smallest for disk in disks):
        warnings.append(f"of each disk only {size(smallest)} are used, as much as the smallest has")
    steps = [] if refusals else _creation_steps(name, level, disks, active)
    return Plan(
        f"make {name} of {counted(len(disks), 'disk')}: {level}, about {size(usable)}, "
        f"{_survives(level)} may fail" + (", one waits as spare" if with_spare else ""),
        tuple(steps),
        tuple(warnings),
        tuple(refusals),
        {"array": name, "level": level, "disks": [disk.name for disk in disks]},
    )


def _refuse_layout(level: str, count: int) -> list[str]:
    least = {"raid1": 2, "raid10": 2, "raid5": 3, "raid6": 4}.get(level)
    if least is None:
        return [f"{level} is refused: one disk that fails would take all; say raid1, 5, 6 or 10"]
    if count < least:
        return [f"{level} needs {least} disks at least, these are {count}"]
    return []


def _data_disks(level: str, count: int) -> int:
    return {"raid1": 1, "raid5": count - 1, "raid6": count - 2}.get(level, count // 2)


def _survives(level: str) -> str:
    return "two" if level == "raid6" else "one"


def _creation_steps(name: str, level: str, disks: list[Disk], active: int) -> list[Step]:
    mdadm = find_program("mdadm", "mdadm")
    paths = [disk.path for disk in disks]
    argv = [mdadm, "--create", f"/dev/{name}", "--run", "--bitmap=internal", f"--level={level}"]
    argv += ["--metadata=1.2", f"--raid-devices={active}"]
    argv += [f"--spare-devices={len(paths) - active}"] if len(paths) > active else []
    return [
        *(clear_step(disk) for disk in disks),
        Step(f"make /dev/{name} ({level})", (*argv, *paths)),
    ]


# ---- grow ---------------------------------------------------------------------------------------


def plan_growth(inventory: Inventory, array: Array, new: str | None, erase: str) -> Plan:
    """Use what larger members offer; with `new` take one more disk into the array."""
    refusals = []
    if array.level not in _GROWABLE:
        refusals.append(f"{array.name} is {array.level}, which cannot grow in place")
    if array.is_degraded or array.activity is not None:
        refusals.append(f"{array.name} is not at rest: wait until it is complete")
    warnings = [
        "the filesystem on it grows afterwards: 'resize2fs' (ext4) or 'xfs_growfs' (XFS)",
    ]
    if new is None:
        return _plan_larger(inventory, array, refusals, warnings)
    disk = require_disk(inventory, new)
    refusals += refuse_new(disk, erase)
    if disk.size_bytes < array.component_bytes:
        refusals.append(f"{disk.name} is too small for {array.name}")
    steps: tuple[Step, ...] = ()
    if not refusals:
        mdadm = find_program("mdadm", "mdadm")
        path = array_path(array)
        steps = (
            clear_step(disk),
            Step(f"add {disk.path} to {array.name}", (mdadm, path, "--add", disk.path)),
            Step(
                f"spread {array.name} over {array.slots + 1} disks",
                (mdadm, "--grow", path, f"--raid-devices={array.slots + 1}"),
            ),
        )
    warnings.append("spreading the data anew takes hours; a power cut meanwhile is survived")
    title = f"grow {array.name} by {describe_disk(disk)}"
    return Plan(title, steps, tuple(warnings), tuple(refusals))


def _plan_larger(
    inventory: Inventory, array: Array, refusals: list[str], warnings: list[str]
) -> Plan:
    sizes = {}
    for member in array.members:
        disk = inventory.disk_of(member.name)
        if disk is not None and disk.name == member.name:
            sizes[member.name] = disk.size_bytes
    least = min(sizes.values(), default=0)
    # Superblock and bitmap take some MiB of each member.
    if len(sizes) < array.slots or least <= array.component_bytes + (256 << 20):
        smallest = min(sizes, key=lambda name: sizes[name], default="a member")
        refusals.append(
            f"{array.name} already uses all that {smallest} has: replace the smaller disks by "
            "larger ones first, or name a disk to add"
        )
    steps: tuple[Step, ...] = ()
    if not refusals:
        mdadm = find_program("mdadm", "mdadm")
        argv = (mdadm, "--grow", array_path(array), "--size=max")
        steps = (Step(f"let {array.name} use all of its members", argv),)
    return Plan(f"grow {array.name} in place", steps, tuple(warnings), tuple(refusals))
