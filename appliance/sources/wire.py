"""Whole messages over a socket, and Unix sockets whose paths are longer than an address holds.

Owns nothing but the calls: who speaks what is known above.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError

Buffer = bytes | bytearray | memoryview


class HungUpError(HoldfastError):
    """The other end closed the connection."""


def receive(connection: socket.socket, length: int) -> bytes:
    """Exactly `length` bytes. Raises HungUpError when they do not come, OSError as sockets do."""
    data = bytearray(length)
    receive_into(connection, memoryview(data))
    return bytes(data)


def receive_into(connection: socket.socket, out: memoryview) -> None:
    """Fill `out`. Raises HungUpError when the bytes do not come, OSError as sockets do."""
    while out:
        count = connection.recv_into(out)
        if count == 0:
            raise HungUpError("the other end hung up")
        out = out[count:]


def send(connection: socket.socket, *parts: Buffer) -> None:
    """Send all `parts`, in one system call if the socket takes them."""
    if hasattr(connection, "do_handshake"):  # TLS knows no vectors
        connection.sendall(b"".join(parts))
        return
    sent = connection.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            connection.sendall(memoryview(part)[sent:])
        sent = max(sent - len(part), 0)


def connect_unix(path: Path, timeout_s: float | None = None) -> socket.socket:
    """A connection to the Unix socket `path`, however long. Raises the error tree, naming it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        with named_os_errors(path):
            _by_short_name(path, connection.connect)
    except BaseException:
        connection.close()
        raise
    return connection


def bind_unix(path: Path) -> socket.socket:
    """Listen on a new Unix socket that only its owner may open. Raises the error tree."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        with named_os_errors(path):
            os.fchmod(listener.fileno(), 0o600)  # Linux gives the name the mode of the socket
            _by_short_name(path, listener.bind)
            listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def _by_short_name(path: Path, call: Callable[[str], object]) -> None:
    # An address holds 107 bytes, a path more.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
