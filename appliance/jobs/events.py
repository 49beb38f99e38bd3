"""Changes of jobs on their way to whoever watches, never more than one of each job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from appliance.catalog.job_table import Job


class _Subscriber:
    """One who watches. What he has not taken is overwritten by what is newer."""

    def __init__(self) -> None:
        self.changes: dict[int, Job] = {}
        self.news = asyncio.Event()
        self.is_over = False

    async def listen(self) -> AsyncIterator[Job]:
        while True:
            await self.news.wait()
            self.news.clear()
            while self.changes:
                yield self.changes.pop(next(iter(self.changes)))
            if self.is_over:
                return


class Events:
    """All who watch."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()

    def publish(self, job: Job) -> None:
        """A job has changed."""
        for subscriber in self._subscribers:
            subscriber.changes[job.id] = job
            subscriber.news.set()

    @contextlib.asynccontextmanager
    async def subscribe(self) -> AsyncIterator[AsyncIterator[Job]]:
        """Within the block, what is published from its beginning on."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield subscriber.listen()
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """Nothing comes any more: those who watch are told so."""
        for subscriber in self._subscribers:
            subscriber.is_over = True
            subscriber.news.set()
