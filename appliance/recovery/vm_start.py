"""Making a VM ready to run: what is there already, its disks served, its hardware, its overlays.

Owns the start, under the VM's lock, which the caller holds. When a start fails what was there
before is there again. Never waits for a guest (see `boot`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from appliance.base import durable
from appliance.base.errors import BusyError, HoldfastError, NotFoundError
from appliance.base.progress import Progress
from appliance.base.text import size
from appliance.formats.names import PointName
from appliance.recovery import qemu
from appliance.recovery.accelerator import Accelerator
from appliance.recovery.boot_disk import Needs, judge_disk
from appliance.recovery.disk_server import (
    SOCKET,
    ServeArgv,
    disk_export_name,
    end_disk_server,
    measure_disks,
    start_disk_server,
)
from appliance.recovery.hardware import Hardware, Machine
from appliance.recovery.note_room import set_room_aside
from appliance.recovery.overlay import choose_limit, create_overlay
from appliance.recovery.presets import NO_CHOICE, HardwareChoice, choose_hardware, read_preset
from appliance.recovery.ready import LOGIN, Wait
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_note import VmNote, read_vm, write_vm
from appliance.recovery.vms import is_whole, settle, with_larger_overlays
from appliance.sources.nbd import NbdAddress, NbdClient

MEMORY_SPARE_MIB = 256


@dataclass(frozen=True)
class BootOrder:
    """What to boot. `point` is a point's own name, never `latest`.

    `is_remembered`: hardware becomes the machine's preset, and what the guest read its boot note.
    `is_paused`: its guest does not run before somebody says `cont`; there is nothing to wait for.
    `overlay_limit_bytes` is for each disk; None chooses by what the disk needs and what is free.
    """

    point: str
    name: str | None = None
    hardware: HardwareChoice = NO_CHOICE
    wait: Wait = LOGIN
    timeout_s: float = 300.0
    overlay_limit_bytes: int | None = None
    is_remembered: bool = True
    is_paused: bool = False


def check_memory(memory_mib: int) -> None:
    """Raises HoldfastError when this machine has no room for a guest of `memory_mib`."""
    available_bytes = psutil.virtual_memory().available
    needed_bytes = (memory_mib + MEMORY_SPARE_MIB) << 20
    if available_bytes < needed_bytes:
        raise HoldfastError(
            f"{size(available_bytes)} of memory are free and the VM needs {size(needed_bytes)}: "
            "give a smaller --memory or stop another VM",
            code="no-memory",
        )


def find_kept(folder: Path, order: BootOrder) -> VmNote | None:
    """The VM that exists in `folder`, ended and fit to be started again, or None."""
    try:
        note = read_vm(folder)
    except NotFoundError:
        return None
    if note.point != order.point:
        raise BusyError(
            f"VM '{note.name}' belongs to {note.point}: 'holdfast stop {note.name} --discard' "
            "removes it, or choose another --name",
            code="vm-name-taken",
        )
    if note.state == "stopped":
        return note
    if is_whole(folder, note):
        raise BusyError(
            f"VM '{note.name}' runs already: 'holdfast vms' shows where it is reached",
            code="vm-runs",
        )
    return settle(folder, note)


def new_note(name: str, order: BootOrder, kept: VmNote | None, accelerator: Accelerator) -> VmNote:
    """What a VM that is about to start is known by."""
    if kept is None:
        kept = VmNote(name, order.point, (), Hardware(), "starting", True, accelerator)
    hardware = order.hardware.apply(kept.hardware)
    note = replace(kept.with_state("starting"), accelerator=accelerator, hardware=hardware)
    return replace(note, guest_port=order.wait.port, is_wanted=True)


def start_vm(
    runtime: Runtime,
    folder: Path,
    note: VmNote,
    order: BootOrder,
    *,
    serve_argv: ServeArgv,
    progress: Progress,
) -> VmNote:
    """Start a VM; gives it as it runs."""

    def start(ready: VmNote) -> VmNote:
        check_memory(ready.hardware.memory_mib)
        progress.phase("starting the VM")
        machine = replace(machine_of(ready), is_paused=order.is_paused)
        guest = qemu.start_qemu(folder, machine, progress)
        return replace(ready.with_state("running", guest), is_fresh=False)

    return open_vm(runtime, folder, note, order, start, serve_argv=serve_argv, progress=progress)


def open_vm(
    runtime: Runtime,
    folder: Path,
    note: VmNote,
    order: BootOrder,
    start: Callable[[VmNote], VmNote],
    *,
    serve_argv: ServeArgv,
    progress: Progress,
) -> VmNote:
    """Have the disks of a VM served and its overlays made, then `start`; notes what that gives."""
    durable.make_directory(folder)
    write_vm(folder, note)
    try:
        if note.needs_point:
            progress.phase("opening the point")
            end_disk_server(folder)
            start_disk_server(serve_argv(note.point, folder / SOCKET), folder, progress=progress)
        if note.is_fresh:
            note = _furnish(runtime, folder, note, order)
        elif order.overlay_limit_bytes is not None and note.needs_point:
            note = with_larger_overlays(folder, note, order.overlay_limit_bytes)
        set_room_aside(folder)
        started = start(replace(note, hardware=note.hardware.with_address()))
        write_vm(folder, started)
    except BaseException:
        settle(folder, note)
        raise
    return started


def _furnish(runtime: Runtime, folder: Path, note: VmNote, order: BootOrder) -> VmNote:
    """Choose the hardware of a new VM and make its overlays."""
    sizes = measure_disks(folder)
    preset = read_preset(runtime, PointName.parse(note.point).machine)
    hardware = choose_hardware(preset, _judge(folder, sizes), order.hardware)
    limits = []
    for disk, size_bytes in enumerate(sizes):
        asked_bytes = order.overlay_limit_bytes
        limits.append(choose_limit(folder, size_bytes, len(sizes), asked_bytes))
        backing = f"nbd+unix:///{disk_export_name(disk)}?socket={SOCKET}"
        create_overlay(folder, disk, backing, size_bytes)
    return replace(note, limits_bytes=tuple(limits), hardware=hardware)


def _judge(folder: Path, sizes: list[int]) -> Needs:
    if not sizes:
        return Needs("bios", "virtio")
    with NbdClient(NbdAddress(disk_export_name(0), folder / SOCKET)) as client:

        def read(offset: int, length: int) -> bytes:
            data = bytearray(length)
            client.read_into(offset, memoryview(data))
            return bytes(data)

        return judge_disk(read, sizes[0])


def machine_of(note: VmNote) -> Machine:
    """What QEMU is told about a VM."""
    return Machine(
        name=note.name,
        hardware=note.hardware,
        limits_bytes=note.limits_bytes,
        accelerator=note.accelerator.name,
        guest_port=note.guest_port,
        moved=note.moved,
    )
