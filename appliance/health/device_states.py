"""What the kernel says of a disk without asking it: given up, or a volume that lost a member.

Owns the words of the kernel's SCSI, NVMe and RAID classes and what they mean. Never asks a disk or
a controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from appliance.formats.finding import Evidence, Finding, Severity
from appliance.health.inventory import Disk
from appliance.health.kernel_tree import KernelTree, read_text

# drivers/scsi/scsi_sysfs.c, sdev_states; drivers/nvme/host/core.c, nvme_sysfs_show_state.
_GIVEN_UP = ("offline", "transport-offline", "dead")
# drivers/scsi/raid_class.c, raid_states. What survives another failure is level 6 only.
_VOLUME: dict[str, tuple[Severity, str]] = {
    "offline": ("critical", "does not run"),
    "degraded": ("critical", "has lost a member"),
    "resyncing": ("notice", "is being made whole again"),
}
_DOUBLE_PARITY = ("raid-6", "raid 6")


def judge_states(tree: KernelTree, disks: Iterable[Disk], now: datetime) -> Iterator[Finding]:
    """Disks that the kernel gave up, and volumes of controllers that are not whole."""
    for disk in disks:
        # A SCSI disk has its state at its device, an NVMe disk at its controller.
        state = read_text(tree.block(disk.name) / "device/state")
        if state in _GIVEN_UP:
            yield Finding(
                subject=disk.subject,
                rule="disk.given-up",
                severity="critical",
                summary=f"the kernel has given {disk.path} up: {state}",
                evidence=(Evidence("device/state", ((now, state),)),),
                consequence="Nothing on it can be read or written until it comes back.",
                action="Look at its cable, its power and its bay; plug it in again. If it goes "
                "again: 'holdfast disks replace'.",
            )
        if disk.hidden is not None and disk.hidden.state in _VOLUME:
            yield _judge_volume(disk, disk.hidden.level, disk.hidden.state, now)


def _judge_volume(disk: Disk, level: str, state: str, now: datetime) -> Finding:
    severity, words = _VOLUME[state]
    if state == "degraded" and level.lower() in _DOUBLE_PARITY:
        severity = "warning"
    return Finding(
        subject=disk.subject,
        rule="disk.volume",
        severity=severity,
        summary=f"the volume {disk.path} of a RAID controller {words}"
        + (f" ({level})" if level else ""),
        evidence=(Evidence("state of the volume", ((now, state),), "", "active"),),
        consequence="It is slow meanwhile; a member that fails now may take all of it."
        if state == "resyncing"
        else "What lies on it is lost, or is with the next member that fails.",
        action="The controller hides its members: its maker's tool names the disk to replace.",
    )
