"""QEMU's storage daemon as it serves the disks of a stopped VM, to be read over NBD.

Owns its start, its end, and finding the one that a killed command left. Never reads the disks.
"""

from __future__ import annotations

import signal
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.formats.nbd import BASE_ALLOCATION
from appliance.recovery.runtime import ProcessId, find_process, poll
from appliance.recovery.storage_daemon import start_storage_daemon
from appliance.recovery.vm_note import VmNote
from appliance.sources.nbd import NbdAddress, NbdClient

MOMENT_SOCKET = "moment.sock"
_LOG = "moment.log"
_PID_FILE = "moment.pid"
_END_TIMEOUT_S = 30.0


def start_daemon(folder: Path, note: VmNote) -> ProcessId:
    """Serve the disks of a VM as disk0, disk1, ... at MOMENT_SOCKET; answers on return.

    What lies below its overlays is served already. Raises HoldfastError with its last words.
    """
    (folder / MOMENT_SOCKET).unlink(missing_ok=True)
    address = NbdAddress("disk0", folder / MOMENT_SOCKET)
    return start_storage_daemon(
        folder,
        note,
        ["--nbd-server", f"addr.type=unix,addr.path={MOMENT_SOCKET},max-connections=0"],
        name_export=lambda disk: f"id=moment{disk},name=disk{disk},allocation-depth=on",
        is_read_only=True,
        pid_file=_PID_FILE,
        log_file=_LOG,
        is_up=lambda: _answers(address),
        trouble=f"the disks of VM '{note.name}' could not be read",
    )


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
