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

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import BusyError, Cancelled, NotFoundError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.recovery import qemu
from appliance.recovery.accelerator import Accelerator, choose_accelerator, remember
from appliance.recovery.disk_server import (
    ServeArgv,
)
from appliance.recovery.presets import (
    remember_preset,
)
from appliance.recovery.ready import (
    AcceleratorFailedError,
    GuestEndedError,
    wait_until_ready,
)
from appliance.recovery.runtime import Runtime
from appliance.recovery.touch import touched_of
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
from appliance.recovery.vm_start import BootOrder, find_kept, machine_of, new_note, start_vm
from appliance.recovery.vms import read_all, settle
from appliance.store.boot_notes import keep_boot_note


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
        kept = find_kept(folder, order)
        note = new_note(name, order, kept, accelerator)
        note = start_vm(runtime, folder, note, order, serve_argv=serve_argv, progress=progress)
    if order.is_remembered:
        remember_preset(runtime, PointName.parse(order.point).machine, order.hardware)
    try:
        note = _wait(runtime, folder, note, order, progress)
    except (GuestEndedError, Cancelled, KeyboardInterrupt) as error:
        was_fresh = kept is None and not isinstance(error, GuestEndedError)
        with suppress(BusyError), lock_vm(runtime, name):
            settle(folder, replace(note, is_fresh=was_fresh, is_wanted=False))
        raise
    note = _note_ready(runtime, folder, note, clock.monotonic_s() - began_s)
    if kept is None and order.is_remembered:  # otherwise it read a part from its overlay
        machine = PointName.parse(note.point).machine
        keep_boot_note(runtime.state, machine, touched_of(folder))
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
        order = BootOrder(note.point, name)
        kept = find_kept(folder, order)
        if kept is None:
            raise NotFoundError(f"VM '{name}' had never come up: 'holdfast boot' starts it anew")
        note = new_note(name, order, kept, accelerator)
        note = replace(note, guest_port=kept.guest_port)
        note = start_vm(runtime, folder, note, order, serve_argv=serve_argv, progress=progress)
    return show_vm(folder, note, "running")


def _wait(
    runtime: Runtime, folder: Path, note: VmNote, order: BootOrder, progress: Progress
) -> VmNote:
    """Wait until the guest is ready, on TCG if KVM turns out not to run it."""
    assert note.guest is not None
    order.wait.tell(progress)
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
