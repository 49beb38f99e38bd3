"""mount, umount, boot, vms, stop."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.base.errors import BusyError, Cancelled, HoldfastError, UsageError
from appliance.base.text import size
from appliance.cli.exit_codes import DONE, FAILED
from appliance.cli.session import Session
from appliance.formats.names import PointName
from appliance.recovery import boot as booting
from appliance.recovery import mount as mounts
from appliance.recovery import vms as machines
from appliance.recovery.disk_server import ServeArgv
from appliance.recovery.disk_work import heal_disks
from appliance.recovery.hardware import Hardware
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import Wait
from appliance.recovery.runtime import Runtime
from appliance.recovery.store_view import StoreView
from appliance.recovery.touch import touched_of
from appliance.recovery.vm_note import VmStatus
from appliance.recovery.vm_start import BootOrder


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
    with store.lease("reader") as lease:
        mounts.serve_mount(StoreView(store, lease), directory, runtime)
    return DONE


def umount(session: Session, options: argparse.Namespace) -> int:
    """Take a mount away."""
    directory: Path = options.directory.absolute()
    mounts.unmount(directory, Runtime(session.state), lazy=options.lazy)
    session.console.result({"directory": str(directory)}, f"{directory} is unmounted")
    return DONE


def boot(session: Session, options: argparse.Namespace) -> int:
    """Run a point as a VM; it runs on when this command ends."""
    if options.timeout <= 0:
        raise UsageError("--timeout is in seconds and more than 0")
    choice = HardwareChoice(
        memory_mib=options.memory,
        cpus=options.cpus,
        firmware=options.firmware,
        bus=options.bus,
        network=options.network,
        mac=None if options.mac is None else options.mac.lower(),
    )
    choice.apply(Hardware())  # what cannot be is said before anything is opened
    wait = Wait.parse(options.wait)
    store, console = session.store, session.console
    order = BootOrder(
        point=str(store.points.resolve(options.point, options.as_of)),
        name=options.name,
        hardware=choice,
        wait=wait,
        timeout_s=options.timeout,
        overlay_limit_bytes=options.overlay_limit,
    )
    runtime = Runtime(session.state)
    booted = booting.boot(
        runtime, order, serve_argv(session), progress=console.progress, clock=session.clock
    )
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


def vms(session: Session, options: argparse.Namespace) -> int:
    """List recovered VMs, or do something for them."""
    actions = {"list": _list_vms, "resume": _resume_vms, "continue": _continue_vm}
    if options.action == "continue" and options.name is None:
        raise UsageError("which VM? 'holdfast vms continue VM'")
    if options.action == "list" and options.name is not None:
        raise UsageError("'vms' lists all of them")
    return actions[options.action](session, options)


def _list_vms(session: Session, _: argparse.Namespace) -> int:
    found = machines.list_vms(Runtime(session.state))
    lines = [
        f"{vm.name}  {vm.state}  of {vm.point}, overlay {size(vm.overlay_bytes)}"
        f" of {size(vm.overlay_limit_bytes)}"
        + (f", lives at {', '.join(vm.lives_at)}" if vm.lives_at else "")
        + (f", VNC {vm.vnc}, serial {vm.serial}" if vm.vnc else "")
        for vm in found
    ]
    for vm in found:
        if vm.warning:
            session.console.note(f"holdfast: VM '{vm.name}': {vm.warning}")
    session.console.result(
        {"vms": [_vm_json(vm) for vm in found]},
        "\n".join(lines) or "no VMs: 'holdfast boot NAME@latest' starts one",
    )
    return DONE


def _resume_vms(session: Session, options: argparse.Namespace) -> int:
    """Start the one named, or what nobody stopped; what fails is named and the others go on."""
    runtime, console = Runtime(session.state), session.console
    listed = machines.list_vms(runtime)
    wanted = [vm.name for vm in listed if vm.state == "stopped" and vm.is_wanted]
    resumed, failed = [], []
    for name in wanted if options.name is None else [options.name]:
        console.progress.phase("resuming", about=name)
        try:
            booting.resume(runtime, name, serve_argv(session), console.progress)
        except Cancelled:
            raise
        except HoldfastError as error:
            if options.name is not None:
                raise
            console.note(f"holdfast: VM '{name}' did not come back: {error}")
            failed.append(name)
        else:
            resumed.append(name)
    text = f"running again: {', '.join(resumed)}" if resumed else "nothing to resume"
    console.result({"resumed": resumed, "failed": failed}, text)
    return FAILED if failed else DONE


def _continue_vm(session: Session, options: argparse.Namespace) -> int:
    state = machines.continue_vm(Runtime(session.state), options.name, options.overlay_limit)
    session.console.result({"name": options.name, "state": state}, f"{options.name} is {state}")
    return DONE


def stop(session: Session, options: argparse.Namespace) -> int:
    """End a VM; what it wrote is kept unless it is discarded."""
    if options.grace < 0:
        raise UsageError("--grace is in seconds and not less than 0")
    session.console.progress.phase("stopping", about=options.name)
    stopped = machines.stop(
        Runtime(session.state), options.name, discard=options.discard, grace_s=options.grace
    )
    how = "was not running"
    if stopped.was_running:
        how = "has shut down" if stopped.shut_down else "is switched off"
    kept = "its overlay is gone" if stopped.discarded else "its overlay is kept"
    session.console.result({**stopped.__dict__}, f"{stopped.name} {how}; {kept}")
    return DONE


def serve_argv(session: Session) -> ServeArgv:
    """What serves the disks of a VM's point."""

    def serve(point: str, path: Path) -> list[str]:
        noted = str(touched_of(path.parent))
        return session.command("nbd", point, "--socket", str(path), "--touched", noted)

    return serve


def heal(session: Session) -> None:
    """Detach what killed processes left behind, and serve again what VMs wait for."""
    runtime = Runtime(session.state)
    healed = machines.heal(runtime, serve_argv(session))
    for name in healed.ended:
        session.console.note(
            f"VM '{name}' had ended: its overlay is kept, 'holdfast boot' or 'vms resume' starts it"
        )
    for name in healed.resumed:
        session.console.note(f"VM '{name}' had lost its disks for a while: it goes on")
    for name in heal_disks(runtime):
        session.console.note(f"VM '{name}' is well again: a command at its disks had been killed")
    for directory in mounts.detach_stale(runtime):
        session.console.note(f"{directory} was left mounted by a killed process: detached")


def refuse_if_booted(session: Session, name: PointName) -> None:
    """Raise BusyError if a VM runs on the point or keeps an overlay over it."""
    using = machines.vms_using(Runtime(session.state), str(name))
    if using:
        raise BusyError(
            f"{name} is needed by VM '{using[0]}': 'holdfast stop {using[0]} --discard' first",
            code="point-in-use",
        )


def _vm_json(vm: VmStatus) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vm.__dict__.items()
    }
