"""The process that serves a VM's point to its QEMU: started, found again, ended.

A server is known by its socket: whoever listens there is it, by the kernel's word, and a socket
that nobody listens on is the trace of one that was killed. QEMU waits for a server that is gone and
goes on when another one listens, so that nothing the guest does fails meanwhile.

Owns that process. Never looks into a disk.
"""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.base import process
from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.recovery.runtime import Child, ProcessId, disown, last_line, poll
from appliance.sources.nbd import NbdAddress, NbdClient, list_exports
from appliance.sources.wire import connect_unix

SOCKET = "disks.sock"
LOG = "disks.log"
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
_ASK_TIMEOUT_S = 5.0
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
# Gives the command line that serves the disks of that point at that socket, in the foreground.
ServeArgv = Callable[[str, Path], list[str]]


def disk_export_name(disk: int) -> str:
    """What disk number `disk` is called."""
    return f"disk{disk}"


def find_disk_server(folder: Path) -> ProcessId | None:
    """The process that serves the VM in `folder`, or None."""
    try:
        connection = connect_unix(folder / SOCKET, _ASK_TIMEOUT_S)
    except (HoldfastError, OSError):
        return None
    with connection:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return ProcessId.of(_CREDENTIALS.unpack(data)[0])


def start_disk_server(
    argv: Sequence[str], folder: Path, *, progress: Progress | None = None
) -> None:
    """Start `argv`, which serves at SOCKET in `folder`, and wait until it listens.

    The process outlives this one. Raises HoldfastError with the last line it said, or Cancelled;
    then it does not run.
    """
    log = folder / LOG
    said_before = log.stat().st_size if log.exists() else 0
    server = process.spawn(argv, log=log)
    try:
        up = poll(
            lambda: server.poll() is not None or _serves(folder, server),
            START_TIMEOUT_S,
            progress=progress,
        )
        if server.poll() is not None:
            reason = last_line(log, said_before) or f"its process ended with {server.returncode}"
            raise HoldfastError(f"the point could not be served: {reason}")
        if not up or disown(server) is None:
            raise HoldfastError(f"the point was not served within {START_TIMEOUT_S:.0f} s: {log}")
    except BaseException:
        server.kill()
        server.wait()
        raise


def _serves(folder: Path, server: Child) -> bool:
    found = find_disk_server(folder)
    return found is not None and found.pid == server.pid


def end_disk_server(folder: Path) -> None:
    """End whoever serves the VM in `folder`; nobody is fine."""
    server = find_disk_server(folder)
    if server is not None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            server.send(number)
            if poll(lambda: not server.is_alive(), END_TIMEOUT_S):
                break
    (folder / SOCKET).unlink(missing_ok=True)


def measure_disks(folder: Path) -> list[int]:
    """Bytes of each disk that is served to the VM in `folder`."""
    address = NbdAddress(unix=folder / SOCKET)
    sizes = []
    for name in list_exports(address):
        with NbdClient(NbdAddress(name, folder / SOCKET)) as client:
            sizes.append(client.size_bytes)
    return sizes
