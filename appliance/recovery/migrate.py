"""Migration: a running VM's disks are moved to an image, a device or an NBD server under it.

QEMU mirrors while the VM runs on, until little is left; then the guest stands still, the rest is
copied, the disks change over, the VM is noted to live there, and it goes on. A crash at any moment
leaves a VM that is whole in one place, and `disk_work` ends what was begun: before the note nothing
has been written that is not in the overlay too, because the guest stood still.

Owns the targets and the moment of the switch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from appliance.base import durable, process
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import counted, printable, size
from appliance.recovery.disk_work import DiskWork, hold_guest, mend, note_work, work_on_disks
from appliance.recovery.hardware import moved_node
from appliance.recovery.mirrors import ask_mirrors, complete_mirrors, start_mirror
from appliance.recovery.monitor import Monitor
from appliance.recovery.runtime import Runtime, poll
from appliance.recovery.vm_note import VmNote, describe_place, find_folder, lock_vm, read_vm
from appliance.recovery.vms import check_place
from appliance.sources.disk import is_mounted
from appliance.sources.nbd import NbdAddress, NbdClient

ImageFormat = Literal["raw", "qcow2"]
_TURN_S = 0.2
_RECONNECT_S = 30
# What the guest may stand still for: less than a second on a slow disk.
_LITTLE_BYTES = 64 << 20
# A guest that writes as fast as the target takes it is stopped after so many times its disks.
_ROUNDS_MAX = 6


@dataclass(frozen=True)
class Migrated:
    """Where the disks are now, and how much was copied; nothing if they were there already."""

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

    On return its overlays are gone and it needs its point no more. Disks that are at their target
    already are left there. Raises NotFoundError for no such VM, UsageError for targets that do not
    fit, BusyError while another command has it, HoldfastError for a VM that does not run or a
    target that fails; then, and when cancelled, the VM runs on as before.
    """
    folder = find_folder(runtime, name)
    with work_on_disks(runtime, name):
        note = read_vm(folder)
        _check(note, targets)
        if note.moved and all(note.moved):
            return Migrated(name, tuple(targets), 0)
        if note.guest is None or not note.guest.qemu.is_alive():
            raise HoldfastError(
                f"VM '{name}' does not run: 'holdfast boot' or 'vms resume' first",
                code="vm-stopped",
            )
        check_place(folder, note)
        with Monitor(folder) as monitor:
            sizes = _measure(monitor)
        places = list(note.moved or [None] * note.disks)
        left = [disk for disk, place in enumerate(places) if place is None]
        for disk in left:
            size_bytes = sizes[f"disk{disk}"]
            places[disk] = _prepare(targets[disk], disk, size_bytes, image_format, force=force)
        note_work(folder, DiskWork(tuple(places)))
        with Monitor(folder) as monitor:
            for disk in left:
                start_mirror(monitor, disk, str(places[disk]))
        copied_bytes = _copy(folder, progress)
        with lock_vm(runtime, name):
            _switch(folder)
    return Migrated(name, tuple(targets), copied_bytes)


def _check(note: VmNote, targets: Sequence[str]) -> None:
    if len(targets) != note.disks:
        raise UsageError(
            f"VM '{note.name}' has {counted(note.disks, 'disk')}, not {len(targets)}: "
            "give as many targets"
        )
    for place, target in zip(note.moved, targets, strict=False):
        if place is not None and not _is_there(place, target):
            raise UsageError(
                f"VM '{note.name}' was migrated elsewhere already: 'failback' copies it from there"
            )


def _is_there(place: str, target: str) -> bool:
    """Whether a disk that lives at `place`, as a note has it, is at `target`."""
    address = NbdAddress.parse(target)
    if address is None:
        return describe_place(place) == str(Path(target).absolute())
    if address.unix is not None:
        address = replace(address, unix=address.unix.absolute())
    return describe_place(place) == str(address)


def _measure(monitor: Monitor) -> dict[str, int]:
    nodes = monitor.ask("query-named-block-nodes", flat=True)
    return {str(node.get("node-name")): int(node["image"]["virtual-size"]) for node in nodes}


def _prepare(
    target: str, disk: int, size_bytes: int, image_format: ImageFormat, *, force: bool
) -> str:
    """Make the target ready; gives QEMU's options for it as JSON, as a note keeps them."""
    node = moved_node(disk)
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


def _copy(folder: Path, progress: Progress) -> int:
    """Wait until so little is left that the guest may stand still for it; gives bytes copied."""
    progress.phase("migrating", total=None)
    shown_bytes = whole_bytes = 0
    while True:
        progress.check()
        with Monitor(folder) as monitor:
            now = ask_mirrors(monitor)
        if not whole_bytes:
            whole_bytes = now.done_bytes + now.left_bytes
            progress.phase("migrating", total=whole_bytes or None)
        progress.advance(now.done_bytes - shown_bytes)
        shown_bytes = now.done_bytes
        is_little = now.left_bytes <= _LITTLE_BYTES and now.done_bytes >= whole_bytes > 0
        if now.is_ready or is_little or now.done_bytes > _ROUNDS_MAX * whole_bytes > 0:
            return now.done_bytes
        poll(lambda: False, _TURN_S)


def _switch(folder: Path) -> None:
    """Have the guest stand still and go over to the targets; `mend` notes that, and it goes on."""
    with Monitor(folder) as monitor:
        state = monitor.run_state()
        # One that stands still for want of space goes on as well, where there is some.
        if state in ("running", "io-error"):
            hold_guest(folder)
        if state == "running":
            monitor.ask("stop")
        complete_mirrors(monitor)
    mend(folder)
