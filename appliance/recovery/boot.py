"""Booting a point: plan, mount, start, wait.

A VM is a folder `STATE/vms/NAME`: a note, one overlay per disk, and a mount of its own that shows
only its point, served by a process of its own. Starting happens under the VM's lock; waiting does
not, so that another command can end a VM that somebody waits for.

Owns the way up; the way down is in `vms`. Invariants: a QEMU is never started while another one of
the same VM runs (it holds a lock of its own on the overlays besides); the mount is there before
the QEMU that reads from it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from appliance.base import durable
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import BusyError, Cancelled, HoldfastError, NotFoundError
from appliance.base.progress import Progress
from appliance.base.text import size
from appliance.formats.names import PointName
from appliance.recovery import qemu
from appliance.recovery.accelerator import Accelerator, choose_accelerator, remember
from appliance.recovery.filesystem import disk_file_name
from appliance.recovery.mount import mount_in_background
from appliance.recovery.ready import (
    LOGIN,
    AcceleratorFailedError,
    GuestEndedError,
    Wait,
    wait_until_ready,
)
from appliance.recovery.runtime import Runtime
from appliance.recovery.touch import touched_of
from appliance.recovery.vm_note import (
    VmNote,
    VmStatus,
    lock_vm,
    mount_of,
    parse_vm_name,
    read_vm,
    show_vm,
    write_vm,
)
from appliance.recovery.vms import is_whole, list_served, read_all, settle
from appliance.store.boot_notes import keep_boot_note

MEMORY_SPARE_MIB = 256
_MOUNT_LOG = "mount.log"
# Gives the command line that shows only that point at that directory, in the foreground.
MountArgv = Callable[[str, Path], list[str]]


@dataclass(frozen=True)
class BootOrder:
    """What to boot. `point` is a point's own name, never `latest`."""

    point: str
    name: str | None = None
    memory_mib: int = 1024
    wait: Wait = LOGIN
    timeout_s: float = 300.0


@dataclass(frozen=True)
class BootResult:
    """A VM that runs. `kept_overlay`: it continues on what it wrote before.

    `other_overlays`: other VMs of this machine that keep an overlay.
    """

    vm: VmStatus
    kept_overlay: bool
    other_overlays: tuple[str, ...]


