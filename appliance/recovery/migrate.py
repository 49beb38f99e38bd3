"""Migration: a running VM's disks are moved to an image, a device or an NBD server under it.

QEMU mirrors: what is copied and what the guest writes meanwhile both reach the target, until the
two are equal; for a moment the guest stands still, the VM is noted to live there, and it goes on. A
crash at any moment leaves a VM that is whole in one place, and a note that says which: before the
note nothing has been written that is not in the overlay too, because the guest stood still.

Owns the mirroring and the switch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from appliance.base import durable, process
from appliance.base.errors import Cancelled, HoldfastError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import counted, printable, size
from appliance.recovery.disk_server import end_disk_server
from appliance.recovery.monitor import Monitor, MonitorError
from appliance.recovery.overlay import overlay_file_name
from appliance.recovery.runtime import Runtime, poll
from appliance.recovery.vm_disks import delete_node
from appliance.recovery.vm_note import VmNote, find_folder, lock_disks, lock_vm, read_vm, write_vm
from appliance.recovery.vms import check_place, is_astray
from appliance.sources.disk import is_mounted
from appliance.sources.nbd import NbdAddress, NbdClient

ImageFormat = Literal["raw", "qcow2"]
_TURN_S = 0.2
_END_TIMEOUT_S = 60.0
_RECONNECT_S = 30


@dataclass(frozen=True)
class Migrated:
    """Where the disks are now, and how much was copied."""

    name: str
    targets: tuple[str, ...]
    copied_bytes: int


def migrate(
    runtime: Runtime,
    name: str,
    targets: Sequence[str],
    *,
    image_format: ImageFormat,
    force: bool,
    progress: Progress,
) -> Migrated:
    """Move the disks of the running VM `name` to `targets`, one for each; it goes on from there.

    On return its overlays are gone and it needs its point no more. Raises NotFoundError for no such
    VM, UsageError for targets that do not fit, BusyError while another command has it,
    HoldfastError for a VM that does not run or a target that fails; then, and when cancelled, the
    VM runs on as before.
    """
    folder = find_folder(runtime, name)
    with lock_disks(runtime, name):
        note = read_vm(folder)
        if note.guest is None or not note.guest.qemu.is_alive():
            raise HoldfastError(f"VM '{name}' does not run: 'holdfast boot' or 'vms resume' first")
        check_place(folder, note)
        if any(note.moved):
            raise UsageError(f"VM '{name}' was migrated already: 'failback' copies it from there")
        if len(targets) != note.disks:
            raise UsageError(
                f"VM '{name}' has {counted(note.disks, 'disk')}, not {len(targets)}: "
                "give as many targets"
            )
        _clear(folder, note)
        moved = []
        with Monitor(folder) as monitor:
            sizes = _measure(monitor)
        for disk, target in enumerate(targets):
            moved.append(_prepare(target, disk, sizes[f"disk{disk}"], image_format, force=force))
        try:
            copied_bytes = _mirror(folder, moved, progress)
            with lock_vm(runtime, name):
                _switch(folder, replace(read_vm(folder), moved=tuple(moved)))
        except BaseException:
            _clear(folder, note)
            raise
        _tidy(folder, note)
    return Migrated(name, tuple(targets), copied_bytes)


def _measure(monitor: Monitor) -> dict[str, int]:
    nodes = monitor.ask("query-named-block-nodes", flat=True)
    return {str(node.get("node-name")): int(node["image"]["virtual-size"]) for node in nodes}


def _prepare(
    target: str, disk: int, size_bytes: int, image_format: ImageFormat, *, force: bool
) -> str:
    """Make the target ready; gives QEMU's options for it as JSON, as a note keeps them."""
    node = f"moved{disk}"
    address = NbdAddress.parse(target)
    if address is not None:
        return json.dumps(_nbd_node(address, node, size_bytes, force=force))
    path = Path(target).absolute()
    shown = printable(str(path))
    if path.is_block_device():
        if is_mounted(path.stat().st_rdev):
            raise UsageError(f"{shown} is mounted: unmount it first")
        driver = "host_device"
        image_format = "raw"
    else:
        driver = "file"
    if path.exists() and not force:
        raise UsageError(f"{shown} is there already: say --force to overwrite all of it")
    if driver == "file":
        qemu_img = process.find_program("qemu-img", "qemu-utils")
        process.run([qemu_img, "create", "-q", "-f", image_format, str(path), str(size_bytes)])
        durable.fsync_directory(path.parent)
    return json.dumps(
        {
            "driver": image_format,
            "node-name": node,
            "file": {"driver": driver, "filename": str(path)},
        }
    )


