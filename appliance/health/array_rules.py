"""What is wrong with an array, why that matters, and what to do.

Owns the rules. Never reads the tree itself: arrays come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from appliance.base.text import duration
from appliance.formats.disk_seat import Seat
from appliance.formats.finding import Evidence, Finding
from appliance.health.arrays import REDUNDANT_LEVELS, Array, Member
from appliance.health.inventory import Inventory
from appliance.health.seats import find_gone, name_gone

_STOPPED = ("inactive", "broken", "suspended", "clear")
# Corrected read errors after which the kernel itself gives a member up (md: max_read_errors).
_READ_ERRORS_MAX = 20
MISMATCH_LEVELS = ("raid4", "raid5", "raid6")
"""Levels for which a mismatch is always an error: swap on a mirror differs for good reasons."""


def judge_array(
    array: Array, inventory: Inventory, now: datetime, seats: Sequence[Seat] = ()
) -> Iterator[Finding]:
    """Every finding about `array`; `seats` name the members that are gone."""
    if array.state in _STOPPED:
        yield _judge_stopped(array, now)
        return
    if array.is_degraded:
        yield _judge_degraded(array, inventory, now, find_gone(array, inventory, seats))
    elif failed := [member for member in array.members if member.is_failed]:
        yield _judge_leftover(array, failed, inventory, now)
    if array.level not in REDUNDANT_LEVELS:
        yield _judge_bare(array, now)
    if array.mismatches:
        yield _judge_mismatches(array, now)
    if array.level in REDUNDANT_LEVELS and not array.bitmap:
        yield _judge_bitmap(array, now)
    for member in array.members:
        if member.errors and not member.is_failed:
            yield _judge_read_errors(array, member, inventory, now)
        if member.is_wanted_out and not array.is_replacing:
            yield _judge_wanted_out(array, member, inventory, now)


def _judge_stopped(array: Array, now: datetime) -> Finding:
    return Finding(
        subject=array.subject,
        rule="array.stopped",
        severity="critical",
        summary=f"{array.name} does not run: {array.state}",
        evidence=(
            Evidence("array_state", ((now, array.state),)),
            Evidence("members", ((now, len(array.members)),), "", f"{array.slots} needed"),
        ),
        consequence="Nothing on it can be read.",
        action="Check the cables of its disks and plug back what was pulled; then 'mdadm --assemble"
        " --scan'. Never create it anew.",
        measure=array.slots - len(array.members),
    )


def _judge_degraded(
    array: Array, inventory: Inventory, now: datetime, lost: Sequence[Seat]
) -> Finding:
    failed = [member for member in array.members if member.is_failed]
    known = {seat.member: name_gone(seat) for seat in lost}
    known |= {
        member.name: name_member(member, inventory) for member in failed if member.name not in known
    }
    gone = ", ".join(known.values()) or "a disk that is gone"
    running = array.activity
    is_rebuilding = running is not None and running.action == "recover"
    if is_rebuilding and running is not None:
        left = f", {duration(running.eta_s)} to go" if running.eta_s is not None else ""
        action = f"Wait: it is being rebuilt ({running.done:.0%}{left}). Pull no disk."
    elif failed:
        action = (
            f"Put in a new disk and run 'holdfast disks replace {failed[0].name} NEW'; "
            "'holdfast disks' lists what is there."
        )
    else:
        action = f"Put in a new disk and run 'holdfast array spare {array.name} NEW'."
    left_text = (
        "The next disk that fails takes all its data."
        if array.redundancy == 0
        else f"{array.redundancy} more may fail before data is lost."
    )
    if array.level in MISMATCH_LEVELS:
        left_text += " A power cut meanwhile may spoil what was being written beside other data."
    return Finding(
        subject=array.subject,
        rule="array.degraded",
        severity="critical" if array.redundancy == 0 and not is_rebuilding else "warning",
        summary=f"{array.name} ({array.level}) lacks {array.missing} of {array.slots} members: "
        f"{gone}",
        evidence=(
            Evidence("degraded", ((now, array.missing),), "members", "0"),
            *(
                Evidence(f"state of {member.name}", ((now, ",".join(member.states)),))
                for member in failed
            ),
        ),
        consequence=left_text,
        action=action,
        measure=array.missing,
    )


def _judge_leftover(
    array: Array, failed: list[Member], inventory: Inventory, now: datetime
) -> Finding:
    member = failed[0]
    return Finding(
        subject=array.subject,
        rule="array.failed-member",
        severity="notice",
        summary=f"{array.name} is complete and still lists the failed "
        f"{name_member(member, inventory)}",
        evidence=(Evidence(f"state of {member.name}", ((now, ",".join(member.states)),)),),
        consequence="None for the data. The slot is taken until it is removed.",
        action=f"'mdadm {array_path(array)} --remove /dev/{member.name}', then pull the disk.",
        measure=len(failed),
    )


def _judge_bare(array: Array, now: datetime) -> Finding:
    return Finding(
        subject=array.subject,
        rule="array.no-redundancy",
        severity="warning",
        summary=f"{array.name} is {array.level}: it survives the loss of no disk",
        evidence=(Evidence("level", ((now, array.level),)),),
        consequence="The first disk that fails takes all its data.",
        action="Keep nothing on it that has no second copy; make a redundant array with "
        "'holdfast array create'.",
    )


def _judge_mismatches(array: Array, now: datetime) -> Finding:
    is_parity = array.level in MISMATCH_LEVELS
    return Finding(
        subject=array.subject,
        rule="array.mismatch",
        severity="warning" if is_parity else "notice",
        summary=f"{array.mismatches} sectors of {array.name} differed between its members "
        f"when it was last checked ({array.last_action or 'check'})",
        evidence=(Evidence("mismatch_cnt", ((now, array.mismatches),), "sectors", "0"),),
        consequence="After a failure the rebuilt disk may hold wrong bytes there. "
        "The store notices them by its own sums.",
        action="Run 'holdfast scrub --all', then look at the disks' findings for a bad disk, cable "
        "or memory, and check again with 'holdfast array check'.",
        measure=array.mismatches,
    )


def _judge_bitmap(array: Array, now: datetime) -> Finding:
    return Finding(
        subject=array.subject,
        rule="array.no-bitmap",
        severity="notice",
        summary=f"{array.name} has no write-intent bitmap",
        evidence=(Evidence("bitmap", ((now, "none"),)),),
        consequence="After a power cut all of it is compared again, which takes hours.",
        action=f"'mdadm --grow {array_path(array)} --bitmap=internal'.",
    )


def _judge_read_errors(
    array: Array, member: Member, inventory: Inventory, now: datetime
) -> Finding:
    return Finding(
        subject=array.subject,
        rule=f"array.read-errors.{member.name}",
        severity="warning",
        summary=f"{name_member(member, inventory)} could not be read {member.errors} times; "
        f"{array.name} answered from other members and wrote it anew",
        evidence=(Evidence("errors", ((now, member.errors),), "", f"{_READ_ERRORS_MAX} an hour"),),
        consequence="The disk is losing sectors. The array gives it up if this goes on.",
        action=f"See 'holdfast disks show {member.name}', and have a new disk ready.",
        measure=member.errors,
    )


def _judge_wanted_out(array: Array, member: Member, inventory: Inventory, now: datetime) -> Finding:
    """A write failed; what lies there is on the other members only, and the kernel keeps a list."""
    return Finding(
        subject=array.subject,
        rule=f"array.member-errors.{member.name}",
        severity="warning" if array.redundancy else "critical",
        summary=f"{name_member(member, inventory)} could not be written: {array.name} keeps using "
        "it and wants it replaced",
        evidence=(Evidence(f"state of {member.name}", ((now, ",".join(member.states)),)),),
        consequence="Sectors of it are on other members only: the next failure may take them.",
        action=f"Put in a new disk and run 'holdfast disks replace {member.name} NEW': it stays in "
        "use until its copy is complete.",
    )


def name_member(member: Member, inventory: Inventory) -> str:
    """A member as a person finds it: kernel name, serial number, bay."""
    disk = inventory.disk_of(member.name)
    if disk is None:
        return member.name
    parts = [f"serial {disk.serial}"] if disk.serial else []
    parts += [f"bay {disk.bay}"] if disk.bay else []
    return f"{member.name} ({', '.join(parts)})" if parts else member.name


def array_path(array: Array) -> str:
    """The device node of an array."""
    return f"/dev/{array.name}"
