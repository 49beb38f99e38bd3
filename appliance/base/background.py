"""What runs beside everything else on an event loop, until it is ended.

Owns the life of such tasks. What they do, and what they do about failures, is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks that begin one by one and end together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, *works: Coroutine[Any, Any, None]) -> None:
        """Let each of `works` run from the next turn of the loop on."""
        self._tasks += map(asyncio.create_task, works)

    async def end(self) -> None:
        """Cancel what still runs; on return none does. What they raised is not raised here."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
