"""A second request when the first is slow, for reads only: two answers are as good as one.

Owns what "slow" means here, learned from the requests before, and a budget, so that a server in
trouble does not get twice the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from appliance.base.clock import Clock

_FIRST_GUESS_S = 5.0
_LEAST_S = 0.5
_FACTOR = 4.0  # a request that takes so many times the usual is stuck, not slow
_MEMORY = 0.2  # weight of the newest request
_BUDGET = 0.05  # hedges per request
_Result = TypeVar("_Result")


class Hedge:
    """Knows how long reads of each size usually take here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._usual_s: dict[int, float] = {}
        self._requests = 0
        self._hedges = 0

    def after_s(self, size_bytes: int) -> float:
        """When a read of so many bytes deserves a second one."""
        usual_s = self._usual_s.get(size_bytes.bit_length())
        return _FIRST_GUESS_S if usual_s is None else max(_LEAST_S, _FACTOR * usual_s)

    async def run(self, ask: Callable[[], Awaitable[_Result]], size_bytes: int) -> _Result:
        """The first answer of one request, or of two; the error of the last if all fail."""
        self._requests += 1
        began_s = self._clock.monotonic_s()
        tasks = {asyncio.ensure_future(ask())}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.after_s(size_bytes))
            if not done and self._hedges <= _BUDGET * self._requests:
                self._hedges += 1
                tasks.add(asyncio.ensure_future(ask()))
            while True:
                done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                won = [task for task in done if task.exception() is None]
                if won or not waiting:
                    break
                tasks = waiting
            result = (won or list(done))[0].result()
            self._learn(size_bytes, self._clock.monotonic_s() - began_s)
            return result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _learn(self, size_bytes: int, seconds: float) -> None:
        size = size_bytes.bit_length()
        usual_s = self._usual_s.get(size, seconds)
        self._usual_s[size] = usual_s + _MEMORY * (seconds - usual_s)
