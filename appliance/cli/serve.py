"""serve: disks of a point over NBD."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import Cancelled, UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.names import PointName
from appliance.recovery.disk_server import disk_export_name
from appliance.recovery.nbd_listen import Address, listen_tcp, listen_unix, load_certificates
from appliance.recovery.nbd_server import NbdServer
from appliance.recovery.runtime import Runtime
from appliance.recovery.store_view import StoreView


def serve(session: Session, options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if options.tls_certificates is not None and options.listen is None:
        raise UsageError("--tls-certificates is for --listen: a socket is its owner's alone")
    store, console = session.store, session.console
    name = store.points.resolve(options.point)
    tls = None
    if options.tls_certificates is not None:
        tls = load_certificates(options.tls_certificates)
    with store.lease("reader") as lease:
        manifest = store.open_point(name, lease)
        view = StoreView(store, lease)
        disks = {
            disk_export_name(disk): view.open_disk(name.machine, name.directory_time, disk)
            for disk in range(len(manifest.disks))
        }
        path: Path | None = None
        if options.listen is not None:
            listener = listen_tcp(Address.parse(options.listen), tls)
            start = _tcp_address(listener, is_tls=tls is not None)
            addresses = [f"{start}/{disk}" for disk in disks]
        else:
            path = (options.socket or _default_socket(session, name)).absolute()
            listener = listen_unix(path)
            addresses = [f"nbd+unix:///{disk}?socket={path}" for disk in disks]
        with listener:
            value = {"point": str(name), "addresses": addresses}
            console.result(value, "\n".join(addresses))
            console.note(f"{name} is served, read-only, until Ctrl-C")
            console.progress.phase(f"serving {name}")
            try:
                NbdServer(disks, tls).serve(listener, console.progress)
            except Cancelled:
                return DONE
            finally:
                if path is not None:
                    path.unlink(missing_ok=True)
    return DONE


def _default_socket(session: Session, name: PointName) -> Path:
    folder = Runtime(session.state).run / "nbd"
    durable.make_directory(folder)
    return folder / f"{name}.sock"


def _tcp_address(listener: socket.socket, *, is_tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'nbds' if is_tls else 'nbd'}://{shown}:{port}"
