"""Telling systemd that we are ready, alive and ending: sd_notify(3), one datagram each."""

from __future__ import annotations

import contextlib
import os
import socket


class Supervisor:
    """Whoever started us, if it wants to be told."""

    def __init__(self) -> None:
        """Taken out of the environment, so that nothing that we start speaks for us."""
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        own = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout_us = os.environ.pop("WATCHDOG_USEC", "0")
        is_watched = own and timeout_us.isdecimal() and int(timeout_us) > 0
        self.feed_every_s = int(timeout_us) / 1e6 / 3 if is_watched else None
        """How often `alive` is to be called; None where nobody waits for it."""

    def ready(self) -> None:
        """Everything that was to be started answers."""
        self._tell("READY=1")

    def alive(self, status: str) -> None:
        """The loop turns; `status` is a line for people."""
        self._tell(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = f"\0{address[1:]}"  # an abstract socket
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.connect(address)
            end.send(message.encode())
