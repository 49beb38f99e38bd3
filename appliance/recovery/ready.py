"""When a booted guest is ready: it asks for a login, answers on a TCP port, or nobody waits.

Owns the waiting. Never starts or ends a VM: it says by an error what became of it.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import HoldfastError, NoSpaceError, UsageError
from appliance.base.progress import Progress
from appliance.recovery.hardware import SERIAL_LOG
from appliance.recovery.monitor import Monitor, MonitorError
from appliance.recovery.qemu import QEMU_LOG, Guest, list_connections
from appliance.recovery.runtime import last_line, poll

_LOGIN = b"login:"
_TURN_S = 0.25
# Text mode of a VGA: 32 KiB at 0xB8000, each character followed by its colours.
_TEXT_ADDRESS = 0xB8000
_TEXT_BYTES = 0x8000
_TEXT_FILE = "screen.text"
_CONNECT_TIMEOUT_S = 2.0
_SERIAL_TAIL_BYTES = 1 << 20  # a guest may say more than memory holds
_TAKEN = ("TCP[ESTABLISHED]", "TCP[CLOSE_WAIT]")


class AcceleratorFailedError(HoldfastError):
    """The guest stopped because KVM cannot run it here."""


class GuestEndedError(HoldfastError):
    """QEMU is gone before the guest was ready."""


@dataclass(frozen=True)
class Wait:
    """What to wait for."""

    kind: Literal["login", "tcp", "none"]
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Wait:
        """Read `login`, `tcp:PORT` or `none`. Raises UsageError otherwise."""
        if text == "login":
            return cls("login")
        if text == "none":
            return cls("none")
        port = re.fullmatch(r"tcp:([0-9]{1,5})", text)
        if port is None or not 1 <= int(port[1]) <= 65535:
            raise UsageError(f"'{text}' is nothing to wait for: login, tcp:PORT or none")
        return cls("tcp", int(port[1]))

    def tell(self, progress: Progress) -> None:
        """Say what is waited for. Raises Cancelled if asked to stop."""
        if self.kind == "login":
            progress.phase("waiting for the login prompt")
        else:
            progress.phase("waiting for", about=str(self))

    def __str__(self) -> str:
        return self.kind if self.port is None else f"{self.kind}:{self.port}"


LOGIN = Wait("login")


def wait_until_ready(
    name: str,
    folder: Path,
    guest: Guest,
    wait: Wait,
    timeout_s: float,
    *,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> None:
    """Return when VM `name` is ready.

    Raises GuestEndedError with QEMU's last words, AcceleratorFailedError, NoSpaceError when the
    guest is paused on a full disk, Cancelled, and HoldfastError when `timeout_s` is over: the VM
    then still runs.
    """
    if wait.kind == "none":
        return
    clock = clock or SystemClock()

    def is_ready() -> bool:
        if not guest.qemu.is_alive():
            raise GuestEndedError(_last_words(name, folder))
        with suppress(MonitorError), Monitor(folder) as monitor:
            _check_run_state(name, monitor.run_state())
            if wait.kind == "tcp":
                return _answers(monitor, guest)
            return _LOGIN in read_console(monitor, folder)
        return False

    if not poll(is_ready, timeout_s, interval_s=_TURN_S, clock=clock, progress=progress):
        raise HoldfastError(
            f"VM '{name}' was not ready ({wait}) within {timeout_s:.0f} s: it stays running, see "
            f"{folder / SERIAL_LOG}, and 'holdfast stop' ends it",
            code="vm-not-ready",
        )


def _last_words(name: str, folder: Path) -> str:
    said = last_line(folder / QEMU_LOG)
    reason = f": {said}" if said else " without a word (switched off by its guest, or stopped)"
    return f"VM '{name}' ended before it was ready{reason}; see {folder / SERIAL_LOG}"


def _check_run_state(name: str, state: str) -> None:
    if state == "internal-error":
        raise AcceleratorFailedError(f"VM '{name}' stopped with an internal error of KVM")
    if state == "io-error":
        raise NoSpaceError(
            f"VM '{name}' is paused because the disk under its overlay is full: free space",
            code="vm-disk-full",
        )


def read_console(monitor: Monitor, folder: Path) -> bytes:
    """What a guest said last on its serial line, and what its screen shows in text mode."""
    said = b""
    with suppress(FileNotFoundError), (folder / SERIAL_LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _SERIAL_TAIL_BYTES))
        said = log.read(_SERIAL_TAIL_BYTES)
    # No console on the serial line: look at the screen, while it still is in text mode.
    screen = folder / _TEXT_FILE
    monitor.ask("pmemsave", val=_TEXT_ADDRESS, size=_TEXT_BYTES, filename=_TEXT_FILE)
    text = screen.read_bytes()[::2]
    screen.unlink()
    return said + b"\n" + text


def _answers(monitor: Monitor, guest: Guest) -> bool:
    """Whether something in the guest takes a connection.

    QEMU itself accepts every connection and only then asks the guest, so that having connected
    proves nothing: its table has to say that the guest's side is established too.
    """
    assert guest.forwarded is not None
    host, _, port = guest.forwarded.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S):
            return poll(lambda: is_established(list_connections(monitor), port), _CONNECT_TIMEOUT_S)
    except OSError:
        return False


def is_established(rows: list[list[str]], port: str) -> bool:
    """Whether a row of `info usernet` shows a connection from our `port` that the guest took.

    CLOSE_WAIT: it took the connection and has hung up since.
    """
    return any(row[0] in _TAKEN and row[3] == port for row in rows)
