"""The disks of a VM at one moment, readable over NBD while it runs on.

A running QEMU keeps what the guest overwrites in a file beside the overlay until the moment is let
go of; a stopped VM's disks are served by QEMU's storage daemon (`moment_daemon`). Owns those nodes,
jobs and files, and clears away what a killed command left of them. Never reads the disks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.base import process
from appliance.recovery.disk_server import (
    SOCKET,
    ServeArgv,
    end_disk_server,
    find_disk_server,
    start_disk_server,
)
from appliance.recovery.guest_agent import still_filesystems
from appliance.recovery.hardware import node_of
from appliance.recovery.moment_daemon import MOMENT_SOCKET, end_daemon, start_daemon
from appliance.recovery.monitor import Monitor, MonitorError
from appliance.recovery.runtime import poll
from appliance.recovery.vm_note import VmNote
from appliance.sources.nbd import NbdAddress, NbdClient

BITMAP_PREFIX = "holdfast-"
_DEPTHS = "qemu:allocation-depth"
_RELEASE_TIMEOUT_S = 30.0
_COARSE_BYTES = 4 << 20
Range = tuple[int, int]
"""Offset and length in bytes."""


@dataclass(frozen=True)
class Moment:
    """Disks as they were at one moment. `is_still`: a guest agent had stilled the filesystems.

    `own_depth`: what lies so deep in QEMU's chain of nodes, or less, the VM may have written.
    """

    addresses: tuple[NbdAddress, ...]
    own_depth: int
    is_still: bool

    def written(self, disk: int) -> list[Range]:
        """Where the VM may have written since its point, in multiples of 4 MiB.

        Everything, if QEMU does not tell.
        """
        with NbdClient(self.addresses[disk], [_DEPTHS]) as client:
            if not client.context_ids:
                return [(0, client.size_bytes)]
            found: list[Range] = []
            at = 0
            while at < client.size_bytes:
                for length, depth in client.statuses(at, client.size_bytes - at):
                    if 0 < depth <= self.own_depth:
                        _append(found, at, at + length)
                    at += length
            return found


def _append(found: list[Range], start: int, end: int) -> None:
    start -= start % _COARSE_BYTES
    end = -(-end // _COARSE_BYTES) * _COARSE_BYTES
    if found and start <= sum(found[-1]):
        found[-1] = (found[-1][0], end - found[-1][0])
    else:
        found.append((start, end - start))


@contextmanager
def moment_of(folder: Path, note: VmNote, serve_argv: ServeArgv) -> Iterator[Moment]:
    """The disks of a VM as they are now, until the block ends.

    The caller holds the lock of the VM's disks, and of the VM itself if it does not run. Raises
    HoldfastError when QEMU does not do its part.
    """
    is_running = note.guest is not None and note.guest.qemu.is_alive()
    with (_running if is_running else _stopped)(folder, note, serve_argv) as moment:
        yield moment


def _addresses(folder: Path, note: VmNote) -> tuple[NbdAddress, ...]:
    path = folder / MOMENT_SOCKET
    return tuple(NbdAddress(f"disk{disk}", path) for disk in range(note.disks))


# ---- running ------------------------------------------------------------------------------------


@contextmanager
def _running(folder: Path, note: VmNote, _: ServeArgv) -> Iterator[Moment]:
    is_still = hold_moment(folder, note)
    try:
        yield Moment(_addresses(folder, note), 2, is_still)
    finally:
        release_moment(folder, note)


def hold_moment(
    folder: Path,
    note: VmNote,
    actions: Sequence[dict[str, Any]] = (),
    bitmaps: Sequence[str] = (),
) -> bool:
    """Hold a running VM's disks; says whether an agent stilled the filesystems.

    `actions` of QEMU's transaction happen at the same moment; `bitmaps` are served with the disks.
    """
    release_moment(folder, note)
    with Monitor(folder) as monitor:
        sizes = {
            node["node-name"]: int(node["image"]["virtual-size"])
            for node in monitor.ask("query-named-block-nodes", flat=True)
            if node.get("node-name")
        }
        for disk in range(note.disks):
            _add_moment_node(monitor, folder, disk, node_of(note.moved, disk), sizes)
        is_agent_there = has_agent(monitor)
    copies = [
        {
            "type": "blockdev-backup",
            "data": {
                "job-id": f"moment{disk}",
                "device": node_of(note.moved, disk),
                "target": f"moment{disk}",
                "sync": "none",
            },
        }
        for disk in range(note.disks)
    ]
    stillness = still_filesystems(folder) if is_agent_there else nullcontext(enter_result=False)
    with stillness as is_still, Monitor(folder) as monitor:
        monitor.ask("transaction", actions=[*copies, *actions])
    export_nodes(folder, [f"moment{disk}" for disk in range(note.disks)], bitmaps)
    return is_still


def has_agent(monitor: Monitor) -> bool:
    """Whether the guest runs an agent, as far as QEMU knows."""
    return any(
        device["label"] == "agent" and device["frontend-open"]
        for device in monitor.ask("query-chardev")
    )


def _add_moment_node(
    monitor: Monitor, folder: Path, disk: int, node: str, sizes: dict[str, int]
) -> None:
    path = f"moment-{disk}.qcow2"
    qemu_img = process.find_program("qemu-img", "qemu-utils")
    process.run([qemu_img, "create", "-q", "-f", "qcow2", path, str(sizes[node])], cwd=folder)
    monitor.ask(
        "blockdev-add",
        **{
            "driver": "qcow2",
            "node-name": f"moment{disk}",
            "file": {"driver": "file", "filename": path},
            "backing": node,
        },
    )


def export_nodes(folder: Path, nodes: Sequence[str], bitmaps: Sequence[str] = ()) -> None:
    """Have QEMU serve `nodes` as disk0, disk1, ... at MOMENT_SOCKET."""
    (folder / MOMENT_SOCKET).unlink(missing_ok=True)
    with Monitor(folder) as monitor:
        address = {"type": "unix", "data": {"path": MOMENT_SOCKET}}
        monitor.ask("nbd-server-start", **{"addr": address, "max-connections": 0})
        for disk, node in enumerate(nodes):
            monitor.ask(
                "block-export-add",
                **{
                    "type": "nbd",
                    "id": f"moment{disk}",
                    "node-name": node,
                    "name": f"disk{disk}",
                    "allocation-depth": True,
                    "bitmaps": list(bitmaps),
                },
            )


def release_moment(folder: Path, note: VmNote) -> None:
    """Let go of what `hold_moment` and `export_nodes` made, finished or not; nothing is fine."""
    with suppress(MonitorError), Monitor(folder) as monitor:
        for disk in range(note.disks):
            with suppress(MonitorError):
                monitor.ask("block-export-del", id=f"moment{disk}", mode="hard")
        with suppress(MonitorError):
            monitor.ask("nbd-server-stop")
        for disk in range(note.disks):
            with suppress(MonitorError):
                monitor.ask("block-job-cancel", device=f"moment{disk}", force=True)
        poll(lambda: not _list_moment_jobs(monitor), _RELEASE_TIMEOUT_S)
        for disk in range(note.disks):
            delete_node(monitor, f"moment{disk}")
    (folder / MOMENT_SOCKET).unlink(missing_ok=True)
    for path in folder.glob("moment-*.qcow2"):
        path.unlink(missing_ok=True)


def release_bitmaps(monitor: Monitor) -> None:
    """Remove the bitmaps whose names begin with BITMAP_PREFIX, in use by nobody any more."""
    for node in monitor.ask("query-named-block-nodes", flat=True):
        for bitmap in node.get("dirty-bitmaps", []):
            if str(bitmap.get("name")).startswith(BITMAP_PREFIX):
                with suppress(MonitorError):
                    words = {"node": node["node-name"], "name": bitmap["name"]}
                    monitor.ask("block-dirty-bitmap-remove", **words)


def _list_moment_jobs(monitor: Monitor) -> list[str]:
    jobs = monitor.ask("query-block-jobs")
    return [job["device"] for job in jobs if str(job["device"]).startswith("moment")]


def delete_node(monitor: Monitor, node: str) -> None:
    """Delete a node as soon as nothing uses it; gives up after a while."""

    def is_gone() -> bool:
        found = monitor.ask("query-named-block-nodes", flat=True)
        if node not in {one.get("node-name") for one in found}:
            return True
        with suppress(MonitorError):
            monitor.ask("blockdev-del", **{"node-name": node})
        return False

    poll(is_gone, _RELEASE_TIMEOUT_S)


# ---- stopped ------------------------------------------------------------------------------------


@contextmanager
def _stopped(folder: Path, note: VmNote, serve_argv: ServeArgv) -> Iterator[Moment]:
    with _disks_served(folder, note, serve_argv):
        daemon = start_daemon(folder, note)
        try:
            yield Moment(_addresses(folder, note), 1, is_still=True)
        finally:
            end_daemon(folder, daemon)


@contextmanager
def _disks_served(folder: Path, note: VmNote, serve_argv: ServeArgv) -> Iterator[None]:
    if not note.needs_point or find_disk_server(folder) is not None:
        yield
        return
    start_disk_server(serve_argv(note.point, folder / SOCKET), folder)
    try:
        yield
    finally:
        end_disk_server(folder)
