"""What happened lately, and who wants to hear of it.

Owns the numbers of events and the last of them, so that a page whose line broke goes on where it
was. An event says what to ask for again; only a job comes along whole.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from appliance.base.errors import BusyError

if TYPE_CHECKING:
    from appliance.api.route import Ask

KEPT = 1000
LISTENERS_MAX = 200
LISTENERS_EACH_MAX = 20
_BACKLOG = 500
HEARTBEAT_S = 5.0


@dataclass(frozen=True)
class Happening:
    """One event as it is sent."""

    number: int
    kind: str
    data: bytes


class EventLog:
    """The events since the daemon began. For the event loop only."""

    def __init__(self, kept: int = KEPT) -> None:
        self._run = secrets.token_hex(4)  # numbers of another run mean nothing
        self._kept: deque[Happening] = deque(maxlen=kept)
        self._next = 1
        self._listeners: dict[asyncio.Queue[Happening], str] = {}

    def publish(self, kind: str, path: str, job: Mapping[str, Any] | None = None) -> None:
        """Tell everybody. Who cannot keep up is told to ask for everything again."""
        value: dict[str, Any] = {"kind": kind, "path": path, "job": job}
        self._send(Happening(self._next, kind, msgspec.json.encode(value)))
        self._next += 1

    def _send(self, happening: Happening) -> None:
        self._kept.append(happening)
        for queue in self._listeners:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(self._reset())
            else:
                queue.put_nowait(happening)

    def _reset(self) -> Happening:
        """It stands for all before it: whoever goes on from there hears of the very next."""
        value = {"kind": "reset", "path": "/api/v1/box", "job": None}
        return Happening(self._next - 1, "reset", msgspec.json.encode(value))

    @contextmanager
    def listen(self, last: str | None, who: str = "") -> Iterator[asyncio.Queue[Happening]]:
        """A queue of what happens from now on, and before that what happened since `last`.

        Raises BusyError when too many listen, or `who` alone takes too many seats.
        """
        seats = list(self._listeners.values())
        if len(seats) >= LISTENERS_MAX or seats.count(who) >= LISTENERS_EACH_MAX:
            raise BusyError("too many pages listen: close some")
        queue: asyncio.Queue[Happening] = asyncio.Queue(_BACKLOG + KEPT)
        for happening in self._since(last):
            queue.put_nowait(happening)
        self._listeners[queue] = who
        try:
            yield queue
        finally:
            self._listeners.pop(queue, None)

    def _since(self, last: str | None) -> list[Happening]:
        if last is None:
            return []
        run, _, number = last.partition("-")
        oldest = self._kept[0].number if self._kept else self._next
        if run != self._run or not (number.isascii() and number.isdigit() and len(number) < 19):
            return [self._reset()]
        if not oldest - 1 <= int(number) < self._next:
            return [self._reset()]
        return [happening for happening in self._kept if happening.number > int(number)]

    def close(self) -> None:
        """Nothing comes any more: who waits looks whether the box is stopping."""
        self._send(self._reset())

    def encode(self, happening: Happening) -> bytes:
        """As it goes over the line."""
        head = f"id: {self._run}-{happening.number}\nevent: {happening.kind}\ndata: "
        return head.encode() + happening.data + b"\n\n"


async def stream_events(ask: Ask) -> web.StreamResponse:
    """Send events until the page goes away, or may not listen any more."""
    request, log = ask.request, ask.parts.events
    last, loop = request.headers.get("Last-Event-ID"), asyncio.get_running_loop()
    with log.listen(last, ask.caller.name) as queue:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        with suppress(ConnectionError):
            await response.write(b"retry: 2000\n\n")
            looked_s = loop.time()
            while not ask.parts.is_stopping():
                # However much happens: who may not listen any more is looked at as often.
                if loop.time() - looked_s >= HEARTBEAT_S:
                    looked_s = loop.time()
                    if not await ask.is_still_admitted():
                        break
                try:
                    happening = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                else:
                    await response.write(log.encode(happening))
    return response
