"""QEMU as this product runs it: its command line, its overlays, its start and its end.

Owns everything between a folder that is ready and a running guest. Never decides which VM may run
(see `vms`). QEMU runs with the folder as its working directory and relative names, because the
address of a Unix socket holds 107 bytes; its overlays name their backing files relative to it too,
so that STATE may be moved.
"""

from __future__ import annotations

import os
import secrets
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable, process
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.recovery.accelerator import QEMU, QEMU_PACKAGE, Name
from appliance.recovery.monitor import SOCKET, Monitor, MonitorError, query_run_state
from appliance.recovery.runtime import Child, ProcessId, disown, last_line, poll

MOUNT = "mnt"
SERIAL_LOG = "serial.log"
SERIAL_SOCKET = "serial.sock"
QEMU_LOG = "qemu.log"
PID_FILE = "qemu.pid"
START_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 30.0
_CPUS_MAX = 2
_SCREEN = "screen.png"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# RFB's own password scheme (RFC 6143, 7.2.2) looks at eight characters.
_VNC_PASSWORD_BYTES = 6  # eight characters of base64


@dataclass(frozen=True)
class Hardware:
    """What a guest finds. `guest_port` is made reachable on a port of this machine's loopback."""

    memory_mib: int
    disks: int
    accelerator: Name
    guest_port: int | None = None


@dataclass(frozen=True)
class Guest:
    """A QEMU that was started, and where it can be reached."""

    qemu: ProcessId
    vnc: str
    vnc_password: str
    forwarded: str | None


def overlay_file_name(disk: int) -> str:
    """What a VM wrote over disk number `disk`."""
    return f"overlay-{disk}.qcow2"


def create_overlay(folder: Path, disk: int, backing: str, size_bytes: int) -> None:
    """Make an empty overlay over `backing` (relative to `folder`), durable on return."""
    qemu_img = process.find_program("qemu-img", "qemu-utils")
    temporary = folder / f"{durable.TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    argv = [qemu_img, "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", backing]
    try:
        process.run([*argv, temporary.name, str(size_bytes)], cwd=folder)
        durable.write_file(folder / overlay_file_name(disk), temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)


def build_argv(folder: Path, name: str, hardware: Hardware) -> list[str]:
    """The command line of a VM.

    A PC with a BIOS, virtio disks, a plain VGA; no network unless a port is to be reached, and
    then one that leads nowhere else. The guest's flushes reach the disk (the cache mode is
    writeback); a full disk pauses the guest instead of failing its writes.
    """
    argv = [process.find_program(QEMU, QEMU_PACKAGE), "-name", f"guest={name}"]
    argv += ["-pidfile", str(folder / PID_FILE)]
    argv += ["-nodefaults", "-no-user-config", "-machine", "pc"]
    argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    argv += ["-accel", hardware.accelerator]
    argv += ["-cpu", "host" if hardware.accelerator == "kvm" else "max"]
    argv += ["-smp", str(min(_CPUS_MAX, os.cpu_count() or 1)), "-m", f"{hardware.memory_mib}M"]
    for disk in range(hardware.disks):
        argv += [
            "-blockdev",
            f"driver=qcow2,node-name=disk{disk},"
            f"file.driver=file,file.filename={overlay_file_name(disk)}",
            "-device",
            f"virtio-blk-pci,drive=disk{disk},bootindex={disk + 1},werror=enospc,rerror=report",
        ]
    argv += ["-vga", "std", "-display", "none", "-vnc", "127.0.0.1:0,to=999,password=on"]
    argv += ["-object", "rng-random,id=rng,filename=/dev/urandom"]
    argv += ["-device", "virtio-rng-pci,rng=rng"]
    argv += ["-chardev", f"socket,id=serial,path={SERIAL_SOCKET},server=on,wait=off"
             f",logfile={SERIAL_LOG},logappend=off", "-serial", "chardev:serial"]  # fmt: skip
    argv += ["-chardev", f"socket,id=qmp,path={SOCKET},server=on,wait=off"]
    argv += ["-mon", "chardev=qmp,mode=control"]
    if hardware.guest_port is not None:
        forward = f"hostfwd=tcp:127.0.0.1:0-:{hardware.guest_port}"
        argv += ["-netdev", f"user,id=net,restrict=on,{forward}"]
        argv += ["-device", "virtio-net-pci,netdev=net"]
    return argv


