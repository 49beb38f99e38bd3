"""A VM without a guest: its disks over NBD, to be written, for a hypervisor that is not ours.

Everything else is as with any VM: an overlay that stays, its limit, `backup vm:NAME` and `failback`
when it is not served, and `boot` may continue on it. QEMU's storage daemon serves, because it owns
the format of the overlays. Owns that daemon while it serves, under the VM's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.recovery.accelerator import Accelerator
from appliance.recovery.disk_server import ServeArgv, disk_export_name
from appliance.recovery.hardware import PID_FILE
from appliance.recovery.nbd_listen import Address
from appliance.recovery.qemu import QEMU_LOG
from appliance.recovery.runtime import ProcessId, Runtime, last_line, poll
from appliance.recovery.storage_daemon import start_storage_daemon
from appliance.recovery.vm_note import VmNote, lock_vm, parse_vm_name, read_vm
from appliance.recovery.vm_start import BootOrder, find_kept, new_note, open_vm
from appliance.recovery.vms import settle

_NO_GUEST = Accelerator("tcg", "no guest")
_TURN_S = 0.2


@dataclass(frozen=True)
class Place:
    """Where: a Unix socket, or an address with the directory of certificates (or the loopback)."""

    socket: Path | None = None
    address: Address | None = None
    certificates: Path | None = None

    def argv(self) -> list[str]:
        """Options of the storage daemon."""
        if self.address is None:
            return ["--nbd-server", f"addr.type=unix,addr.path={_escape(self.socket)}"
                    ",max-connections=0"]  # fmt: skip
        where = f"addr.type=inet,addr.host={self.address.host},addr.port={self.address.port}"
        if self.certificates is None:
            return ["--nbd-server", f"{where},max-connections=0"]
        folder = _escape(self.certificates.absolute())
        credentials = f"tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir={folder}"
        server = f"{where},max-connections=0,tls-creds=tls"
        return ["--object", credentials, "--nbd-server", server]


def _escape(path: Path | None) -> str:
    return str(path).replace(",", ",,")


def serve_writable(
    runtime: Runtime,
    order: BootOrder,
    place: Place,
    *,
    serve_argv: ServeArgv,
    began: Callable[[list[str]], None],
    progress: Progress,
) -> None:
    """Serve a VM's disks until cancelled; calls `began` with the names of the exports.

    What was written stays as the overlay of a stopped VM. Raises Cancelled at the end, BusyError
    for a name that runs or belongs to another point, HoldfastError when the daemon fails.
    """
    name = parse_vm_name(order.name or order.point)
    folder = runtime.vms / name
    with lock_vm(runtime, name):
        kept = find_kept(folder, order)
        accelerator = kept.accelerator if kept else _NO_GUEST
        note = replace(new_note(name, order, kept, accelerator), is_wanted=False)
        daemons: list[ProcessId] = []

        def start(ready: VmNote) -> VmNote:
            daemons.append(_start_daemon(folder, ready, place))
            return replace(ready.with_state("served"), is_fresh=False)

        open_vm(runtime, folder, note, order, start, serve_argv=serve_argv, progress=progress)
        try:
            began([disk_export_name(disk) for disk in range(read_vm(folder).disks)])
            progress.phase("serving", about=name)
            while daemons[0].is_alive():
                poll(lambda: False, _TURN_S, progress=progress)
        finally:
            settle(folder, read_vm(folder))
        raise HoldfastError(f"the storage daemon ended: {last_line(folder / QEMU_LOG)}")


def _start_daemon(folder: Path, note: VmNote, place: Place) -> ProcessId:
    return start_storage_daemon(
        folder,
        note,
        place.argv(),
        name_export=lambda disk: f"id=served{disk},name={disk_export_name(disk)},writable=on",
        is_read_only=False,
        pid_file=PID_FILE,
        log_file=QEMU_LOG,
        is_up=(folder / PID_FILE).exists,
        trouble=f"VM '{note.name}' could not be served",
    )
