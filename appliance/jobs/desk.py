"""The jobs as JSON, for the command, which asks from another process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from appliance.catalog.job_table import Job
from appliance.jobs.jobs import Jobs

_LOOK_AT_LOG_S = 0.5
_LOG_PAGE = 500


class JobDesk:
    """Speaks for `Jobs`. Every job is given as `Job.to_json` does."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def submit(self, verb: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
        """As `Jobs.submit`."""
        return (await self._jobs.submit(verb, arguments, **more)).to_json()

    async def get(self, job_id: int) -> dict[str, Any]:
        """One job with its result. Raises NotFoundError."""
        return (await self._jobs.get(job_id)).to_json()

    async def list(self, after: int | None = None, limit: int = 100, **only: Any) -> dict[str, Any]:
        """A page of jobs, newest first: `items`, and `next` to go on after, or null."""
        page = await self._jobs.list(after, limit, **only)
        return {"items": [job.to_json() for job in page.items], "next": page.next}

    async def log(self, job_id: int, after: int = 0, limit: int = 1000) -> dict[str, Any]:
        """A page of what a job said, oldest first."""
        lines = await self._jobs.log(job_id, after, limit)
        return {
            "items": [line.to_json() for line in lines],
            "next": lines[-1].place if len(lines) >= limit else None,
        }

    async def cancel(self, job_id: int) -> dict[str, Any]:
        """Ask it to stop; one that has ended stays as it is."""
        job = await self._jobs.get(job_id)
        return (job if job.has_ended else await self._jobs.cancel(job.id)).to_json()

    async def retry(self, job_id: int, *, asked_by: str) -> dict[str, Any]:
        """Do again what a job did: the new job."""
        return (await self._jobs.retry(job_id, asked_by=asked_by)).to_json()

    async def follow(self, job_id: int, after: int = 0) -> AsyncGenerator[dict[str, Any], None]:
        """What happens to a job until it has ended: {"job"} or {"log"}, and at last {"end"}.

        Something comes at least every half second, so that silence means that nobody works here.
        """
        async with contextlib.aclosing(self._changes(job_id, _LOOK_AT_LOG_S)) as changes:
            async for job in changes:
                while lines := await self._jobs.log(job_id, after, _LOG_PAGE):
                    after = lines[-1].place
                    yield {"log": [line.to_json() for line in lines]}
                if not job.has_ended:
                    yield {"job": job.to_json(), "blockers": list(self._jobs.blockers(job_id))}
        ended = await self._jobs.get(job_id)
        yield {"end": ended.to_json(), "shown": ended.shown or ""}

    async def _changes(self, job_id: int, every_s: float) -> AsyncGenerator[Job, None]:
        """The job now, when it changes, and again after `every_s`; its end is the last."""
        async with self._jobs.events() as changes:
            job = await self._jobs.get(job_id)
            yield job
            while not job.has_ended:
                step = asyncio.ensure_future(anext(changes, None))
                try:
                    while not (await asyncio.wait([step], timeout=every_s))[0]:
                        yield job
                finally:
                    step.cancel()
                change = None if step.cancelled() else step.result()
                if change is None:
                    return
                if change.id == job_id:
                    job = change
                    yield job
