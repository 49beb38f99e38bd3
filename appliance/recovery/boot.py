"""Booting a point: plan, serve, start, wait.

A VM is a folder `STATE/vms/NAME`: a note, one overlay per disk, and a disk server of its own that
serves only its point, in a process of its own. Starting happens under the VM's lock; waiting does
not, so that another command can end a VM that somebody waits for.

Owns the way up; the way down is in `vms`. Invariants: a QEMU is never started while another one of
the same VM runs (it holds a lock of its own on the overlays besides); the disk server is there
before the QEMU that reads from it.
"""

from __future__ import annotations

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
from appliance.recovery.overlay import choose_limit, create_overlay
from appliance.recovery.presets import (
    NO_CHOICE,
    HardwareChoice,
    choose_hardware,
    read_preset,
    remember_preset,
)
from appliance.recovery.ready import (
    LOGIN,
    AcceleratorFailedError,
    GuestEndedError,
    Wait,
    wait_until_ready,
)
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_note import (
    VmNote,
    VmStatus,
    find_folder,
    lock_vm,
    parse_vm_name,
    read_vm,
    show_vm,
    write_vm,
)
from appliance.recovery.vms import is_whole, read_all, settle, with_larger_overlays
from appliance.sources.nbd import NbdAddress, NbdClient

MEMORY_SPARE_MIB = 256


@dataclass(frozen=True)
class BootOrder:
    """What to boot. `point` is a point's own name, never `latest`.

    `overlay_limit_bytes` is for each disk; None chooses by what the disk needs and what is free.
    """

    point: str
    name: str | None = None
    hardware: HardwareChoice = NO_CHOICE
    wait: Wait = LOGIN
    timeout_s: float = 300.0
    overlay_limit_bytes: int | None = None


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
    serve_argv: ServeArgv,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> BootResult:
    """Boot a point as a VM and wait until it is ready; it runs on when this process ends.

    What `order` says of hardware is remembered for the machine, but for the network. Raises
    BusyError for a name that runs or belongs to another point, HoldfastError when the point cannot
    be served, memory does not suffice, QEMU fails, or the guest is not ready in time (only then the
    VM stays running). When cancelled, nothing is left running, and nothing at all is left of a VM
    that did not exist before.
    """
    clock = clock or SystemClock()
    progress = progress or Progress()
    began_s = clock.monotonic_s()
    name = parse_vm_name(order.name or order.point)
    accelerator = choose_accelerator(runtime)
    folder = runtime.vms / name
    with lock_vm(runtime, name):
        kept = _find_kept(folder, order)
        note = VmNote(
            name=name,
            point=order.point,
            limits_bytes=(),
            hardware=Hardware(),
            state="starting",
            is_fresh=True,
            accelerator=accelerator,
        )
        if kept is not None:
            hardware = order.hardware.apply(kept.hardware)
            note = replace(kept, state="starting", accelerator=accelerator, hardware=hardware)
        note = replace(note, guest_port=order.wait.port, is_wanted=True)
        note = _start(runtime, folder, note, order, serve_argv=serve_argv, progress=progress)
    remember_preset(runtime, PointName.parse(order.point).machine, order.hardware)
    try:
        note = _wait(runtime, folder, note, order, progress)
    except (GuestEndedError, Cancelled, KeyboardInterrupt) as error:
        was_fresh = kept is None and not isinstance(error, GuestEndedError)
        with suppress(BusyError), lock_vm(runtime, name):
            settle(folder, replace(note, is_fresh=was_fresh, is_wanted=False))
        raise
    note = _note_ready(runtime, folder, note, clock.monotonic_s() - began_s)
    return BootResult(show_vm(folder, note, "running"), kept is not None, _others(runtime, note))


def resume(runtime: Runtime, name: str, serve_argv: ServeArgv, progress: Progress) -> VmStatus:
    """Start a VM again as it was, on its overlay, and do not wait for its guest.

    Raises NotFoundError for no such VM, BusyError for one that runs, HoldfastError when it cannot
    be started: it then stays stopped and wanted.
    """
    folder = find_folder(runtime, name)
    accelerator = choose_accelerator(runtime)
    with lock_vm(runtime, name):
        note = read_vm(folder)
        order = BootOrder(note.point, name, wait=Wait("none"))
        kept = _find_kept(folder, order)
        if kept is None:
            raise NotFoundError(f"VM '{name}' had never come up: 'holdfast boot' starts it anew")
        note = replace(kept, state="starting", accelerator=accelerator, is_wanted=True)
        note = _start(runtime, folder, note, order, serve_argv=serve_argv, progress=progress)
    return show_vm(folder, note, "running")


def check_memory(memory_mib: int) -> None:
    """Raises HoldfastError when this machine has no room for a guest of `memory_mib`."""
    available_bytes = psutil.virtual_memory().available
    needed_bytes = (memory_mib + MEMORY_SPARE_MIB) << 20
    if available_bytes < needed_bytes:
        raise HoldfastError(
            f"{size(available_bytes)} of memory are free and the VM needs {size(needed_bytes)}: "
            "give a smaller --memory or stop another VM"
        )


def _find_kept(folder: Path, order: BootOrder) -> VmNote | None:
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
    if is_whole(folder, note):
        raise BusyError(f"VM '{note.name}' runs already: 'holdfast vms' shows where it is reached")
    return settle(folder, note)


def _start(
    runtime: Runtime,
    folder: Path,
    note: VmNote,
    order: BootOrder,
    *,
    serve_argv: ServeArgv,
    progress: Progress,
) -> VmNote:
    """Serve and start; when that fails, what was there before is there again."""
    if not note.is_fresh:
        check_memory(note.hardware.memory_mib)
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
        progress.phase("starting the VM")
        guest = qemu.start_qemu(folder, machine_of(note), progress)
        running = replace(note.with_state("running", guest), is_fresh=False)
        write_vm(folder, running)
    except BaseException:
        settle(folder, note)
        raise
    return running


def _furnish(runtime: Runtime, folder: Path, note: VmNote, order: BootOrder) -> VmNote:
    """Choose the hardware of a new VM and make its overlays."""
    sizes = measure_disks(folder)
    preset = read_preset(runtime, PointName.parse(note.point).machine)
    hardware = choose_hardware(preset, _judge(folder, sizes), order.hardware)
    check_memory(hardware.memory_mib)
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
        note = _fall_back(runtime, folder, note, str(error))
        return _wait(runtime, folder, note, order, progress)
    return note


def _fall_back(runtime: Runtime, folder: Path, note: VmNote, reason: str) -> VmNote:
    """Start the VM once more, on TCG. For its guest this was a power cut."""
    assert note.guest is not None
    broken = note.guest.qemu
    note = replace(note, accelerator=Accelerator("tcg", reason))
    remember(runtime, note.accelerator)
    with lock_vm(runtime, note.name):
        qemu.end_qemu(folder, broken, 0)
        guest = qemu.start_qemu(folder, machine_of(note))
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
