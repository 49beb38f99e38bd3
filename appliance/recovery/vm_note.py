"""What is known about a VM: the note `STATE/vms/NAME/vm.json`, and what of it is shown.

Owns names, folders and notes of VMs. Never starts or ends anything. A folder without a note is
garbage: the note is the first file of a VM that is written and the first that is removed.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.locks import FileLock
from appliance.base.text import printable
from appliance.formats.names import PointName, parse_machine_name
from appliance.recovery.accelerator import Accelerator
from appliance.recovery.hardware import SERIAL_LOG, SERIAL_SOCKET, Hardware
from appliance.recovery.note_room import note_for_sure
from appliance.recovery.overlay import OverlayUse, measure_overlays
from appliance.recovery.qemu import Guest
from appliance.recovery.runtime import ProcessId, Runtime, read_note
from appliance.sources.nbd import NbdAddress

NOTE = "vm.json"
_NAME_MAX_BYTES = 240  # a file name holds 255, and the lock adds a suffix
State = Literal["starting", "running", "served", "stopped"]


@dataclass(frozen=True)
class VmNote:
    """A VM. `is_fresh` until it has come up once: then its overlay is worth nothing yet.

    `is_wanted` until somebody stops it: if the box or its QEMU dies, it is to come back. `moved`
    says for each disk where it was migrated to, as QEMU's options. `last_point` is the newest point
    made of this VM. `limits_bytes` are those of its overlays, one for each disk.
    """

    name: str
    point: str
    limits_bytes: tuple[int, ...]
    hardware: Hardware
    state: State
    is_fresh: bool
    accelerator: Accelerator
    guest_port: int | None = None
    is_wanted: bool = True
    moved: tuple[str | None, ...] = ()
    last_point: str | None = None
    guest: Guest | None = None
    ready_s: float | None = None

    @property
    def disks(self) -> int:
        """How many disks it has."""
        return len(self.limits_bytes)

    @property
    def needs_point(self) -> bool:
        """Whether any of its disks still lies over its point."""
        return not (self.moved and all(self.moved))

    def with_state(self, state: State, guest: Guest | None = None) -> VmNote:
        """The same VM in another state."""
        return replace(self, state=state, guest=guest, ready_s=None)

    def to_json(self) -> dict[str, Any]:
        """Members of the note."""
        guest = self.guest
        return {
            "format": 2,
            "name": self.name,
            "point": self.point,
            "limits_bytes": list(self.limits_bytes),
            "hardware": self.hardware.to_json(),
            "state": self.state,
            "fresh": self.is_fresh,
            "wanted": self.is_wanted,
            "guest_port": self.guest_port,
            "moved": list(self.moved),
            "last_point": self.last_point,
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
        if value["state"] not in get_args(State):
            raise ValueError(f"no state: {value['state']}")
        guest = value["guest"]
        port, last_point, ready_s = value["guest_port"], value["last_point"], value["ready_s"]
        return cls(
            name=str(value["name"]),
            point=str(PointName.parse(str(value["point"]))),
            limits_bytes=tuple(int(limit) for limit in value["limits_bytes"]),
            hardware=Hardware.from_json(value["hardware"]),
            state=value["state"],
            is_fresh=bool(value["fresh"]),
            is_wanted=bool(value["wanted"]),
            guest_port=None if port is None else int(port),
            moved=tuple(None if place is None else str(place) for place in value["moved"]),
            last_point=None if last_point is None else str(PointName.parse(str(last_point))),
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
            ready_s=None if ready_s is None else float(ready_s),
        )


@dataclass(frozen=True)
class VmStatus:
    """A VM as it is shown.

    `state` is `starting`, `running`, `stopped`, `served` (its disks are written over NBD),
    `damaged` (its note cannot be read), or why QEMU has paused it: `paused`, `io-error` (its disk
    is full), `internal-error`, ... `overlay_bytes` is what it occupies of `overlay_limit_bytes`.
    `warning` says what will pause it, in time.
    `lives_at`: where those of its disks are that were migrated.
    `is_wanted`: it was not stopped by anybody, so it is to run. `forwarded` leads to the port that
    `--wait tcp:PORT` named.
    """

    name: str
    point: str
    state: str
    serial: Path
    serial_log: Path
    overlay_bytes: int
    overlay_limit_bytes: int = 0
    warning: str | None = None
    lives_at: tuple[str, ...] = ()
    is_wanted: bool = False
    memory_mib: int = 0
    cpus: int = 0
    firmware: str = ""
    bus: str = ""
    network: str = ""
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
            f"VM name '{printable(text)}' is not allowed: begin with a letter or digit",
            code="bad-vm-name",
        )
    # A point's name has parts such as `30` and `00Z`, each of which is a machine name by itself.
    for part in parts:
        parse_machine_name(part)
    return text


def find_folder(runtime: Runtime, name: str) -> Path:
    """The folder of an existing VM. Raises UsageError for no name, NotFoundError for no VM."""
    folder = runtime.vms / parse_vm_name(name)
    if not (folder / NOTE).exists():
        raise NotFoundError(f"there is no VM '{name}': 'holdfast vms' lists them", code="no-vm")
    return folder


def lock_vm(runtime: Runtime, name: str) -> FileLock:
    """The lock under which VM `name` is started and ended."""
    durable.make_directory(runtime.vm_locks)
    return FileLock(
        runtime.vm_locks / f"{name}.lock",
        wait=False,
        busy=f"VM '{name}' is being started or stopped by another command: try again shortly",
    )


def lock_disks(runtime: Runtime, name: str) -> FileLock:
    """The lock under which the disks of VM `name` are read or moved; `lock_vm` comes after it."""
    durable.make_directory(runtime.vm_locks)
    return FileLock(
        runtime.vm_locks / f"{name}.disks.lock",
        wait=False,
        busy=f"VM '{name}' is being backed up or moved by another command: try again shortly",
    )


def list_folders(runtime: Runtime) -> list[Path]:
    """Folders of VMs and what is left of them, by name; one look into a directory if none."""
    try:
        entries = sorted(os.scandir(runtime.vms), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    return [
        Path(entry.path)
        for entry in entries
        # Somebody's own file there is no VM, and stops no command.
        if entry.is_dir() and not entry.name.startswith(durable.TEMPORARY_PREFIX)
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
    """Note the VM, durably on return, on a full disk too while it has room set aside."""
    note_for_sure(folder / NOTE, note.to_json())


def describe_place(place: str) -> str:
    """Where a disk was migrated to, from QEMU's options in a note: a path or an NBD address."""
    try:
        known = json.loads(place)
        if known["driver"] != "nbd":
            return str(known["file"]["filename"])
        server, export = known["server"], str(known["export"])
        if server["type"] == "unix":
            return str(NbdAddress(export, Path(server["path"])))
        return str(NbdAddress(export, None, str(server["host"]), int(server["port"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return place  # something else than we write: better seen than hidden


def show_vm(folder: Path, note: VmNote, state: str) -> VmStatus:
    """The VM as it is shown, in `state`."""
    guest = note.guest
    use = measure_overlays(folder, note.limits_bytes) if note.needs_point else OverlayUse(0, 0, 0)
    return VmStatus(
        name=note.name,
        point=note.point,
        state=state,
        serial=folder / SERIAL_SOCKET,
        serial_log=folder / SERIAL_LOG,
        overlay_bytes=use.used_bytes,
        overlay_limit_bytes=use.limit_bytes,
        warning=use.warning if note.needs_point else None,
        lives_at=tuple(describe_place(place) for place in note.moved if place is not None),
        is_wanted=note.is_wanted,
        memory_mib=note.hardware.memory_mib,
        cpus=note.hardware.cpus,
        firmware=note.hardware.firmware,
        bus=note.hardware.bus,
        network=note.hardware.network,
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
