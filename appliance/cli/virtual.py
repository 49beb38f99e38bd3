"""mount, umount, boot, vms, stop."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from pathlib import Path

from appliance.base.errors import BusyError, UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.formats.names import PointName
from appliance.recovery import boot as booting
from appliance.recovery import mount as mounts
from appliance.recovery import vms as machines
from appliance.recovery.points_view import PointsView, SinglePoint
from appliance.recovery.ready import Wait
from appliance.recovery.runtime import Runtime
from appliance.recovery.store_view import StoreView
from appliance.recovery.touch import TouchedView, touched_of
from appliance.recovery.vm_note import VmStatus


def mount(session: Session, options: argparse.Namespace) -> int:
    """Show all points as files, in the background unless told otherwise."""
    runtime = Runtime(session.state)
    directory: Path = options.directory.absolute()
    store = session.store  # a locked box or a wrong key is said before anything is started
    if not options.foreground:
        argv = session.command("mount", str(directory), "--foreground")
        mounts.mount_in_background(
            argv, directory, runtime.mount_log, progress=session.console.progress
        )
        session.console.result(
            {"directory": str(directory)},
            f"points are at {directory}/MACHINE/TIME/disk0.raw; 'holdfast umount {directory}' ends",
        )
        return DONE
    with store.lease("reader") as lease, ExitStack() as held:
        view: PointsView = StoreView(store, lease)
        if options.only is not None:
            # A VM's mount: its point is kept for as long as this process lives.
            name = PointName.parse(options.only)
            store.open_point(name, lease)
            view = SinglePoint(view, name.machine, name.directory_time)
            if options.vm:
                view = held.enter_context(closing(TouchedView(view, touched_of(directory))))
                session.fetch_boot_set(name)
        mounts.serve_mount(view, directory, runtime, kind="vm" if options.vm else "points")
    return DONE


def umount(session: Session, options: argparse.Namespace) -> int:
    """Take a mount away."""
    directory: Path = options.directory.absolute()
    mounts.unmount(directory, Runtime(session.state), lazy=options.lazy)
    session.console.result({"directory": str(directory)}, f"{directory} is unmounted")
    return DONE


def boot(session: Session, options: argparse.Namespace) -> int:
    """Run a point as a VM; it runs on when this command ends."""
    if options.memory < 1:
        raise UsageError("--memory is in MiB and at least 1")
    if options.timeout <= 0:
        raise UsageError("--timeout is in seconds and more than 0")
    wait = Wait.parse(options.wait)
    store, console = session.store, session.console
    point = store.points.resolve(options.point)
    order = booting.BootOrder(
        point=str(point),
        name=options.name,
        memory_mib=options.memory,
        wait=wait,
        timeout_s=options.timeout,
    )
    runtime = Runtime(session.state)

    def serve(text: str, directory: Path) -> list[str]:
        return session.command("mount", str(directory), "--foreground", "--vm", "--only", text)

    booted = booting.boot(runtime, order, serve, progress=console.progress, clock=session.clock)
    vm = booted.vm
    shot = None
    if options.screenshot is not None:
        machines.screenshot(runtime, vm.name, options.screenshot.absolute())
        shot = str(options.screenshot)
    if booted.kept_overlay:
        console.note(f"{vm.name} continues on what it wrote before ('stop --discard' drops that)")
    for other in booted.other_overlays:
        console.note(f"VM '{other}' of this machine keeps its overlay: 'holdfast vms' lists it")
    value = {
        **_vm_json(vm),
        "ready_s": vm.ready_s,
        "kept_overlay": booted.kept_overlay,
        "other_overlays": list(booted.other_overlays),
        "screenshot": shot,
    }
    reason = f" ({vm.accelerator_reason})" if vm.accelerator_reason else ""
    console.result(
        value,
        f"ready after {vm.ready_s:.1f} s: {vm.name}\n"
        f"  accelerator {vm.accelerator}{reason}\n"
        f"  VNC {vm.vnc}, password {vm.vnc_password}\n"
        f"  serial {vm.serial}\n"
        f"'holdfast stop {vm.name}' ends it",
    )
    return DONE


def vms(session: Session, _: argparse.Namespace) -> int:
    """List recovered VMs."""
    found = machines.list_vms(Runtime(session.state))
    lines = [
        f"{vm.name}  {vm.state}  of {vm.point}, overlay {size(vm.overlay_bytes)}"
        + (f", VNC {vm.vnc}, serial {vm.serial}" if vm.vnc else "")
        for vm in found
    ]
    session.console.result(
        {"vms": [_vm_json(vm) for vm in found]},
        "\n".join(lines) or "no VMs: 'holdfast boot NAME@latest' starts one",
    )
    return DONE


def stop(session: Session, options: argparse.Namespace) -> int:
    """End a VM; what it wrote is kept unless it is discarded."""
    session.console.progress.phase(f"stopping {options.name}")
    stopped = machines.stop(Runtime(session.state), options.name, discard=options.discard)
    how = "was not running"
    if stopped.was_running:
        how = "has shut down" if stopped.shut_down else "is switched off"
    kept = "its overlay is gone" if stopped.discarded else "its overlay is kept"
    session.console.result({**stopped.__dict__}, f"{stopped.name} {how}; {kept}")
    return DONE


def heal(session: Session) -> None:
    """Detach what killed processes left behind."""
    runtime = Runtime(session.state)
    for name in machines.heal(runtime):
        session.console.note(f"VM '{name}' had been killed: it is stopped, its overlay is kept")
    for directory in mounts.detach_stale(runtime):
        session.console.note(f"{directory} was left mounted by a killed process: detached")


def refuse_if_booted(session: Session, name: PointName) -> None:
    """Raise BusyError if a VM runs on the point or keeps an overlay over it."""
    using = machines.vms_using(Runtime(session.state), str(name))
    if using:
        raise BusyError(
            f"{name} is needed by VM '{using[0]}': 'holdfast stop {using[0]} --discard' first"
        )


def _vm_json(vm: VmStatus) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vm.__dict__.items()
    }
