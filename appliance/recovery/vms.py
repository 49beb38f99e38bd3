"""VMs that boot points: started, shown, ended, and healed after whatever was killed.

A VM is a folder `STATE/vms/NAME`: a note, one overlay per disk, and a mount of its own that shows
only its point, served by a process of its own. Starting and ending happen under the VM's lock;
waiting does not, so that another command can end a VM that somebody waits for.

Invariants: QEMU is never started while another one of the same VM runs (and holds its own lock on
the overlays besides); the mount outlives the QEMU that reads from it; an overlay that a guest has
come up on is removed by `discard` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.base import durable
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import BusyError, HoldfastError
from appliance.base.progress import Progress
from appliance.recovery.accelerator import choose_accelerator
from appliance.recovery.ready import GuestEndedError, Wait
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_note import (
    VmStatus,
    lock_vm,
    parse_vm_name,
    show_vm,
    write_vm,
)

MEMORY_SPARE_MIB = 256
SHUTDOWN_GRACE_S = 20.0
_MOUNT_LOG = "mount.log"
_STATUS_TIMEOUT_S = 2.0
# Gives the command line that shows only that point at that directory, in the foreground.
MountArgv = Callable[[str, Path], list[str]]


@dataclass(frozen=True)
class BootOrder:
    """What to boot. `point` is a point's own name, never `latest`."""

    point: str
    name: str | None = None
    memory_mib: int = 1024
    wait: Wait = Wait("login")
    timeout_s: float = 300.0


@dataclass(frozen=True)
class BootResult:
    """A VM that runs. `kept_overlay`: it continues on what it wrote before.

    `other_overlays`: other VMs of this machine that keep an overlay.
    """

    vm: VmStatus
    kept_overlay: bool
    other_overlays: tuple[str, ...]


@dataclass(frozen=True)
class StopResult:
    """What `stop` did. `shut_down`: the guest did so by itself; else it was like a power cut."""

    name: str
    was_running: bool
    shut_down: bool
    discarded: bool


# ---- booting ------------------------------------------------------------------------------------


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
        fresh = VmNote(name, order.point, 0, order.memory_mib, "starting", True, accelerator)
        note = replace(fresh, is_fresh=kept is None, disks=kept.disks if kept else 0)
        note = _start(runtime, folder, note, order.wait, mount_argv, progress)
    try:
        note = _wait(runtime, folder, note, order, progress)
    except (GuestEndedError, Cancelled, KeyboardInterrupt) as error:
        was_fresh = kept is None and not isinstance(error, GuestEndedError)
        with suppress(BusyError), lock_vm(runtime, name):
            _settle(runtime, folder, replace(note, is_fresh=was_fresh))
        raise
    note = _note_ready(runtime, folder, note, clock.monotonic_s() - began_s)
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
    if _is_whole(folder, note, _served(runtime)):
        raise BusyError(f"VM '{note.name}' runs already: 'holdfast vms' shows where it is reached")
    return _settle(runtime, folder, note)


def _start(
    runtime: Runtime,
    folder: Path,
    note: VmNote,
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
        _settle(runtime, folder, note)
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
    note = replace(note, accelerator=Accelerator("tcg", reason))
    remember(runtime, note.accelerator)
    with lock_vm(runtime, note.name):
        qemu.end_qemu(folder, note.guest.qemu, 0)
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
        for other in _notes(runtime)
        if other.name != note.name and PointName.parse(other.point).machine == machine
    )


# ---- showing ------------------------------------------------------------------------------------


def _notes(runtime: Runtime) -> list[VmNote]:
    notes = []
    for folder in list_folders(runtime):
        with suppress(NotFoundError, IntegrityError):
            notes.append(read_vm(folder))
    return notes


def list_vms(runtime: Runtime) -> list[VmStatus]:
    """All VMs, running or kept, by name."""
    shown = []
    for folder in list_folders(runtime):
        try:
            note = read_vm(folder)
        except NotFoundError:
            continue
        except IntegrityError:
            shown.append(show_damaged(folder))
            continue
        state: str = note.state
        if state == "running":
            alive = note.guest is not None and note.guest.qemu.is_alive()
            state = (query_run_state(folder, _STATUS_TIMEOUT_S) or state) if alive else "stopped"
        shown.append(show_vm(folder, note, state))
    return shown


def vms_using(runtime: Runtime, point: str) -> list[str]:
    """VMs that run on `point` or keep an overlay over it: without the point they are lost."""
    return [note.name for note in _notes(runtime) if note.point == point]