def _nbd_node(address: NbdAddress, node: str, size_bytes: int, *, force: bool) -> dict[str, Any]:
    if address.is_tls:
        raise UsageError(f"{address}: a VM cannot run on nbds, tunnel it to a local socket")
    if not force:
        raise UsageError(f"{address}: say --force to overwrite all of it")
    with NbdClient(address) as client:
        if client.size_bytes < size_bytes:
            raise UsageError(f"{address} has {size(client.size_bytes)}, not {size(size_bytes)}")
    server: dict[str, str] = {"type": "inet", "host": address.host, "port": str(address.port)}
    if address.unix is not None:
        server = {"type": "unix", "path": str(address.unix.absolute())}
    return {
        "driver": "nbd",
        "node-name": node,
        "server": server,
        "export": address.export,
        "reconnect-delay": _RECONNECT_S,
    }


def _mirror(folder: Path, moved: Sequence[str], progress: Progress) -> int:
    """Copy until source and target are equal and stay so; gives the bytes that took."""
    progress.phase("migrating", total=None)
    with Monitor(folder) as monitor:
        for disk, options in enumerate(moved):
            monitor.ask("blockdev-add", **json.loads(options))
            monitor.ask(
                "blockdev-mirror",
                **{
                    "job-id": f"move{disk}",
                    "device": f"disk{disk}",
                    "target": f"moved{disk}",
                    "sync": "full",
                    "copy-mode": "write-blocking",
                    "auto-dismiss": False,
                    "auto-finalize": True,
                },
            )
    done_bytes = 0
    is_total_known = False
    while True:
        progress.check()
        with Monitor(folder) as monitor:
            jobs = _list_jobs(monitor)
        _raise_failure(jobs)
        total_bytes = sum(int(job["total-progress"]) for job in jobs)
        if total_bytes and not is_total_known:
            progress.phase("migrating", total=total_bytes)
            is_total_known = True
        now_bytes = sum(int(job["current-progress"]) for job in jobs)
        progress.advance(now_bytes - done_bytes)
        done_bytes = now_bytes
        if len(jobs) == len(moved) and all(job["status"] == "ready" for job in jobs):
            return done_bytes
        poll(lambda: False, _TURN_S)


def _list_jobs(monitor: Monitor) -> list[dict[str, Any]]:
    return [job for job in monitor.ask("query-jobs") if str(job["id"]).startswith("move")]


def _raise_failure(jobs: Sequence[dict[str, Any]]) -> None:
    for job in jobs:
        if job.get("error"):
            raise HoldfastError(f"QEMU could not mirror disk {job['id'][4:]}: {job['error']}")


def _switch(folder: Path, note: VmNote) -> None:
    """Have the guest stand still, go over to the targets, note that, and let it go on.

    When that fails half way the guest stays still: see `check_place`.
    """
    with Monitor(folder) as monitor:
        was_running = monitor.run_state() == "running"
        if was_running:
            monitor.ask("stop")
        try:
            for job in _list_jobs(monitor):
                monitor.ask("job-complete", id=job["id"])
            ended = poll(
                lambda: all(job["status"] == "concluded" for job in _list_jobs(monitor)),
                _END_TIMEOUT_S,
            )
            _raise_failure(_list_jobs(monitor))
            if not ended:
                raise HoldfastError(f"QEMU did not switch within {_END_TIMEOUT_S:.0f} s")
            write_vm(folder, note)
        finally:
            if was_running and not is_astray(monitor, read_vm(folder)):
                monitor.ask("cont")


def _tidy(folder: Path, note: VmNote) -> None:
    """Remove what the VM does not need any more."""
    with suppress(MonitorError), Monitor(folder) as monitor:
        for job in _list_jobs(monitor):
            monitor.ask("job-dismiss", id=job["id"])
        for disk in range(note.disks):
            for node in (f"disk{disk}", f"limit{disk}", f"file{disk}", f"point{disk}"):
                delete_node(monitor, node)
    end_disk_server(folder)
    for disk in range(note.disks):
        durable.remove_file(folder / overlay_file_name(disk))


def _clear(folder: Path, note: VmNote) -> None:
    """Take back a migration that was not finished, ours or a killed command's."""
    with suppress(MonitorError, Cancelled), Monitor(folder) as monitor:
        for job in _list_jobs(monitor):
            with suppress(MonitorError):
                monitor.ask("block-job-cancel", device=job["id"], force=True)
        poll(
            lambda: all(job["status"] == "concluded" for job in _list_jobs(monitor)),
            _END_TIMEOUT_S,
        )
        for job in _list_jobs(monitor):
            monitor.ask("job-dismiss", id=job["id"])
        for disk in range(note.disks):
            delete_node(monitor, f"moved{disk}")
