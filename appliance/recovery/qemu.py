"""QEMU as this product runs it: its start, its doors and its end.

Owns everything between a folder that is ready and a running guest. Never decides which VM may run
(see `vms`), nor what the guest finds (see `hardware`).
"""

from __future__ import annotations

import secrets
import signal
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.base import durable, process
from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.recovery.hardware import (
    PID_FILE,
    UEFI_VARIABLES,
    UEFI_VARIABLES_TEMPLATE,
    VNC_SOCKET,
    Machine,
    build_argv,
)
from appliance.recovery.monitor import Monitor, MonitorError, query_run_state
from appliance.recovery.runtime import Child, ProcessId, disown, find_process, last_line, poll

QEMU_LOG = "qemu.log"
START_TIMEOUT_S = 30.0
QUIT_TIMEOUT_S = 30.0
_SCREEN = "screen.png"
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
# RFB's own password scheme (RFC 6143, 7.2.2) looks at eight characters.
_VNC_PASSWORD_BYTES = 6  # eight characters of base64
_SIGNALLED = b"terminating on signal"


@dataclass(frozen=True)
class Guest:
    """A QEMU that was started, and where it can be reached."""

    qemu: ProcessId
    vnc: str
    vnc_password: str
    forwarded: str | None


def start_qemu(folder: Path, machine: Machine, progress: Progress | None = None) -> Guest:
    """Start a VM in `folder`; it outlives this process.

    Where every port for VNC is taken, the screen is reached through a socket in the folder. Raises
    HoldfastError with QEMU's last words when it does not come up, or Cancelled; then it does not
    run.
    """
    if machine.hardware.firmware == "uefi":
        _provide_uefi(folder)
    try:
        return _start(folder, machine, progress)
    except _NoPortError:
        return _start(folder, replace(machine, vnc=f"unix:{VNC_SOCKET}"), progress)


class _NoPortError(HoldfastError):
    """No port for VNC is free."""


def _provide_uefi(folder: Path) -> None:
    variables = folder / UEFI_VARIABLES
    if not variables.exists():
        if not UEFI_VARIABLES_TEMPLATE.exists():
            raise HoldfastError("this disk boots by UEFI: apt-get install ovmf", code="no-uefi")
        durable.write_file(variables, UEFI_VARIABLES_TEMPLATE.read_bytes())


def _start(folder: Path, machine: Machine, progress: Progress | None) -> Guest:
    log = folder / QEMU_LOG
    log.unlink(missing_ok=True)
    qemu = process.spawn(build_argv(folder, machine), log=log, cwd=folder)
    try:
        up = poll(
            lambda: qemu.poll() is not None or query_run_state(folder, 5.0) is not None,
            START_TIMEOUT_S,
            progress=progress,
        )
        if qemu.poll() is not None:
            reason = last_line(log) or f"exit code {qemu.returncode}"
            kind = _NoPortError if "-vnc" in reason and "port" in reason else HoldfastError
            raise kind(f"QEMU for VM '{machine.name}' ended at once: {reason}")
        identity = disown(qemu)
        if not up or identity is None:
            raise HoldfastError(f"QEMU for VM '{machine.name}' does not answer: see {log}")
        return _open_doors(folder, identity, machine)
    except BaseException:
        _kill(qemu)
        raise


def _open_doors(folder: Path, qemu: ProcessId, machine: Machine) -> Guest:
    password = secrets.token_urlsafe(_VNC_PASSWORD_BYTES)
    with Monitor(folder) as monitor:
        monitor.ask("set_password", protocol="vnc", password=password)
        said = monitor.ask("query-vnc")
        vnc = f"{said['host']}:{said['service']}"
        if machine.vnc is not None:
            vnc = str(folder / VNC_SOCKET)
        forwarded = None
        if machine.guest_port is not None:
            port = find_forwarded_port(list_connections(monitor))
            forwarded = f"127.0.0.1:{port}"
        # Not before: a guest may switch itself off sooner than a busy host has asked all that.
        if not machine.is_paused:
            monitor.ask("cont")
    return Guest(qemu, vnc, password, forwarded)


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
    return find_process(folder, PID_FILE)


def has_shut_down(folder: Path) -> bool:
    """Whether the QEMU that ran in `folder` ended because its guest switched itself off.

    A killed one leaves its pid behind, and one that was sent a signal says so.
    """
    try:
        said = (folder / QEMU_LOG).read_bytes()
    except FileNotFoundError:
        return False
    return not (folder / PID_FILE).exists() and _SIGNALLED not in said


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
