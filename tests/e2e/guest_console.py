"""Typing on the serial console of a VM that runs the demo's Debian."""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

PROMPT = re.compile(rb"root@web1:[^\r\n]*# $")
LOGIN = re.compile(rb"login: $")
# What the guest's kernel says behind a prompt hides it: after so long another one is asked for.
QUIET_S = 15


class GuestConsole:
    """Logs in as root and runs commands."""

    def __init__(self, serial_socket: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(1)
        # Unix socket paths are short, temporary directories are not.
        directory = Path(serial_socket).parent
        with OpenDirectory(directory) as number:
            self._socket.connect(f"/proc/self/fd/{number}/{Path(serial_socket).name}")

    def log_in(self) -> None:
        self._send("\n")
        self._read_until(LOGIN)
        self._send("root\n")
        self._read_until(re.compile(rb"Password: $"))
        self._send("demo\n")
        self._read_until(PROMPT)

    def run(self, command: str) -> str:
        """What `command` prints."""
        self._send(f"{command}\n")
        said = self._read_until(PROMPT).decode(errors="replace")
        return "\n".join(said.splitlines()[1:-1])

    def close(self) -> None:
        self._socket.close()

    def _send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def _read_until(self, wanted: re.Pattern[bytes], timeout_s: float = 240) -> bytes:
        deadline_s = time.monotonic() + timeout_s
        seen = b""
        quiet_s = 0
        while not wanted.search(strip_escapes(seen)):
            assert time.monotonic() < deadline_s, f"no {wanted.pattern!r} in {seen[-300:]!r}"
            try:
                seen += self._socket.recv(4096)
                quiet_s = 0
            except TimeoutError:
                quiet_s += 1
                if quiet_s % QUIET_S == 0 and wanted in (LOGIN, PROMPT):
                    self._send("\n")
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
