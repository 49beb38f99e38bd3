"""STATE/run/sock: how the command on the box talks to the daemon.

Owns the socket and its protocol: one JSON object a line, a request and its answers, of which the
last holds `ok` or `error`. Only root and the owner of the state get in: the kernel says who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError, UsageError
from appliance.jobs.desk import JobDesk
from appliance.sources.wire import bind_unix

LINE_MAX_BYTES = 1 << 20
_IDLE_S = 60.0
_PEERS_MAX = 64
Json = dict[str, Any]


class Control:
    """The open socket."""

    def __init__(
        self, state: Path, desk: JobDesk, unlock: Callable[[str], Awaitable[None]]
    ) -> None:
        """`unlock` opens the box with a passphrase, or raises AccessError."""
        self._path = state / "run" / "sock"
        self._owner = state.stat().st_uid
        self._desk = desk
        self._unlock = unlock
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer. A socket that a killed daemon left is replaced: we hold its lock."""
        make_directory(self._path.parent)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._meet, sock=bind_unix(self._path), limit=LINE_MAX_BYTES
        )

    async def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        for peer in self._peers:
            peer.cancel()
        if self._peers:
            await asyncio.wait(self._peers, timeout=1.0)
        self._path.unlink(missing_ok=True)

    # ---- one peer ----

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        try:
            user = identify_peer(writer.get_extra_info("socket"))
            if user not in (0, self._owner) or len(self._peers) > _PEERS_MAX:
                why = "only root and the owner of the state may ask the daemon"
                await _send(writer, _refusal("AccessError", why))
                return
            await self._talk(reader, writer, f"uid {user}")
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the peer went away, said nothing, or we are stopping
        finally:
            self._peers.discard(task)
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    line = await reader.readline()
            except ValueError:  # longer than the limit
                await _send(writer, _refusal("UsageError", "a request is one short line"))
                return
            if not line.endswith(b"\n"):
                return
            async with contextlib.aclosing(self._answer(line, who)) as answers:
                async for answer in answers:
                    await _send(writer, answer)

    async def _answer(self, line: bytes, who: str) -> AsyncGenerator[Json, None]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise UsageError("a request is an object")
            if request.get("do") == "follow":
                job_id, after = _integer(request, "id"), _integer(request, "after", 0)
                async with contextlib.aclosing(self._desk.follow(job_id, after)) as steps:
                    async for step in steps:
                        yield step
                yield {"ok": None}
            else:
                yield {"ok": await self._do(request, who)}
        except HoldfastError as error:
            yield _refusal(type(error).__name__, str(error))
        except (ValueError, RecursionError) as error:
            yield _refusal("UsageError", f"a request is an object in JSON: {error}")

    async def _do(self, request: Json, who: str) -> object:
        requests: dict[str, Callable[[Json, str], Awaitable[object]]] = {
            "hello": self._hello,
            "submit": self._submit,
            "list": self._list,
            "get": lambda request, _: self._desk.get(_integer(request, "id")),
            "log": self._log,
            "cancel": lambda request, _: self._desk.cancel(_integer(request, "id")),
            "retry": lambda request, who: self._desk.retry(_integer(request, "id"), asked_by=who),
            "unlock": lambda request, _: self._unlock(_text(request, "passphrase")),
        }
        found = requests.get(_text(request, "do"))
        if found is None:
            raise UsageError("the daemon knows no such request: is it of another version?")
        return await found(request, who)

    async def _hello(self, _: Json, who: str) -> Json:
        return {"version": __version__, "pid": os.getpid(), "you": who}

    async def _submit(self, request: Json, who: str) -> Json:
        return await self._desk.submit(
            _text(request, "verb"),
            _object(request, "arguments"),
            asked_by=who,
            priority=_integer(request, "priority", 50),
            directory=_text(request, "directory"),
        )

    async def _list(self, request: Json, _: str) -> Json:
        only = {
            name: _text(request, name)
            for name in ("state", "machine", "verb")
            if request.get(name) is not None
        }
        after = None if request.get("after") is None else _integer(request, "after")
        return await self._desk.list(after, _integer(request, "limit", 100), **only)

    async def _log(self, request: Json, _: str) -> Json:
        after, limit = _integer(request, "after", 0), _integer(request, "limit", 1000)
        return await self._desk.log(_integer(request, "id"), after, limit)


def identify_peer(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel knows it."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[1])


async def _send(writer: asyncio.StreamWriter, answer: Json) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    async with asyncio.timeout(_IDLE_S):
        await writer.drain()


def _refusal(kind: str, text: str) -> Json:
    return {"error": {"kind": kind, "text": text}}


def _text(request: Json, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise UsageError(f"{name}: must be text")
    return value


def _integer(request: Json, name: str, default: int | None = None) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 63:
        raise UsageError(f"{name}: must be an integer")
    return value


def _object(request: Json, name: str) -> Json:
    value = request.get(name)
    if not isinstance(value, dict):
        raise UsageError(f"{name}: must be an object")
    return value
