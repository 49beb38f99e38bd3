"""QEMU's storage daemon over the disks of a VM that has no guest.

Owns how it is started. Where it serves, what of, and its end belong to who starts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.base import process
from appliance.base.errors import HoldfastError
from appliance.recovery.hardware import disk_nodes, node_of
from appliance.recovery.runtime import ProcessId, disown, last_line, poll
from appliance.recovery.vm_note import VmNote

_START_TIMEOUT_S = 30.0


def start_storage_daemon(
    folder: Path,
    note: VmNote,
    server: Sequence[str],
    *,
    name_export: Callable[[int], str],
    is_read_only: bool,
    pid_file: str,
    log_file: str,
    is_up: Callable[[], bool],
    trouble: str,
) -> ProcessId:
    """Serve the disks of a VM as `server` says; `is_up` on return.

    `name_export` gives the options of a disk's export but for its node; both files lie in `folder`.
    Raises HoldfastError, `trouble` with the daemon's last words, when it does not come up.
    """
    argv = [process.find_program("qemu-storage-daemon", "qemu-system-common")]
    argv += ["--pidfile", pid_file]
    for disk in range(note.disks):
        moved = note.moved[disk] if disk < len(note.moved) else None
        nodes = (
            ["-blockdev", moved]
            if moved
            else disk_nodes(disk, note.limits_bytes[disk], is_read_only=is_read_only)
        )
        argv += ["--blockdev" if word == "-blockdev" else word for word in nodes]
    argv += server
    for disk in range(note.disks):
        argv += ["--export", f"nbd,node-name={node_of(note.moved, disk)},{name_export(disk)}"]
    log = folder / log_file
    log.unlink(missing_ok=True)
    daemon = process.spawn(argv, log=log, cwd=folder)
    up = poll(lambda: daemon.poll() is not None or is_up(), _START_TIMEOUT_S)
    identity = disown(daemon) if up and daemon.poll() is None else None
    if identity is None:
        daemon.kill()
        daemon.wait()
        raise HoldfastError(f"{trouble}: {last_line(log)}")
    return identity
