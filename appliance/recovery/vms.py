"""VMs: shown, ended, and healed after whatever was killed. How they come up is in `boot`.

Owns the way down. Invariants: the mount outlives the QEMU that reads from it; an overlay that a
guest has come up on is removed by `discard` alone; a folder without a note is garbage.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import BusyError, HoldfastError, IntegrityError, NotFoundError
from appliance.recovery import qemu
from appliance.recovery.monitor import query_run_state
from appliance.recovery.mount import end_mount
from appliance.recovery.mount_note import is_mounted, list_mounts, resolve
from appliance.recovery.runtime import Runtime
from appliance.recovery.vm_note import (
    NOTE,
    VmNote,
    VmStatus,
    find_folder,
    list_folders,
    lock_vm,
    mount_of,
    read_vm,
    show_damaged,
    show_vm,
    write_vm,
)

SHUTDOWN_GRACE_S = 20.0
_STATUS_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class StopResult:
    """What `stop` did. `shut_down`: the guest did so by itself; else it was like a power cut."""

    name: str
    was_running: bool
    shut_down: bool
    discarded: bool


# ---- showing ------------------------------------------------------------------------------------


def read_all(runtime: Runtime) -> list[VmNote]:
    """The notes of all VMs that can be read."""
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
    return [note.name for note in read_all(runtime) if note.point == point]


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
        was_running, shut_down = _bring_down(runtime, folder, note, 0 if discard else grace_s)
        if note is None or discard:
            _remove(folder)
        else:
            settle(runtime, folder, note)
    return StopResult(name, was_running, shut_down, discard)


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
        served = list_served(runtime) if served is None else served
        if note is not None and is_whole(folder, note, served):
            continue
        with suppress(BusyError), lock_vm(runtime, folder.name):
            if _heal_locked(runtime, folder):
                healed.append(folder.name)
    return healed


def _heal_locked(runtime: Runtime, folder: Path) -> bool:
    note = _read_or_none(folder)  # again: it may have changed before the lock was ours
    if note is None:
        if not (folder / NOTE).exists():
            _bring_down(runtime, folder, None, 0)
            _remove(folder)
        return False
    if note.state == "stopped" or is_whole(folder, note, list_served(runtime)):
        return False
    settle(runtime, folder, note)
    return True


def _read_or_none(folder: Path) -> VmNote | None:
    try:
        return read_vm(folder)
    except (NotFoundError, IntegrityError):
        return None


def list_served(runtime: Runtime) -> set[Path]:
    """Directories whose mounts have a living process."""
    return {note.directory for note in list_mounts(runtime) if note.server.is_alive()}


def is_whole(folder: Path, note: VmNote, served: set[Path]) -> bool:
    """Whether QEMU and the mount under it both live."""
    alive = note.guest is not None and note.guest.qemu.is_alive()
    return note.state == "running" and alive and resolve(mount_of(folder)) in served


def _bring_down(
    runtime: Runtime, folder: Path, note: VmNote | None, grace_s: float
) -> tuple[bool, bool]:
    """End the QEMU in `folder`, then the mount under it; gives (was running, shut down by itself).

    A QEMU whose starter was killed before noting it is found too.
    """
    noted = note.guest.qemu if note is not None and note.guest is not None else None
    running = noted if noted is not None and noted.is_alive() else qemu.find_qemu(folder)
    shut_down = running is not None and qemu.end_qemu(folder, running, grace_s)
    end_mount(mount_of(folder), runtime)
    return running is not None, shut_down


def settle(runtime: Runtime, folder: Path, note: VmNote) -> VmNote | None:
    """Under the lock: end what still runs of a VM, and keep it only if it is worth keeping."""
    _bring_down(runtime, folder, note, 0)
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
