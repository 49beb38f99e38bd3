"""nbd: disks of a point over NBD."""

from __future__ import annotations

import argparse
import socket
from contextlib import ExitStack, closing
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import Cancelled, UsageError
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.cli.virtual import serve_argv
from appliance.formats.names import PointName
from appliance.recovery.disk_server import disk_export_name
from appliance.recovery.nbd_listen import (
    Address,
    check_loopback,
    listen_tcp,
    listen_unix,
    load_certificates,
)
from appliance.recovery.nbd_server import NbdServer
from appliance.recovery.points_view import PointsView
from appliance.recovery.runtime import Runtime
from appliance.recovery.serve_writable import Place, serve_writable
from appliance.recovery.store_view import StoreView
from appliance.recovery.touch import TouchedView
from appliance.recovery.vm_start import BootOrder


def nbd(session: Session, options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if options.tls_certificates is not None and options.listen is None:
        raise UsageError("--tls-certificates is for --listen: a socket is its owner's alone")
    if options.writable:
        return _serve_writable(session, options)
    if options.name is not None or options.overlay_limit is not None:
        raise UsageError("--name and --overlay-limit are for --writable")
    store, console = session.store, session.console
    name = store.points.resolve(options.point)
    tls = None
    if options.tls_certificates is not None:
        tls = load_certificates(options.tls_certificates)
    with store.lease("reader") as lease, ExitStack() as held:
        manifest = store.open_point(name, lease)
        view: PointsView = StoreView(store, lease)
        if options.touched is not None:
            view = held.enter_context(closing(TouchedView(view, options.touched)))
            session.fetch_boot_set(name)
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
            console.progress.phase("serving", about=str(name))
            try:
                NbdServer(disks, tls).serve(listener, console.progress)
            except Cancelled:
                return DONE
            finally:
                if path is not None:
                    path.unlink(missing_ok=True)
    return DONE


def _serve_writable(session: Session, options: argparse.Namespace) -> int:
    console = session.console
    name = session.store.points.resolve(options.point)
    place = Place(socket=(options.socket or _default_socket(session, name)).absolute())
    start = "nbd+unix://"
    end = f"?socket={place.socket}"
    if options.listen is not None:
        address = Address.parse(options.listen)
        if options.tls_certificates is None:
            check_loopback(address)
        else:
            load_certificates(options.tls_certificates)
        place = Place(None, address, options.tls_certificates)
        shown = f"[{address.host}]" if ":" in address.host else address.host
        kind = "nbd" if options.tls_certificates is None else "nbds"
        start, end = f"{kind}://{shown}:{address.port}", ""
    order = BootOrder(str(name), options.name, overlay_limit_bytes=options.overlay_limit)

    def began(disks: list[str]) -> None:
        addresses = [f"{start}/{disk}{end}" for disk in disks]
        value = {"point": str(name), "addresses": addresses, "name": options.name or str(name)}
        console.result(value, "\n".join(addresses))
        console.note(f"{name} is served, and may be written, until Ctrl-C")

    try:
        serve_writable(
            Runtime(session.state),
            order,
            place,
            serve_argv=serve_argv(session),
            began=began,
            progress=console.progress,
        )
    except Cancelled:
        return DONE
    return DONE


def _default_socket(session: Session, name: PointName) -> Path:
    folder = Runtime(session.state).run / "nbd"
    durable.make_directory(folder)
    return folder / f"{name}.sock"


def _tcp_address(listener: socket.socket, *, is_tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'nbds' if is_tls else 'nbd'}://{shown}:{port}"
