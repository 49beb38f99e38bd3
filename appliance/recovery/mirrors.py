"""QEMU's mirror jobs: disks of a running VM are copied elsewhere under it, and change over.

Owns jobs, the nodes they copy to, and the question on which of them a disk is. Never decides where
to, nor what is noted.

The jobs copy in the background. With `copy-mode: write-blocking` QEMU 7.2 corrupts its own memory
when such a job is cancelled while the guest writes ("malloc(): unaligned fastbin chunk detected"),
and dies with the guest in it; so the guest stands still for the last of it instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.recovery.hardware import moved_node
from appliance.recovery.monitor import Monitor, MonitorError
from appliance.recovery.runtime import poll
from appliance.recovery.vm_disks import delete_node

END_TIMEOUT_S = 60.0
_JOB = "move"


@dataclass(frozen=True)
class Mirroring:
    """Where the jobs stand: bytes copied, bytes that still differ, whether all have caught up."""

    done_bytes: int
    left_bytes: int
    is_ready: bool


def start_mirror(monitor: Monitor, disk: int, options: str) -> None:
    """Begin to copy a disk to the node that QEMU makes of `options`, a JSON object."""
    monitor.ask("blockdev-add", **json.loads(options))
    monitor.ask(
        "blockdev-mirror",
        **{
            "job-id": f"{_JOB}{disk}",
            "device": f"disk{disk}",
            "target": moved_node(disk),
            "sync": "full",
            "copy-mode": "background",
            "auto-dismiss": False,
            "auto-finalize": True,
        },
    )


def ask_mirrors(monitor: Monitor) -> Mirroring:
    """Where all jobs together stand. Raises HoldfastError if one has failed."""
    jobs = _list_jobs(monitor)
    _raise_failure(jobs)
    done_bytes = sum(int(job["current-progress"]) for job in jobs)
    total_bytes = sum(int(job["total-progress"]) for job in jobs)
    is_ready = bool(jobs) and all(job["status"] == "ready" for job in jobs)
    return Mirroring(done_bytes, total_bytes - done_bytes, is_ready)


def complete_mirrors(monitor: Monitor) -> None:
    """Have disks change over to what they are copied to. The guest stands still meanwhile.

    On return the targets durably hold what the guest wrote. Raises HoldfastError if one fails, or
    does not come to its end within END_TIMEOUT_S; some may have changed over then.
    """
    if not poll(lambda: ask_mirrors(monitor).is_ready, END_TIMEOUT_S):
        raise HoldfastError(f"the rest was not copied within {END_TIMEOUT_S:.0f} s")
    for job in _list_jobs(monitor):
        monitor.ask("job-complete", id=job["id"])
    ended = _await_end(monitor)
    _raise_failure(_list_jobs(monitor))
    if not ended:
        raise HoldfastError(f"QEMU did not switch within {END_TIMEOUT_S:.0f} s")


def end_mirrors(monitor: Monitor, disks: int) -> None:
    """End all jobs where they stand, and what no disk has changed over to; none is fine."""
    for job in _list_jobs(monitor):
        with suppress(MonitorError):
            monitor.ask("block-job-cancel", device=job["id"], force=True)
    _await_end(monitor)
    for job in _list_jobs(monitor):
        with suppress(MonitorError):
            monitor.ask("job-dismiss", id=job["id"])
    changed_over = find_moved(monitor, disks)
    for disk in range(disks):
        if not changed_over[disk]:
            delete_node(monitor, moved_node(disk))


def find_moved(monitor: Monitor, disks: int) -> tuple[bool, ...]:
    """For each disk whether the guest's is on the node that it was copied to."""
    nodes = {
        str(block.get("inserted", {}).get("node-name")) for block in monitor.ask("query-block")
    }
    return tuple(moved_node(disk) in nodes for disk in range(disks))


def _list_jobs(monitor: Monitor) -> list[dict[str, Any]]:
    return [job for job in monitor.ask("query-jobs") if str(job["id"]).startswith(_JOB)]


def _await_end(monitor: Monitor) -> bool:
    return poll(
        lambda: all(job["status"] == "concluded" for job in _list_jobs(monitor)), END_TIMEOUT_S
    )


def _raise_failure(jobs: Sequence[dict[str, Any]]) -> None:
    for job in jobs:
        if job.get("error"):
            disk = str(job["id"]).removeprefix(_JOB)
            raise HoldfastError(f"QEMU could not mirror disk {disk}: {job['error']}")
