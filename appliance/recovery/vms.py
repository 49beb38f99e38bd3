"""VMs: shown, ended, and healed after whatever was killed. How they come up is in `boot`.

Owns the way down. Invariants: the disk server outlives the QEMU that reads from it; an overlay that
a guest has come up on is removed by `discard` alone; a folder without a note is garbage.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from appliance.base import durable
from appliance.base.errors import (
    BusyError,
    HoldfastError,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
)
from appliance.recovery import qemu
from appliance.recovery.disk_server import (
    SOCKET,
    ServeArgv,
    end_disk_server,
    find_disk_server,
    start_disk_server,
)
from appliance.recovery.mirrors import find_moved
from appliance.recovery.monitor import Monitor, query_run_state
from appliance.recovery.overlay import raise_limit
from appliance.recovery.runtime import Runtime, poll
from appliance.recovery.vm_note import (
    NOTE,
    VmNote,
    VmStatus,
    find_folder,
    list_folders,
    lock_vm,
    read_vm,
    show_damaged,
    show_vm,
    write_vm,
)

SHUTDOWN_GRACE_S = 20.0
_STATUS_TIMEOUT_S = 2.0
_RETRY_S = 0.5


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
    notes = read_all(runtime)
    return [note.name for note in notes if note.point == point and note.needs_point]


def screenshot(runtime: Runtime, name: str, target: Path) -> tuple[int, int]:
    """Write the screen of a running VM to `target` as PNG; gives width and height in pixels.

    Raises NotFoundError for no such VM, HoldfastError for one that does not run.
    """
    folder = find_folder(runtime, name)
    guest = read_vm(folder).guest
    if guest is None or not guest.qemu.is_alive():
        raise HoldfastError(f"VM '{name}' does not run: boot it first", code="vm-stopped")
    return qemu.take_screenshot(folder, target)


def continue_vm(runtime: Runtime, name: str, overlay_limit_bytes: int | None) -> str:
    """Let a paused VM go on, with a larger overlay if one is given; gives its state then.

    Raises NotFoundError for no such VM, HoldfastError for one that does not run, NoSpaceError when
    its guest is paused again at once because there still is no room.
    """
    folder = find_folder(runtime, name)
    note = read_vm(folder)
    if not _runs(note):
        raise HoldfastError(
            f"VM '{name}' does not run: 'holdfast boot' or 'vms resume' starts it",
            code="vm-stopped",
        )
    check_place(folder, note)
    with lock_vm(runtime, name), Monitor(folder) as monitor:
        if overlay_limit_bytes is not None and note.needs_point:
            note = with_larger_overlays(folder, read_vm(folder), overlay_limit_bytes)
            write_vm(folder, note)
            for disk, limit_bytes in enumerate(note.limits_bytes):
                node = {"driver": "raw", "node-name": f"limit{disk}", "file": f"file{disk}"}
                monitor.ask("blockdev-reopen", options=[{**node, "size": limit_bytes}])
        monitor.ask("cont")
        # What failed is tried again: wait until that has happened.
        poll(lambda: monitor.run_state() == "io-error", _RETRY_S)
        state = monitor.run_state()
    if state == "io-error":
        raise NoSpaceError(
            f"VM '{name}' was paused again, its disk or overlay is full: free space, or give a "
            "larger --overlay-limit",
            code="vm-disk-full",
        )
    return state


def with_larger_overlays(folder: Path, note: VmNote, limit_bytes: int) -> VmNote:
    """The VM with overlays that may grow to `limit_bytes` each, if they could not already."""
    limits = enumerate(note.limits_bytes)
    raised = tuple(raise_limit(folder, disk, before, limit_bytes) for disk, before in limits)
    return replace(note, limits_bytes=raised)


def check_place(folder: Path, note: VmNote) -> None:
    """Raise HoldfastError for a running VM that an interrupted migration left half way.

    It stands still since, and what it had written is in its overlay, so it can start from there.
    """
    with Monitor(folder) as monitor:
        is_moved = find_moved(monitor, note.disks)
    check_moved(note, is_moved)


def check_moved(note: VmNote, is_moved: Sequence[bool]) -> None:
    """Raise HoldfastError for a VM of which a disk changed over to where its note does not say."""
    known = note.moved or (None,) * note.disks
    if any(now and place is None for now, place in zip(is_moved, known, strict=True)):
        raise HoldfastError(
            f"VM '{note.name}' was being migrated when that was interrupted: 'holdfast stop "
            f"{note.name}' and 'holdfast boot' start it again from where it was"
        )


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
        was_running, shut_down = _bring_down(folder, note, 0 if discard else grace_s)
        if note is None or discard:
            _remove(folder)
        else:
            settle(folder, replace(note, is_wanted=False))
    return StopResult(name, was_running, shut_down, discard)


@dataclass(frozen=True)
class Healed:
    """What `heal` found: VMs that were killed, and those that got their disks back."""

    ended: tuple[str, ...]
    resumed: tuple[str, ...]


def heal(runtime: Runtime, serve_argv: ServeArgv) -> Healed:
    """Bring VMs whose QEMU was killed to their end, and serve those again whose disks were not.

    Overlays are kept. A VM that another command is starting or stopping is left to it. One whose
    point cannot be served now, because the box is locked for instance, goes on waiting for it.
    Costs one look into a directory when there are no VMs.
    """
    ended: list[str] = []
    resumed: list[str] = []
    for folder in list_folders(runtime):
        note = _read_or_none(folder)
        if note is None and (folder / NOTE).exists():
            continue  # damaged: only a person may throw it away
        if note is not None and (note.state == "stopped" or is_whole(folder, note)):
            continue
        with suppress(BusyError), lock_vm(runtime, folder.name):
            outcome = _heal_locked(folder, serve_argv)
            if outcome is not None:
                (ended if outcome == "ended" else resumed).append(folder.name)
    return Healed(tuple(ended), tuple(resumed))


def _heal_locked(folder: Path, serve_argv: ServeArgv) -> Literal["ended", "resumed"] | None:
    note = _read_or_none(folder)  # again: it may have changed before the lock was ours
    if note is None:
        if not (folder / NOTE).exists():
            _bring_down(folder, None, 0)
            _remove(folder)
        return None
    if note.state == "stopped" or is_whole(folder, note):
        return None
    if _runs(note):
        try:
            start_disk_server(serve_argv(note.point, folder / SOCKET), folder)
        except HoldfastError:
            return None
        return "resumed"
    settle(folder, replace(note, is_wanted=note.is_wanted and not qemu.has_shut_down(folder)))
    return "ended"


def _read_or_none(folder: Path) -> VmNote | None:
    try:
        return read_vm(folder)
    except (NotFoundError, IntegrityError):
        return None


def _runs(note: VmNote) -> bool:
    return note.state == "running" and note.guest is not None and note.guest.qemu.is_alive()


def is_whole(folder: Path, note: VmNote) -> bool:
    """Whether QEMU and the server of what lies below its overlays both live."""
    return _runs(note) and (not note.needs_point or find_disk_server(folder) is not None)


def _bring_down(folder: Path, note: VmNote | None, grace_s: float) -> tuple[bool, bool]:
    """End the QEMU in `folder`, then its disk server; gives (was running, shut down by itself).

    A QEMU whose starter was killed before noting it is found too.
    """
    noted = note.guest.qemu if note is not None and note.guest is not None else None
    running = noted if noted is not None and noted.is_alive() else qemu.find_qemu(folder)
    needs_server = note is None or note.needs_point
    if running is not None and needs_server and find_disk_server(folder) is None:
        # It waits for disks that nobody serves, and would not hear anything else.
        running.send(signal.SIGKILL)
        poll(lambda: not running.is_alive(), qemu.QUIT_TIMEOUT_S)
    shut_down = running is not None and qemu.end_qemu(folder, running, grace_s)
    end_disk_server(folder)
    return running is not None, shut_down


def settle(folder: Path, note: VmNote) -> VmNote | None:
    """Under the lock: end what still runs of a VM, and keep it only if it is worth keeping."""
    _bring_down(folder, note, 0)
    if note.is_fresh:
        _remove(folder)
        return None
    note = note.with_state("stopped")
    write_vm(folder, note)
    return note


def _remove(folder: Path) -> None:
    durable.remove_file(folder / NOTE)  # from here on the folder is garbage that `heal` removes
    with durable.named_os_errors(folder):
        shutil.rmtree(folder)
