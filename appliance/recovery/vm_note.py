"""What is known about a VM: the note `STATE/vms/NAME/vm.json`, and what of it is shown.

Owns names, folders and notes of VMs. Never starts or ends anything. A folder without a note is
garbage: the note is the first file of a VM that is written and the first that is removed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.locks import FileLock
from appliance.base.text import printable
from appliance.formats.names import PointName, parse_machine_name
from appliance.recovery.accelerator import Accelerator
from appliance.recovery.qemu import MOUNT, SERIAL_LOG, SERIAL_SOCKET, Guest, overlay_file_name
from appliance.recovery.runtime import ProcessId, Runtime, read_note, write_note

NOTE = "vm.json"
_NAME_MAX_BYTES = 240  # a file name holds 255, and the lock adds a suffix
State = Literal["starting", "running", "stopped"]


@dataclass(frozen=True)
class VmNote:
    """A VM. `is_fresh` until it has come up once: then its overlay is worth nothing yet."""

    name: str
    point: str
    disks: int
    memory_mib: int
    state: State
    is_fresh: bool
    accelerator: Accelerator
    guest: Guest | None = None
    ready_s: float | None = None

    def with_state(self, state: State, guest: Guest | None = None) -> VmNote:
        """The same VM in another state."""
        return replace(self, state=state, guest=guest, ready_s=None)

    def to_json(self) -> dict[str, Any]:
        """Members of the note."""
        guest = self.guest
        return {
            "format": 1,
            "name": self.name,
            "point": self.point,
            "disks": self.disks,
            "memory_mib": self.memory_mib,
            "state": self.state,
            "fresh": self.is_fresh,
            "accelerator": self.accelerator.name,
            "accelerator_reason": self.accelerator.reason,
            "ready_s": self.ready_s,
            "guest": guest
            and {
                **guest.qemu.to_json(),
                "vnc": guest.vnc,
                "vnc_password": guest.vnc_password,
                "forwarded": guest.forwarded,
            },
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> VmNote:
        """The VM of a note. Raises KeyError, TypeError, ValueError or UsageError for garbage."""
        if value["state"] not in ("starting", "running", "stopped"):
            raise ValueError(f"no state: {value['state']}")
        guest = value["guest"]
        return cls(
            name=str(value["name"]),
            point=str(PointName.parse(str(value["point"]))),
            disks=int(value["disks"]),
            memory_mib=int(value["memory_mib"]),
            state=value["state"],
            is_fresh=bool(value["fresh"]),
            accelerator=Accelerator(
                "kvm" if value["accelerator"] == "kvm" else "tcg", str(value["accelerator_reason"])
            ),
            guest=guest
            and Guest(
                ProcessId.from_json(guest),
                str(guest["vnc"]),
                str(guest["vnc_password"]),
                guest["forwarded"] and str(guest["forwarded"]),
            ),
            ready_s=None if value["ready_s"] is None else float(value["ready_s"]),
        )


@dataclass(frozen=True)
class VmStatus:
    """A VM as it is shown.

    `state` is `starting`, `running`, `stopped`, `damaged` (its note cannot be read), or why QEMU
    has paused it: `paused`, `io-error` (its disk is full), `internal-error`, ... `overlay_bytes`
    is what it occupies. `forwarded` leads to the port that `--wait tcp:PORT` named.
    """

    name: str
    point: str
    state: str
    serial: Path
    serial_log: Path
    overlay_bytes: int
    memory_mib: int = 0
    vnc: str | None = None
    vnc_password: str | None = field(default=None, repr=False)
    forwarded: str | None = None
    ready_s: float | None = None
    accelerator: str = ""
    accelerator_reason: str = ""


def parse_vm_name(text: str) -> str:
    """The VM name `text`: a machine name in which `@` and `:` may stand. Raises UsageError."""
    if len(text.encode(errors="replace")) > _NAME_MAX_BYTES:
        raise UsageError("the name of the VM is too long for a folder: give a shorter --name")
    parts = [part for part in re.split("[@:]", text) if part]
    if not parts or text[0] in "@:":
        raise UsageError(
            f"VM name '{printable(text)}' is not allowed: begin with a letter or digit"
        )
    # A point's name has parts such as `30` and `00Z`, each of which is a machine name by itself.
    for part in parts:
        parse_machine_name(part)
    return text


def find_folder(runtime: Runtime, name: str) -> Path:
    """The folder of an existing VM. Raises UsageError for no name, NotFoundError for no VM."""
    folder = runtime.vms / parse_vm_name(name)
    if not (folder / NOTE).exists():
        raise NotFoundError(f"there is no VM '{name}': 'holdfast vms' lists them")
    return folder


def lock_vm(runtime: Runtime, name: str) -> FileLock:
    """The lock under which VM `name` is started and ended."""
    durable.make_directory(runtime.vm_locks)
    return FileLock(
        runtime.vm_locks / f"{name}.lock",
        wait=False,
        busy=f"VM '{name}' is being started or stopped by another command: try again shortly",
    )


def list_folders(runtime: Runtime) -> list[Path]:
    """Folders of VMs and what is left of them, by name; one look into a directory if none."""
    try:
        names = os.listdir(runtime.vms)
    except FileNotFoundError:
        return []
    return [
        runtime.vms / name
        for name in sorted(names)
        if not name.startswith(durable.TEMPORARY_PREFIX)
    ]


def read_vm(folder: Path) -> VmNote:
    """The note of a VM. Raises NotFoundError, or IntegrityError with the way out."""
    path = folder / NOTE
    try:
        return VmNote.from_json(read_note(path))
    except (KeyError, TypeError, ValueError, UsageError, IntegrityError) as error:
        raise IntegrityError(
            f"{path} cannot be read: 'holdfast stop {folder.name} --discard' removes that VM"
        ) from error


def write_vm(folder: Path, note: VmNote) -> None:
    """Note the VM, durably on return."""
    write_note(folder / NOTE, note.to_json())


def count_overlay_bytes(folder: Path, disks: int) -> int:
    """What the overlays of a VM occupy on the disk."""
    total = 0
    for disk in range(disks):
        try:
            total += (folder / overlay_file_name(disk)).stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def show_vm(folder: Path, note: VmNote, state: str) -> VmStatus:
    """The VM as it is shown, in `state`."""
    guest = note.guest
    return VmStatus(
        name=note.name,
        point=note.point,
        state=state,
        serial=folder / SERIAL_SOCKET,
        serial_log=folder / SERIAL_LOG,
        overlay_bytes=count_overlay_bytes(folder, note.disks),
        memory_mib=note.memory_mib,
        vnc=guest.vnc if guest else None,
        vnc_password=guest.vnc_password if guest else None,
        forwarded=guest.forwarded if guest else None,
        ready_s=note.ready_s,
        accelerator=note.accelerator.name,
        accelerator_reason=note.accelerator.reason,
    )


def show_damaged(folder: Path) -> VmStatus:
    """A VM of which only the folder is known."""
    return VmStatus(folder.name, "", "damaged", folder / SERIAL_SOCKET, folder / SERIAL_LOG, 0)


def mount_of(folder: Path) -> Path:
    """Where a VM's own mount is."""
    return folder / MOUNT
