"""The wire between the guests of a drill: a switch that learns who is where.

A hub would do, were it not for QEMU's user-mode network, which takes every TCP connection it sees
for one of its own and refuses it: it must not see what guests say to each other.

Owns the sockets `hub*.sock` in the folders of VMs, and a thread. Frames are passed on as they are,
or lost, as on any wire; nothing leaves these sockets.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path

_FRAME_MAX_BYTES = 128 << 10  # with room for what segmentation offload may hand over
_MAC_BYTES = 6
_MACS_MAX = 4096
_TURN_S = 0.2


class Switch:
    """Ports are added while it runs. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._remotes: dict[socket.socket, str] = {}
        self._deaf: set[socket.socket] = set()
        self._descriptors: list[int] = []
        self._places: dict[bytes, socket.socket] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add_port(
        self, folder: Path, local: str, remote: str, *, hears_strangers: bool = True
    ) -> None:
        """Take frames at the socket `local` in `folder`, and send them to `remote` there.

        Without `hears_strangers` it gets no frame for somebody whose place is not known yet.
        """
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        # A socket's address holds 107 bytes and a folder's path may be longer.
        place = f"/proc/self/fd/{descriptor}"
        port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        port.setblocking(False)
        (folder / local).unlink(missing_ok=True)
        port.bind(f"{place}/{local}")
        with self._lock:
            self._descriptors.append(descriptor)
            self._remotes[port] = f"{place}/{remote}"
            if not hears_strangers:
                self._deaf.add(port)
            self._selector.register(port, selectors.EVENT_READ)

    def close(self) -> None:
        """Stop; what is still under way is lost."""
        self._end.set()
        self._thread.join()
        for port in self._remotes:
            port.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._selector.close()

    def _run(self) -> None:
        while not self._end.is_set():
            for key, _ in self._selector.select(_TURN_S):
                port = key.fileobj
                if isinstance(port, socket.socket):
                    with suppress(OSError):
                        self._pass_on(port, port.recv(_FRAME_MAX_BYTES))

    def _pass_on(self, port: socket.socket, frame: bytes) -> None:
        target, source = frame[:_MAC_BYTES], frame[_MAC_BYTES : 2 * _MAC_BYTES]
        if len(source) < _MAC_BYTES:
            return
        if source in self._places or len(self._places) < _MACS_MAX:
            self._places[source] = port
        with self._lock:
            is_for_all = bool(target[0] & 1)
            known = None if is_for_all else self._places.get(target)
            others = [known] if known is not None else list(self._remotes)
            for other in others:
                if other in self._deaf and not (is_for_all or known):
                    continue
                if other is not port:
                    with suppress(OSError):  # a full or an absent guest loses frames
                        other.sendto(frame, self._remotes[other])