def screenshot(runtime: Runtime, name: str, target: Path) -> tuple[int, int]:
    """Write the screen of a running VM to `target` as PNG; gives width and height in pixels.

    Raises NotFoundError for no such VM, HoldfastError for one that does not run.
    """
    folder = find_folder(runtime, name)
    guest = read_vm(folder).guest
    if guest is None or not guest.qemu.is_alive():
        raise HoldfastError(f"VM '{name}' does not run: boot it first")
    return qemu.take_screenshot(folder, target)


# ---- ending and healing -------------------------------------------------------------------------


def stop(
    runtime: Runtime, name: str, *, discard: bool = False, grace_s: float = SHUTDOWN_GRACE_S
) -> StopResult:
    """End a VM: its guest is asked to shut down and switched off after `grace_s` seconds.

    With `discard` it is switched off at once and removed with all it wrote. Raises NotFoundError
    for no such VM, BusyError while another command starts or stops it, IntegrityError for a
    damaged one that is not to be discarded.
    """
    folder = find_folder(runtime, name)
    with lock_vm(runtime, name):
        note: VmNote | None = None
        try:
            note = read_vm(folder)
        except IntegrityError:
            if not discard:
                raise
        running = _find_qemu(folder, note)
        shut_down = False
        if running is not None:
            shut_down = qemu.end_qemu(folder, running, 0 if discard else grace_s)
        if note is None or discard:
            end_mount(mount_of(folder), runtime)
            _remove(folder)
        else:
            _settle(runtime, folder, note)
    return StopResult(name, running is not None, shut_down, discard)


def heal(runtime: Runtime) -> list[str]:
    """Bring VMs whose QEMU or mount was killed to their end; gives their names.

    Their overlays are kept. A VM that another command is starting or stopping is left to it.
    Costs one look into a directory when there are no VMs.
    """
    healed = []
    served: set[Path] | None = None
    for folder in list_folders(runtime):
        note = _read_or_none(folder)
        if note is None and (folder / NOTE).exists():
            continue  # damaged: only a person may throw it away
        if note is not None and note.state == "stopped":
            continue
        served = _served(runtime) if served is None else served
        if note is not None and _is_whole(folder, note, served):
            continue
        with suppress(BusyError), lock_vm(runtime, folder.name):
            if _heal_locked(runtime, folder):
                healed.append(folder.name)
    return healed


def _heal_locked(runtime: Runtime, folder: Path) -> bool:
    note = _read_or_none(folder)  # again: it may have changed before the lock was ours
    if note is None:
        if not (folder / NOTE).exists():
            end_mount(mount_of(folder), runtime)
            _remove(folder)
        return False
    if note.state == "stopped" or _is_whole(folder, note, _served(runtime)):
        return False
    _settle(runtime, folder, note)
    return True


def _read_or_none(folder: Path) -> VmNote | None:
    try:
        return read_vm(folder)
    except (NotFoundError, IntegrityError):
        return None


def _served(runtime: Runtime) -> set[Path]:
    """Directories whose mounts have a living process."""
    return {note.directory for note in list_mounts(runtime) if note.server.is_alive()}


def _is_whole(folder: Path, note: VmNote, served: set[Path]) -> bool:
    """Whether QEMU and the mount under it both live."""
    alive = note.guest is not None and note.guest.qemu.is_alive()
    return note.state == "running" and alive and resolve(mount_of(folder)) in served


def _find_qemu(folder: Path, note: VmNote | None) -> ProcessId | None:
    if note is not None and note.guest is not None and note.guest.qemu.is_alive():
        return note.guest.qemu
    return qemu.find_qemu(folder)  # started by somebody who was killed before noting it


def _settle(runtime: Runtime, folder: Path, note: VmNote) -> VmNote | None:
    """Under the lock: end what still runs of a VM, and keep it only if it is worth keeping."""
    running = _find_qemu(folder, note)
    if running is not None:
        qemu.end_qemu(folder, running, 0)
    end_mount(mount_of(folder), runtime)
    if note.is_fresh:
        _remove(folder)
        return None
    note = note.with_state("stopped")
    write_vm(folder, note)
    return note


def _remove(folder: Path) -> None:
    if is_mounted(mount_of(folder)):
        raise BusyError(f"{mount_of(folder)} is still mounted: try again when nothing reads there")
    durable.remove_file(folder / NOTE)  # from here on the folder is garbage that `heal` removes
    with durable.named_os_errors(folder):
        shutil.rmtree(folder)
