"""QEMU's storage daemon as it serves the disks of a stopped VM, to be read over NBD.

Owns its start, its end, and finding the one that a killed command left. Never reads the disks.
"""

from __future__ import annotations

import signal
from pathlib import Path

from appliance.base import process
from appliance.base.errors import HoldfastError
from appliance.formats.nbd import BASE_ALLOCATION
from appliance.recovery.hardware import disk_nodes, node_of
from appliance.recovery.runtime import ProcessId, disown, find_process, last_line, poll
from appliance.recovery.vm_note import VmNote
from appliance.sources.nbd import NbdAddress, NbdClient

MOMENT_SOCKET = "moment.sock"
_LOG = "moment.log"
_PID_FILE = "moment.pid"
_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 30.0


def start_daemon(folder: Path, note: VmNote) -> ProcessId:
    """Serve the disks of a VM as disk0, disk1, ... at MOMENT_SOCKET; answers on return.

    What lies below its overlays is served already. Raises HoldfastError with its last words.
    """
    (folder / MOMENT_SOCKET).unlink(missing_ok=True)
    argv = [process.find_program("qemu-storage-daemon", "qemu-system-common")]
    argv += ["--pidfile", _PID_FILE]
    for disk in range(note.disks):
        moved = note.moved[disk] if disk < len(note.moved) else None
        nodes = (
            ["-blockdev", moved]
            if moved
            else disk_nodes(disk, note.limits_bytes[disk], is_read_only=True)
        )
        argv += ["--blockdev" if word == "-blockdev" else word for word in nodes]
    argv += ["--nbd-server", f"addr.type=unix,addr.path={MOMENT_SOCKET},max-connections=0"]
    for disk in range(note.disks):
        node = node_of(note.moved, disk)
        argv += ["--export", f"nbd,id=moment{disk},node-name={node},name=disk{disk}"
                 ",allocation-depth=on"]  # fmt: skip
    log = folder / _LOG
    log.unlink(missing_ok=True)
    daemon = process.spawn(argv, log=log, cwd=folder)
    address = NbdAddress("disk0", folder / MOMENT_SOCKET)
    up = poll(lambda: daemon.poll() is not None or _answers(address), _START_TIMEOUT_S)
    identity = disown(daemon) if up and daemon.poll() is None else None
    if identity is None:
        daemon.kill()
        daemon.wait()
        raise HoldfastError(f"the disks of VM '{note.name}' could not be read: {last_line(log)}")
    return identity


def _answers(address: NbdAddress) -> bool:
    try:
        NbdClient(address, [BASE_ALLOCATION]).close()
    except (HoldfastError, OSError):
        return False
    return True


def end_left_daemon(folder: Path) -> None:
    """End the daemon that a killed command left serving a stopped VM's disks; none is fine."""
    daemon = find_process(folder, _PID_FILE)
    if daemon is not None:
        end_daemon(folder, daemon)


def end_daemon(folder: Path, daemon: ProcessId) -> None:
    """End it, and remove its socket."""
    daemon.send(signal.SIGTERM)
    poll(lambda: not daemon.is_alive(), _END_TIMEOUT_S)
    (folder / MOMENT_SOCKET).unlink(missing_ok=True)
