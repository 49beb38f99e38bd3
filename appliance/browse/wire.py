"""What the confined reader and its owner say to each other over one socket.

One frame is a byte that says what it is, a length, and so many bytes. The owner asks one REQUEST
at a time; until the ANSWER (or FAILURE) the reader asks back with READ, and the owner gives BLOCKS
or UNREADABLE. CONTENT frames, pieces of a file, come before their ANSWER.
"""

from __future__ import annotations

import json
import socket
import struct
from enum import IntEnum
from typing import Any

from appliance.base.errors import IntegrityError

_HEADER = struct.Struct(">BI")
_READ = struct.Struct(">HQI")
FRAME_MAX_BYTES = 16 << 20
READ_MAX_BYTES = 1 << 20


class Frame(IntEnum):
    """What a frame is."""

    REQUEST = 1
    BLOCKS = 2
    UNREADABLE = 3
    ANSWER = 4
    FAILURE = 5
    READ = 6
    CONTENT = 7


def pack_read(disk: int, offset: int, length: int) -> bytes:
    """The bytes of a READ frame."""
    return _READ.pack(disk, offset, length)


def parse_read(data: bytes) -> tuple[int, int, int]:
    """Disk, offset and length. Raises IntegrityError if it is no such frame."""
    if len(data) != _READ.size:
        raise IntegrityError("the reader asked for something that is no range")
    disk, offset, length = _READ.unpack(data)
    return disk, offset, length


class Line:
    """One end of the socket."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, kind: Frame, data: bytes) -> None:
        """Send one frame. Raises OSError when the other end is gone."""
        self._socket.sendall(_HEADER.pack(kind, len(data)))
        if data:
            self._socket.sendall(data)

    def send_object(self, kind: Frame, value: dict[str, Any]) -> None:
        """Send a frame of JSON."""
        self.send(kind, json.dumps(value, separators=(",", ":")).encode())

    def receive(self) -> tuple[Frame, bytes] | None:
        """The next frame, or None when the other end is gone.

        Raises IntegrityError for what is no frame, TimeoutError after the socket's own timeout.
        """
        header = self._exactly(_HEADER.size)
        if header is None:
            return None
        kind, length = _HEADER.unpack(header)
        if length > FRAME_MAX_BYTES:
            raise IntegrityError("the reader sent too much at once")
        data = self._exactly(length)
        if data is None:
            return None
        try:
            return Frame(kind), data
        except ValueError as error:
            raise IntegrityError("the reader sent a frame of no known kind") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _exactly(self, length: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < length:
            try:
                part = self._socket.recv(min(length - len(parts), 1 << 20))
            except ConnectionError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


def parse_object(data: bytes) -> dict[str, Any]:
    """The object in a frame of JSON. Raises IntegrityError if there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("the reader answered with something that is no JSON") from error
    if not isinstance(value, dict):
        raise IntegrityError("the reader answered with something that is no object")
    return value
