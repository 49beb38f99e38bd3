"""How many objects are on the line at once: more while it goes well, fewer when it does not.

Owns the number of streams (additive increase, multiplicative decrease) and the estimate of what
one stream carries. Never sends anything. What counts as trouble: a server that asks for less,
time-outs, and answers that take several times as long as the quickest did. A connection that was
cut says nothing about what the line carries and costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from appliance.vault.traffic import Outcome, Request

STREAMS_MAX = 8
_START = 2.0
_HALVING_REST = 4
"""Requests after a decrease whose outcome still tells of the time before it."""
_WAIT_INFLATION = 8.0
_WAIT_FLOOR_S = 0.25
_DATA_BYTES = 1 << 18
_SMOOTHING = 0.3
_Item = TypeVar("_Item")


class Streams:
    """Belongs to one event loop. Give `note` to the traffic's listeners."""

    def __init__(
        self, most: int = STREAMS_MAX, *, start: float = _START, is_reading: bool = False
    ) -> None:
        """`is_reading`: what counts is what comes, not what is sent."""
        self._most = most
        self._is_reading = is_reading
        self._limit = min(start, most)
        self._busy = 0
        self._rest = 0
        self._quickest_s: float | None = None
        self._rate: float | None = None
        self._line_rate: float | None = None
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """How many streams may be open now."""
        return max(1, int(self._limit))

    @property
    def bytes_per_s(self) -> float | None:
        """What one stream carries lately; None while nobody knows."""
        return self._rate

    @property
    def line_bytes_per_s(self) -> float | None:
        """What all streams together carry lately; None while nobody knows."""
        return self._line_rate

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """One stream, as soon as one more may be open."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._busy < self.limit)
            self._busy += 1
        try:
            yield
        finally:
            async with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def note(self, request: Request) -> None:
        """Learn from a request that ended."""
        if self._rest:
            self._rest -= 1
        if request.outcome in (Outcome.SLOW_DOWN, Outcome.TIMEOUT):
            self._decrease()
            return
        moved_bytes = request.received_bytes if self._is_reading else request.sent_bytes
        if request.outcome is not Outcome.DONE or moved_bytes < _DATA_BYTES:
            return
        if request.seconds > 0:
            rate = moved_bytes / request.seconds
            self._rate = rate if self._rate is None else _mix(self._rate, rate)
            together = rate * max(1, self._busy)
            self._line_rate = (
                together if self._line_rate is None else _mix(self._line_rate, together)
            )
        self._quickest_s = min(self._quickest_s or request.wait_s, request.wait_s)
        if request.wait_s > max(_WAIT_FLOOR_S, self._quickest_s) * _WAIT_INFLATION:
            self._decrease()
        elif self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def _decrease(self) -> None:
        if not self._rest:  # one bad moment hits all streams at once: it counts once
            self._limit = max(1.0, self._limit / 2)
            self._rest = _HALVING_REST


def _mix(old: float, new: float) -> float:
    return old + _SMOOTHING * (new - old)


async def for_each(
    items: Iterable[_Item], work: Callable[[_Item], Awaitable[None]], width: int = STREAMS_MAX
) -> None:
    """Do `work` for all items, so many at once. The first failure ends the others and is raised."""
    waiting = iter(items)

    async def serve() -> None:
        for item in waiting:
            await work(item)

    tasks = [asyncio.create_task(serve()) for _ in range(width)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
