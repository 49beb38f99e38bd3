"""Asks the QEMU guest agent, through the channel that `network` plugs in.

Owns the agent's protocol: JSON lines, and a marker byte that tells where an answer begins (QEMU's
"Guest Agent Protocol Reference", guest-sync-delimited). Answers come from the guest: never trusted.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.drills.network import AGENT_SOCKET
from appliance.formats.fields import Fields

_DELIMITER = b"\xff"
_ANSWER_MAX_BYTES = 256 << 10


def ask_agent(folder: Path, timeout_s: float) -> str:
    """What the agent says it is. Raises HoldfastError or OSError if it does not answer in time."""
    # A socket's address holds 107 bytes and a folder's path may be longer.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(timeout_s)
            channel.connect(f"/proc/self/fd/{descriptor}/{AGENT_SOCKET}")
            _synchronize(channel)
            version = _ask(channel, "guest-info").text("version")
    except TimeoutError as error:
        raise HoldfastError("the guest agent does not answer") from error
    finally:
        os.close(descriptor)
    return f"guest agent {version}"


def _synchronize(channel: socket.socket) -> None:
    """Skip what the channel still holds of conversations before."""
    number = secrets.randbelow(1 << 31)
    channel.sendall(_DELIMITER)
    _send(channel, "guest-sync-delimited", id=number)
    _receive_until(channel, _DELIMITER)
    answer = _parse(_receive_until(channel, b"\n"))
    if answer.get("return") != number:
        raise HoldfastError("the guest agent answers something else")


def _ask(channel: socket.socket, command: str) -> Fields:
    _send(channel, command)
    return _parse(_receive_until(channel, b"\n")).fields("return")


def _send(channel: socket.socket, command: str, **arguments: Any) -> None:
    request = {"execute": command, "arguments": arguments}
    channel.sendall(json.dumps(request).encode() + b"\n")


def _receive_until(channel: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        # One byte at a time: what follows belongs to the next answer.
        more = channel.recv(1)
        if not more or len(received) > _ANSWER_MAX_BYTES:
            raise HoldfastError("the guest agent hung up, or does not end its answer")
        received += more
    return received


def _parse(line: bytes) -> Fields:
    return Fields.parse(line, "guest agent", _ANSWER_MAX_BYTES)
