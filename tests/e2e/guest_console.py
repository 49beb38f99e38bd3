"""Typing on the serial console of a VM that runs the demo's Debian."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

PROMPT = re.compile(rb"root@web1:[^\r\n]*# $")
LOGIN = re.compile(rb"web1 login: $")
PASSWORD = re.compile(rb"Password: $")
ASKED = re.compile(b"|".join(one.pattern for one in (PROMPT, LOGIN, PASSWORD)))
# What the guest's kernel says hides what is waited for: after so long it is asked for again.
QUIET_S = 15
DEADLINE_S = 240


class GuestConsole:
    """Logs in as root and runs commands."""

    def __init__(self, serial_socket: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(1)
        self._turn = 0
        # Unix socket paths are short, temporary directories are not.
        directory = Path(serial_socket).parent
        with OpenDirectory(directory) as number:
            self._socket.connect(f"/proc/self/fd/{number}/{Path(serial_socket).name}")

    def log_in(self) -> None:
        """Answer whatever is asked, as often as it is asked: what was typed may have been lost."""
        deadline_s = time.monotonic() + 2 * DEADLINE_S
        self._send("\n")
        while not PROMPT.search(asked := self._read_until(ASKED, again="\n")):
            assert time.monotonic() < deadline_s, f"no login: {asked[-300:]!r}"
            self._send("root\n" if LOGIN.search(asked) else "demo\n")

    def run(self, command: str) -> str:
        """What `command` prints: between its echo and a word that only its end brings."""
        self._turn += 1
        end = f"echo ended-$(({self._turn}))"
        self._send(f"{command}; {end}\n")
        wanted = re.compile(rb"ended-%d\s" % self._turn)
        said = self._read_until(wanted, again=f"{end}\n").decode(errors="replace")
        _, echo, printed = said.partition(end)
        assert echo, f"{command} is not echoed: {said}"
        return printed.partition(f"ended-{self._turn}")[0]

    def close(self) -> None:
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def _read_until(self, wanted: re.Pattern[bytes], *, again: str) -> bytes:
        """What the guest said until then; `again` is typed whenever it says nothing for long."""
        deadline_s = time.monotonic() + DEADLINE_S
        seen = b""
        quiet_s = 0
        while not wanted.search(strip_escapes(seen)):
            assert time.monotonic() < deadline_s, f"no {wanted.pattern!r} in {seen[-300:]!r}"
            try:
                seen += self._socket.recv(4096)
                quiet_s = 0
            except TimeoutError:
                quiet_s += 1
                if quiet_s % QUIET_S == 0:
                    self._send(again)
        return strip_escapes(seen)


def strip_escapes(data: bytes) -> bytes:
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", data)


class OpenDirectory:
    """A directory's descriptor for the length of a block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._number = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        return self._number

    def __exit__(self, *_: object) -> None:
        os.close(self._number)
