"""Sockets and bodies of the S3 backend: who may be connected to, and how bytes are fed in.

Owns the guard against names that lead inside, the congestion control of a socket, and the pacing
of what is sent. It knows nothing of S3.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from typing import Any

from aiohttp import Payload, ThreadedResolver
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult

from appliance.base import durable
from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError
from appliance.vault.address import is_forbidden, is_loopback
from appliance.vault.bucket import Body, FileRange, Throttle, measure

_CONGESTION = b"bbr"
_PIECE_BYTES = 128 << 10
_DEAD_MS = 60_000  # a peer that acknowledges nothing for so long is gone


class AddressRefusedError(OSError):
    """A name or an address that this vault must not lead to."""


class Guard:
    """Lets connections through to one endpoint only, and not to where it must not lead.

    A name is resolved once per connection, here, and what is connected to is what was checked.
    Redirects to elsewhere end here too, because every new socket comes from `make_socket`.
    """

    def __init__(self, host: str) -> None:
        self._host = host.lower()
        self._may_loop = is_loopback(host)
        self._seen: set[str] = set()
        if ":" in host or host.replace(".", "").isdigit():
            self._seen.add(host)

    def check(self, host: str) -> None:
        """Raise AddressRefusedError unless `host` is the endpoint or a bucket of it."""
        name = host.lower().rstrip(".")
        if name != self._host and not name.endswith(f".{self._host}"):
            raise AddressRefusedError(f"{host} is not the vault's endpoint")

    def admit(self, host: str, address: str) -> None:
        """Note that `host` was resolved to `address`. Raises AddressRefusedError."""
        looped = is_loopback(address)
        if is_forbidden(address) or looped != self._may_loop:
            raise AddressRefusedError(f"{host} leads to {address}, where no vault can be")
        self._seen.add(address)

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address of `getaddrinfo`, prepared for long fat lines."""
        family, kind, protocol, _, address = info
        if address[0] not in self._seen:
            raise AddressRefusedError(f"{address[0]} is not the vault's endpoint")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        # Without these it works too, only less well.
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_CONGESTION, _CONGESTION),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_MS),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ):
            with contextlib.suppress(OSError):
                made.setsockopt(level, option, value)
        return made


class GuardedResolver(AbstractResolver):
    """Resolves the endpoint's names, and nothing else."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver: ThreadedResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host` that may be connected to. Raises AddressRefusedError."""
        self._guard.check(host)
        if self._resolver is None:
            self._resolver = ThreadedResolver()
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._guard.admit(host, result["host"])
        return found

    async def close(self) -> None:
        """Nothing is held open."""


class Outgoing:
    """The body of one attempt, as a file: read once to sign it, once more to send it.

    Attributes:
        name: of the object, for messages.
        size_bytes: how many bytes there are to be.
        sha256: what they must have; None where the whole was checked before.
        sent_bytes: handed to the kernel so far. Where the connection broke and the HTTP library
            tried again by itself, both count.
        sent_s: when the last of them was handed to the kernel, None before that.
    """

    def __init__(
        self,
        name: str,
        body: Body,
        sha256: bytes | None,
        *,
        offset: int = 0,
        size_bytes: int | None = None,
    ) -> None:
        """A part of `body` may be given. Raises IntegrityError if its file is too short."""
        self.name = name
        self.size_bytes = measure(body) - offset if size_bytes is None else size_bytes
        self.sha256 = sha256
        self.sent_bytes = 0
        self.sent_s: float | None = None
        self._position = 0
        self._descriptor = -1
        self._memory = memoryview(b"")
        if isinstance(body, FileRange):
            self._start = body.offset + offset
            self._open(body)
        else:
            self._memory = memoryview(body)[offset : offset + self.size_bytes]

    def _open(self, body: FileRange) -> None:
        with durable.named_os_errors(body.path):
            self._descriptor = os.open(body.path, os.O_RDONLY | os.O_CLOEXEC)
        found_bytes = os.fstat(self._descriptor).st_size
        if found_bytes < self._start + self.size_bytes:
            self.close()
            raise IntegrityError(f"{self.name}: its file has only {found_bytes} bytes")

    def read(self, size_bytes: int = -1) -> bytes:
        """The next bytes."""
        left = self.size_bytes - self._position
        wanted = left if size_bytes < 0 else min(size_bytes, left)
        if self._descriptor >= 0:
            data = os.pread(self._descriptor, wanted, self._start + self._position)
        else:
            data = bytes(self._memory[self._position : self._position + wanted])
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def md5(self) -> bytes:
        """MD5 of all of it: what S3 calls an entity tag, and asks for beside a lock."""
        self.seek(0)
        digest = hashlib.md5(usedforsecurity=False)
        while piece := self.read(_PIECE_BYTES):
            digest.update(piece)
        self.seek(0)
        return digest.digest()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class PacedPayload(Payload):
    """Feeds an `Outgoing` to a connection as fast as the throttle and the line allow."""

    def __init__(
        self, body: Outgoing, throttle: Throttle | None, clock: Clock, idle_s: float
    ) -> None:
        super().__init__(body)
        self._body = body
        self._throttle = throttle
        self._clock = clock
        self._idle_s = idle_s
        self._size = body.size_bytes

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Bodies are not text."""
        raise TypeError(f"a body has no text ({encoding}, {errors})")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all of it. Raises TimeoutError when the line takes nothing for `idle_s`."""
        self._body.seek(0)
        while piece := self._body.read(_PIECE_BYTES):
            if self._throttle is not None:
                await self._throttle.spend(len(piece))
            async with asyncio.timeout(self._idle_s):
                await writer.write(piece)
            self._body.sent_bytes += len(piece)
        self._body.sent_s = self._clock.monotonic_s()
