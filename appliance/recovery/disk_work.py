"""What a command does with the disks of a VM, so that whoever comes after a killed one ends it.

Owns a note in the VM's folder, there while the disks are worked on, and `mend`: afterwards no job,
node, file or daemon of that work is left, the VM's note says where each disk is, and a guest that
the command had stand still goes on. A migration ends by it, finished or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from appliance.base import durable
from appliance.base.errors import HoldfastError, IntegrityError, NoSpaceError, NotFoundError
from appliance.recovery.disk_server import end_disk_server
from appliance.recovery.guest_agent import thaw_filesystems
from appliance.recovery.mirrors import end_mirrors, find_moved
from appliance.recovery.moment_daemon import end_left_daemon
from appliance.recovery.monitor import Monitor, MonitorError, query_run_state
from appliance.recovery.note_room import note_for_sure, set_room_aside
from appliance.recovery.overlay import overlay_file_name
from appliance.recovery.runtime import Runtime, read_note
from appliance.recovery.vm_disks import (
    delete_node,
    has_agent,
    release_bitmaps,
    release_moment,
)
from appliance.recovery.vm_note import (
    VmNote,
    find_folder,
    list_folders,
    lock_disks,
    lock_vm,
    read_vm,
    write_vm,
)
from appliance.recovery.vms import check_moved, is_whole

NOTE = "disk-work.json"
_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class DiskWork:
    """What must be known to end it.

    `moved`: where its disks are being migrated to, as VmNote.moved has it. `holds_guest`: its guest
    is stopped or shut down for it, and is to go on.
    """

    moved: tuple[str | None, ...] = ()
    holds_guest: bool = False

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> DiskWork:
        """What a note says. Raises KeyError or TypeError for garbage."""
        moved = tuple(None if place is None else str(place) for place in value["moved"])
        return cls(moved, bool(value["holds_guest"]))


@contextmanager
def work_on_disks(runtime: Runtime, name: str) -> Iterator[None]:
    """Have the disks of VM `name` for this command alone; when it fails or is killed, `mend`.

    Raises NotFoundError for no such VM, BusyError while another command has them.
    """
    folder = find_folder(runtime, name)
    with lock_disks(runtime, name):
        if (folder / NOTE).exists():
            with lock_vm(runtime, name):
                mend(folder)
        note_work(folder, DiskWork())
        try:
            yield
        except BaseException:
            with suppress(HoldfastError), lock_vm(runtime, name):
                mend(folder)
            raise
        durable.remove_file(folder / NOTE)


def note_work(folder: Path, work: DiskWork) -> None:
    """Note it, durably on return, on a full disk too while the VM has room set aside."""
    with suppress(NoSpaceError):  # a disk that is full must not keep a VM from leaving it
        note_for_sure(folder / NOTE, asdict(work))


def hold_guest(folder: Path) -> None:
    """Note that the guest is held, or is about to be, durably on return."""
    note_work(folder, replace(_read_work(folder), holds_guest=True))


def _read_work(folder: Path) -> DiskWork:
    try:
        return DiskWork.from_json(read_note(folder / NOTE))
    except (NotFoundError, IntegrityError, KeyError, TypeError):
        return DiskWork()


def heal_disks(runtime: Runtime) -> tuple[str, ...]:
    """Mend all VMs whose disks a killed command had worked on; gives their names.

    One that waits for its disk server, or whose QEMU does not answer, is left for the next time.
    Costs one look into a directory when there are no VMs.
    """
    healed = []
    for folder in list_folders(runtime):
        if not (folder / NOTE).exists():
            continue
        name = folder.name
        with suppress(HoldfastError), lock_disks(runtime, name), lock_vm(runtime, name):
            note = read_vm(folder)
            if _runs(note) and not _answers(folder, note):
                continue
            mend(folder)
            healed.append(name)
    return tuple(healed)


def _runs(note: VmNote) -> bool:
    return note.guest is not None and note.guest.qemu.is_alive()


def _answers(folder: Path, note: VmNote) -> bool:
    return is_whole(folder, note) and query_run_state(folder, _ANSWER_TIMEOUT_S) is not None


def mend(folder: Path) -> VmNote:
    """End the work on a VM's disks, under both of its locks; gives the VM as it is noted then.

    What has changed over to another place lives there, all else lives on its overlay, as before.
    Raises HoldfastError when QEMU does not do its part: then the work's note stays.
    """
    note, work = read_vm(folder), _read_work(folder)
    is_running = _runs(note)
    if is_running:
        with Monitor(folder) as monitor:
            end_mirrors(monitor, note.disks)
            note = _note_places(folder, note, work, find_moved(monitor, note.disks))
            if work.holds_guest:
                _let_go_on(monitor)
            _delete_left_nodes(monitor, note)
        _release(folder, note)
    else:
        end_left_daemon(folder)
    if not (is_running and note.needs_point):
        end_disk_server(folder)
    for disk, place in enumerate(note.moved):
        if place is not None:
            durable.remove_file(folder / overlay_file_name(disk))
    durable.remove_file(folder / NOTE)
    set_room_aside(folder)
    return note


def _release(folder: Path, note: VmNote) -> None:
    release_moment(folder, note)
    with Monitor(folder) as monitor:
        release_bitmaps(monitor)
        is_agent_there = has_agent(monitor)
    if is_agent_there:
        thaw_filesystems(folder)


def _note_places(folder: Path, note: VmNote, work: DiskWork, is_moved: Sequence[bool]) -> VmNote:
    """Note where the disks are, if any has changed over since that was noted."""
    before = note.moved or (None,) * note.disks
    asked = work.moved or before
    moved = tuple(
        known or (place if now else None)
        for known, place, now in zip(before, asked, is_moved, strict=True)
    )
    if any(moved) and moved != note.moved:
        note = replace(note, moved=moved)
        write_vm(folder, note)
    check_moved(note, is_moved)
    return note


def _let_go_on(monitor: Monitor) -> None:
    state = monitor.run_state()
    monitor.ask("set-action", shutdown="poweroff")
    if state == "shutdown":
        monitor.ask("system_reset")
    if state in ("shutdown", "paused", "io-error"):
        monitor.ask("cont")


def _delete_left_nodes(monitor: Monitor, note: VmNote) -> None:
    """What disks that changed over lay on."""
    for disk, place in enumerate(note.moved):
        if place is not None:
            for node in (f"disk{disk}", f"limit{disk}", f"file{disk}", f"point{disk}"):
                with suppress(MonitorError):
                    delete_node(monitor, node)