def start_qemu(
    folder: Path, name: str, hardware: Hardware, progress: Progress | None = None
) -> Guest:
    """Start a VM in `folder`; it outlives this process.

    Raises HoldfastError with QEMU's last words when it does not come up, or Cancelled; then it
    does not run.
    """
    log = folder / QEMU_LOG
    log.unlink(missing_ok=True)
    qemu = process.spawn(build_argv(folder, name, hardware), log=log, cwd=folder)
    try:
        up = poll(
            lambda: qemu.poll() is not None or query_run_state(folder, 5.0) is not None,
            START_TIMEOUT_S,
            progress=progress,
        )
        if qemu.poll() is not None:
            reason = last_line(log) or f"exit code {qemu.returncode}"
            raise HoldfastError(f"QEMU for VM '{name}' ended at once: {reason}")
        identity = disown(qemu)
        if not up or identity is None:
            raise HoldfastError(f"QEMU for VM '{name}' does not answer: see {log}")
        return _open_doors(folder, identity, has_network=hardware.guest_port is not None)
    except BaseException:
        _kill(qemu)
        raise


def _open_doors(folder: Path, qemu: ProcessId, *, has_network: bool) -> Guest:
    password = secrets.token_urlsafe(_VNC_PASSWORD_BYTES)
    with Monitor(folder) as monitor:
        monitor.ask("set_password", protocol="vnc", password=password)
        vnc = monitor.ask("query-vnc")
        forwarded = None
        if has_network:
            port = find_forwarded_port(list_connections(monitor))
            forwarded = f"127.0.0.1:{port}"
    return Guest(qemu, f"{vnc['host']}:{vnc['service']}", password, forwarded)


def _kill(qemu: Child) -> None:
    qemu.kill()
    qemu.wait()


def list_connections(monitor: Monitor) -> list[list[str]]:
    """Rows of user-mode networking: protocol with state, descriptor, addresses and ports."""
    text = str(monitor.ask("human-monitor-command", **{"command-line": "info usernet"}))
    return [row for line in text.splitlines() if len(row := line.split()) >= 6]


def find_forwarded_port(rows: list[list[str]]) -> int:
    """The port of this machine that leads into the guest. Raises HoldfastError if none does."""
    for row in rows:
        if row[0] == "TCP[HOST_FORWARD]":
            return int(row[3])
    raise HoldfastError("QEMU forwards no port although it was told to")


def find_qemu(folder: Path) -> ProcessId | None:
    """The QEMU that runs in `folder` according to its own note, or None."""
    try:
        identity = ProcessId.of(int((folder / PID_FILE).read_text()))
        if identity is None or Path(f"/proc/{identity.pid}/cwd").resolve() != folder.resolve():
            return None
    except (OSError, ValueError):
        return None
    return identity


def end_qemu(folder: Path, qemu: ProcessId, grace_s: float) -> bool:
    """End a VM, and tell whether its guest shut down by itself.

    The guest is asked and has `grace_s` seconds; then QEMU is told to quit, which closes the
    overlays properly, and killed only if it does not hear that either.
    """
    if not qemu.is_alive():
        return False
    if grace_s > 0 and _ask_to_shut_down(folder) and poll(lambda: not qemu.is_alive(), grace_s):
        return True
    try:
        with Monitor(folder) as monitor:
            monitor.ask("quit")
    except MonitorError:
        qemu.send(signal.SIGTERM)  # QEMU takes this as `quit`
    if not poll(lambda: not qemu.is_alive(), QUIT_TIMEOUT_S):
        qemu.send(signal.SIGKILL)
        poll(lambda: not qemu.is_alive(), QUIT_TIMEOUT_S)
    return False


def _ask_to_shut_down(folder: Path) -> bool:
    try:
        with Monitor(folder) as monitor:
            if monitor.run_state() != "running":
                return False  # a paused guest hears nothing
            monitor.ask("system_powerdown")
    except MonitorError:
        return False
    return True


def take_screenshot(folder: Path, target: Path) -> tuple[int, int]:
    """Write the guest's screen to `target` as PNG; gives width and height in pixels.

    Raises HoldfastError if QEMU does not make one.
    """
    screen = folder / _SCREEN
    screen.unlink(missing_ok=True)
    with Monitor(folder) as monitor:
        monitor.ask("screendump", filename=_SCREEN, format="png")
    data = screen.read_bytes()
    screen.unlink()
    size = read_png_size(data)
    durable.write_file(target, data, 0o644)
    return size


def read_png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR chunk). Raises IntegrityError if it is none."""
    if len(data) < 33 or data[:8] != _PNG_HEAD or data[12:16] != b"IHDR":
        raise IntegrityError("the screenshot is no PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not width or not height:
        raise IntegrityError("the screenshot has no pixels")
    return width, height
