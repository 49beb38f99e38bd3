"""What somebody should know of recovered VMs: one that stands still, has ended, or soon will.

Pure rules over VMs as they are shown. Nothing here asks a VM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from appliance.formats.finding import Evidence, Finding
from appliance.recovery.vm_note import VmStatus

SUBJECT = "vm "
"""How the subjects of these findings begin."""
_KEPT = "What it wrote is kept."


def judge_vms(vms: Iterable[VmStatus], now: datetime) -> Iterator[Finding]:
    """One finding at most for each VM: the worst."""
    for vm in vms:
        found = _judge(vm, now)
        if found is not None:
            yield found


def _judge(vm: VmStatus, now: datetime) -> Finding | None:
    subject = SUBJECT + vm.name
    state = (Evidence("state", ((now, vm.state),)),)
    down = f"What it serves is down until then. {_KEPT}"
    if vm.state == "io-error":
        return Finding(
            *(subject, "vm.full", "critical", "stands still: its disk or overlay is full", state),
            down,
            f"Free space on the box, then 'holdfast vms continue {vm.name}', or raise its limit "
            "with --overlay-limit.",
        )
    if vm.state == "internal-error":
        return Finding(
            *(subject, "vm.internal-error", "critical", "stopped with an internal error", state),
            down,
            f"'holdfast stop {vm.name}', then 'holdfast vms resume {vm.name}'.",
        )
    if vm.state == "stopped" and vm.is_wanted:
        return Finding(
            *(subject, "vm.ended", "critical", "has ended, and nobody stopped it", state),
            down,
            f"'holdfast vms resume {vm.name}' starts it as it was; 'stop' if it may rest.",
        )
    if vm.state == "damaged":
        return Finding(
            *(subject, "vm.damaged", "warning", "its note cannot be read", state),
            "It cannot be started, and its overlay keeps its space.",
            f"'holdfast stop {vm.name} --discard' removes it.",
        )
    if vm.warning is not None:
        limit_bytes = vm.overlay_limit_bytes
        used = Evidence("overlay", ((now, float(vm.overlay_bytes)),), "bytes", f"{limit_bytes}")
        return Finding(
            *(subject, "vm.filling", "warning", vm.warning, (used,)),
            "It is paused when that is full; no write is lost.",
            f"'holdfast failback {vm.name} TARGET' or 'migrate' ends the overlay; else give room.",
            measure=float(10 * vm.overlay_bytes // max(limit_bytes, 1)),
        )
    return None