def boot(
    runtime: Runtime,
    order: BootOrder,
    mount_argv: MountArgv,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> BootResult:
    """Boot a point as a VM and wait until it is ready; it runs on when this process ends.

    Raises BusyError for a name that runs or belongs to another point, NotFoundError for a point
    that is not there, HoldfastError when memory does not suffice, QEMU fails, or the guest is not
    ready in time (only then the VM stays running). When cancelled, nothing is left running, and
    nothing at all is left of a VM that did not exist before.
    """
    clock = clock or SystemClock()
    progress = progress or Progress()
    began_s = clock.monotonic_s()
    name = parse_vm_name(order.name or order.point)
    accelerator = choose_accelerator(runtime)
    folder = runtime.vms / name
    with lock_vm(runtime, name):
        kept = _find_kept(runtime, folder, order)
        check_memory(order.memory_mib)
        note = VmNote(
            name=name,
            point=order.point,
            disks=kept.disks if kept else 0,
            memory_mib=order.memory_mib,
            state="starting",
            is_fresh=kept is None,
            accelerator=accelerator,
        )
        note = _start(
            runtime, folder, note, wait=order.wait, mount_argv=mount_argv, progress=progress
        )
    try:
        note = _wait(runtime, folder, note, order, progress)
    except (GuestEndedError, Cancelled, KeyboardInterrupt) as error:
        was_fresh = kept is None and not isinstance(error, GuestEndedError)
        with suppress(BusyError), lock_vm(runtime, name):
            settle(runtime, folder, replace(note, is_fresh=was_fresh))
        raise
    note = _note_ready(runtime, folder, note, clock.monotonic_s() - began_s)
    if kept is None:  # otherwise it read a part from its overlay
        machine = PointName.parse(note.point).machine
        keep_boot_note(runtime.state, machine, touched_of(mount_of(folder)))
    return BootResult(show_vm(folder, note, "running"), kept is not None, _others(runtime, note))


def check_memory(memory_mib: int) -> None:
    """Raises HoldfastError when this machine has no room for a guest of `memory_mib`."""
    available_bytes = psutil.virtual_memory().available
    needed_bytes = (memory_mib + MEMORY_SPARE_MIB) << 20
    if available_bytes < needed_bytes:
        raise HoldfastError(
            f"{size(available_bytes)} of memory are free and the VM needs {size(needed_bytes)}: "
            "give a smaller --memory or stop another VM"
        )


def _find_kept(runtime: Runtime, folder: Path, order: BootOrder) -> VmNote | None:
    """The VM that exists in `folder`, ended and fit to be started again, or None."""
    try:
        note = read_vm(folder)
    except NotFoundError:
        return None
    if note.point != order.point:
        raise BusyError(
            f"VM '{note.name}' belongs to {note.point}: 'holdfast stop {note.name} --discard' "
            "removes it, or choose another --name"
        )
    if note.state == "stopped":
        return note
    if is_whole(folder, note, list_served(runtime)):
        raise BusyError(f"VM '{note.name}' runs already: 'holdfast vms' shows where it is reached")
    return settle(runtime, folder, note)


def _start(
    runtime: Runtime,
    folder: Path,
    note: VmNote,
    *,
    wait: Wait,
    mount_argv: MountArgv,
    progress: Progress,
) -> VmNote:
    """Mount and start; when that fails, what was there before is there again."""
    directory = mount_of(folder)
    durable.make_directory(folder)
    write_vm(folder, note)
    try:
        progress.phase("mounting the point")
        durable.make_directory(directory)
        argv = mount_argv(note.point, directory)
        mount_in_background(argv, directory, folder / _MOUNT_LOG, progress=progress)
        disk_sizes = _measure_disks(folder, note.point)
        if note.is_fresh:
            for disk, size_bytes in enumerate(disk_sizes):
                backing = str(_point_path(note.point) / disk_file_name(disk))
                qemu.create_overlay(folder, disk, backing, size_bytes)
        progress.phase("starting the VM")
        note = replace(note, disks=len(disk_sizes))
        guest = qemu.start_qemu(folder, note.name, _hardware(note, wait), progress)
        running = replace(note.with_state("running", guest), is_fresh=False)
        write_vm(folder, running)
    except BaseException:
        settle(runtime, folder, note)
        raise
    return running


def _hardware(note: VmNote, wait: Wait) -> qemu.Hardware:
    return qemu.Hardware(note.memory_mib, note.disks, note.accelerator.name, wait.port)


def _point_path(point: str) -> Path:
    name = PointName.parse(point)
    return Path(qemu.MOUNT, name.machine, name.directory_time)


def _measure_disks(folder: Path, point: str) -> list[int]:
    place = folder / _point_path(point)
    try:
        count = len(list(place.iterdir()))
        return [(place / disk_file_name(disk)).stat().st_size for disk in range(count)]
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no point {point}: 'holdfast points' lists them") from error


def _wait(
    runtime: Runtime, folder: Path, note: VmNote, order: BootOrder, progress: Progress
) -> VmNote:
    """Wait until the guest is ready, on TCG if KVM turns out not to run it."""
    assert note.guest is not None
    progress.phase(order.wait.phase)
    try:
        wait_until_ready(
            note.name, folder, note.guest, order.wait, order.timeout_s, progress=progress
        )
    except AcceleratorFailedError as error:
        if note.accelerator.name == "tcg":
            raise
        note = _fall_back(runtime, folder, note, order.wait, str(error))
        return _wait(runtime, folder, note, order, progress)
    return note


def _fall_back(runtime: Runtime, folder: Path, note: VmNote, wait: Wait, reason: str) -> VmNote:
    """Start the VM once more, on TCG. For its guest this was a power cut."""
    assert note.guest is not None
    broken = note.guest.qemu
    note = replace(note, accelerator=Accelerator("tcg", reason))
    remember(runtime, note.accelerator)
    with lock_vm(runtime, note.name):
        qemu.end_qemu(folder, broken, 0)
        guest = qemu.start_qemu(folder, note.name, _hardware(note, wait))
        note = note.with_state("running", guest)
        write_vm(folder, note)
    return note


def _note_ready(runtime: Runtime, folder: Path, note: VmNote, ready_s: float) -> VmNote:
    with lock_vm(runtime, note.name):
        if read_vm(folder).guest != note.guest:
            raise BusyError(f"VM '{note.name}' was stopped by another command")
        note = replace(note, ready_s=round(ready_s, 2))
        write_vm(folder, note)
    return note


def _others(runtime: Runtime, note: VmNote) -> tuple[str, ...]:
    machine = PointName.parse(note.point).machine
    return tuple(
        other.name
        for other in read_all(runtime)
        if other.name != note.name and PointName.parse(other.point).machine == machine
    )
