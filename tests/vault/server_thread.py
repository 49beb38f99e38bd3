"""A server of a test, in a thread with a loop of its own, as a context manager."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ServerThread(ABC):
    """Serves from `with` to its end. What derives from it says how, in `_serve`."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    @abstractmethod
    async def _serve(self, ready: threading.Event, ending: asyncio.Event) -> None:
        """Set `ready` when it listens; clean up when `ending` is set."""

    def call(self, work: object, *arguments: object) -> None:
        """Let the server's loop call `work`."""
        assert self._loop
        assert callable(work)
        self._loop.call_soon_threadsafe(work, *arguments)

    async def _main(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        await self._serve(self._ready, self._ending)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60), "the server does not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._ending
        self.call(self._ending.set)
        self._thread.join(60)
