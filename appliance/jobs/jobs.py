"""All jobs of a box: asked for, queued, run by workers, ended, asked about. One event loop.

Owns the life of a job. What is asked of the table or of a folder is done in threads, so that a
slow disk never holds up the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from appliance.base.clock import Clock
from appliance.base.errors import BusyError, HoldfastError, NotFoundError, UsageError
from appliance.catalog.job_table import LOG_LINES_MAX, Ending, Job, JobProgress, JobTable
from appliance.formats.names import format_time
from appliance.jobs.endings import RESUMED_MAX, judge, judge_interrupted
from appliance.jobs.events import Events
from appliance.jobs.queue import QUEUE_MAX, Ask, Limits, Queue
from appliance.jobs.secrets import SecretFiles
from appliance.jobs.verb import Verb, Verbs
from appliance.jobs.worker import Worker
from appliance.jobs.workroom import LogLine, Workroom

CANCEL_GRACE_S = 30.0
"""How long a cancelled worker may take to leave everything in order; then it is killed."""
PRIORITY = 50
_RETRY_S = 5.0
_Result = TypeVar("_Result")


@dataclass
class _Run:
    """A job that runs."""

    job: Job
    task: asyncio.Task[None] | None = None
    worker: Worker | None = None
    is_stopping: bool = False


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first; `next` is the id to go on after, or None."""

    items: list[Job]
    next: int | None


class Jobs:
    """The jobs of one state directory."""

    def __init__(
        self,
        table: JobTable,
        verbs: Verbs,
        *,
        state: Path,
        command: Sequence[str],
        clock: Clock,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """`command` is the argument vector before the words of a verb."""
        self._table = table
        self.verbs = verbs
        self._rooms = state / "run" / "jobs"
        self._secrets = SecretFiles(state / "run" / "secrets")
        self._command = list(command)
        self._clock = clock
        self._queue = Queue(limits)
        self._queued: dict[int, Job] = {}
        self._runs: dict[int, _Run] = {}
        self._events = Events()
        self._wake = asyncio.Event()
        self._is_open = False
        self._scheduler: asyncio.Task[None] | None = None
        # One writes, one reads: neither waits for the other, nor for threads of somebody else.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="jobs-write")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="jobs-read")

    # ---- life ----

    async def start(self) -> None:
        """Find out what became of the jobs of an earlier daemon, and begin."""
        self._is_open = True
        unfinished = await self._read(self._table.unfinished)
        kept = {
            str(path)
            for job in unfinished
            if job.verb in self.verbs
            for path in _values(self.verbs.get(job.verb), job.arguments)
        }
        await asyncio.to_thread(self._secrets.drop_all_but, kept)
        for job in unfinished:
            await self._recall(job)
        await asyncio.to_thread(self._sweep)
        self._scheduler = asyncio.create_task(self._schedule())
        self._wake.set()

    async def stop(self, grace_s: float = 6.0) -> None:
        """End all workers; what was not done is interrupted, and goes on at the next start."""
        self._is_open = False
        if self._scheduler is not None:
            self._scheduler.cancel()
        for run in self._runs.values():
            run.is_stopping = True
            if run.worker is not None:
                run.worker.cancel()
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for run in self._runs.values():
                if run.worker is not None:
                    run.worker.kill()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self._events.close()
        for pool in (self._writing, self._reading):
            pool.shutdown(wait=False)

    def set_limits(self, limits: Limits) -> None:
        """From now on so many run at once; what runs goes on."""
        self._queue.limits = limits
        self._wake.set()

    # ---- asking ----

    async def submit(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        *,
        machine: str | None = None,
        priority: int = PRIORITY,
        asked_by: str,
        key: str | None = None,
        secrets: Mapping[str, str] | None = None,
        directory: str | None = None,
    ) -> Job:
        """A new job, durable on return; the one that is there if `key` was used for it before.

        Paths among the arguments begin at `directory`, if they do not begin at the root.
        `secrets` are contents of the verb's secret files: each lies in a private file until the
        job has ended, and is kept nowhere else. Raises UsageError naming a wrong argument,
        NotFoundError for an unknown verb, BusyError when too many wait.
        """
        found = self.verbs.get(verb)
        if not found.is_job:
            raise UsageError(f"'{verb}' is no job: what it gives is for whoever asks, and not kept")
        self._check_open()
        known = {parameter.name: parameter for parameter in found.secrets()}
        if wrong := set(secrets or {}) - known.keys():
            raise UsageError(f"{min(wrong)}: '{verb}' has no such secret")
        given = {name: value for name, value in arguments.items() if value is not None}
        paths = await asyncio.to_thread(self._secrets.keep, secrets or {}, key)
        for name, path in paths.items():
            given[name] = [path] if known[name].is_list else path
        try:
            found.argv(given)
            new = Job(
                id=0,
                verb=verb,
                arguments=given,
                machine=machine or found.machine(given),
                state="queued",
                priority=priority,
                asked_by=asked_by,
                asked_at=self._now(),
                directory=directory,
            )
            job = await self._write(self._table.add, new, key)
        except BaseException:
            await asyncio.to_thread(self._drop_secrets, found, given)
            raise
        if job.has_ended:
            await asyncio.to_thread(self._drop_secrets, found, given)
        return self._enter(job)

    def _drop_secrets(self, verb: Verb, arguments: Mapping[str, Any]) -> None:
        for path in _values(verb, arguments):
            self._secrets.drop(path)

    def _check_open(self) -> None:
        if not self._is_open:
            raise BusyError(
                "the daemon is stopping: ask again when it has started", code="stopping"
            )
        if len(self._queue) >= QUEUE_MAX:
            raise BusyError(
                f"{QUEUE_MAX} jobs wait already: 'holdfast jobs list' shows them", code="queue-full"
            )

    def _enter(self, job: Job) -> Job:
        if job.state == "queued" and job.id not in self._runs:
            self._queued[job.id] = job
            self._queue.add(self._ask(job))
            self._wake.set()
        self._events.publish(job)
        return job

    async def get(self, job_id: int) -> Job:
        """One job with its result. Raises NotFoundError."""
        job = await self._read(self._table.find, job_id)
        if job is None:
            raise NotFoundError(
                f"job {job_id}: there is none: 'holdfast jobs list' lists them", code="no-job"
            )
        return self._live(job)

    async def list(
        self,
        after: int | None = None,
        limit: int = 100,
        *,
        state: str | None = None,
        machine: str | None = None,
        verb: str | None = None,
    ) -> JobPage:
        """Jobs without their results, newest first, older than the job `after`."""
        jobs = await self._read(
            lambda: self._table.page(
                after=after, limit=limit, state=state, machine=machine, verb=verb
            )
        )
        is_more = len(jobs) >= max(1, limit)
        return JobPage([self._live(job) for job in jobs], jobs[-1].id if is_more and jobs else None)

    async def log(self, job_id: int, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """What a job said, behind the line `after`. Raises NotFoundError."""
        job = await self.get(job_id)
        if not job.has_ended:
            return await asyncio.to_thread(self._room(job_id).read_log, after, limit)
        lines = await self._read(self._table.log, job_id, after, limit)
        return [LogLine(place, line) for place, line in lines]

    async def counts(self) -> Mapping[str, int]:
        """How many are in each state that is not over."""
        return await self._read(self._table.counts)

    def blockers(self, job_id: int) -> Sequence[int]:
        """The jobs that a queued one waits for."""
        return self._queue.blockers(job_id)

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Job]]:
        """Within the block: jobs as they change, each as it is by then; a slow reader misses steps.

        What is published once the block was entered is not missed.
        """
        async with self._events.subscribe() as changes:
            yield changes

    # ---- stopping, and once more ----

    async def cancel(self, job_id: int) -> Job:
        """Ask a job to stop. Raises NotFoundError, UsageError if it is over."""
        job = await self.get(job_id)
        if job.has_ended:
            raise UsageError(f"job {job_id} is over: {job.state}", code="job-over")
        job = await self._write(self._table.ask_to_stop, job_id)
        run = self._runs.get(job_id)
        if run is None:
            if self._queued.pop(job_id, None) is None:
                return await self.get(job_id)  # it has ended meanwhile
            self._queue.remove(job_id)
            ending = Ending("cancelled", self._now(), None, None, job.progress)
            return await self._close(job, ending)
        run.job = replace(run.job, is_cancelled=True)
        if run.worker is not None:
            self._stop(job_id, run.worker)
        return self._live(job)

    def _stop(self, job_id: int, worker: Worker) -> None:
        """Ask first; a program that is just starting may not hear it."""
        worker.cancel()
        asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._kill, job_id)

    def _kill(self, job_id: int) -> None:
        run = self._runs.get(job_id)
        if run is not None and run.worker is not None:
            run.worker.kill()

    async def retry(self, job_id: int, *, asked_by: str) -> Job:
        """Do again what a job did. Raises UsageError while it is not over."""
        job = await self.get(job_id)
        if not job.has_ended:
            raise UsageError(f"job {job_id} is not over yet", code="job-runs")
        if job.retried_as is not None:
            return await self.get(job.retried_as)
        verb = self.verbs.get(job.verb)
        if any(map(self._secrets.holds, _values(verb, job.arguments))):
            raise UsageError(
                f"job {job_id} had a secret, which was not kept: ask anew", code="job-had-secret"
            )
        self._check_open()
        again = replace(self._again(job), asked_by=asked_by, attempt=1)
        return self._enter(await self._write(self._table.add, again))

    def _again(self, job: Job) -> Job:
        return replace(
            job, asked_at=self._now(), attempt=job.attempt + 1, retry_of=job.id, is_cancelled=False
        )

    # ---- running ----

    async def _schedule(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while (ask := self._queue.take()) is not None:
                run = self._runs[ask.id] = _Run(self._queued.pop(ask.id))
                run.task = asyncio.create_task(self._work(run))

    async def _work(self, run: _Run) -> None:
        verb = self.verbs.get(run.job.verb)
        room = self._room(run.job.id)
        began = await self._insist(self._table.begin, run.job.id, self._now())
        run.job = replace(began, is_cancelled=run.job.is_cancelled)
        self._events.publish(run.job)
        try:
            argv = [*self._command, *verb.argv(run.job.arguments)]
            run.worker = await asyncio.to_thread(
                Worker.start,
                room,
                argv,
                directory=run.job.directory,
                is_nice=verb.is_heavy,
            )
        except (HoldfastError, OSError) as error:
            ending = Ending("failed", self._now(), None, str(error), run.job.progress)
            await self._finish(run, ending)
            return
        if run.job.is_cancelled or run.is_stopping:
            self._stop(run.job.id, run.worker)
        await self._attend(run, run.worker)

    async def _attend(self, run: _Run, worker: Worker) -> None:
        def listen(progress: JobProgress) -> None:
            run.job = replace(run.job, progress=progress)
            self._events.publish(run.job)

        code = await worker.attend(listen)
        outcome = await asyncio.to_thread(worker.room.read_outcome)
        lines = await asyncio.to_thread(_all_lines, worker.room)
        ending = judge(
            run.job,
            self.verbs.get(run.job.verb),
            outcome,
            code=code,
            lines=lines,
            at=self._now(),
            is_stopping=run.is_stopping,
        )
        await self._finish(run, ending)

    async def _finish(self, run: _Run, ending: Ending) -> None:
        job = await self._close(run.job, ending)
        if job.is_resumable and self._is_open:
            await self._resume(job)

    async def _close(self, job: Job, ending: Ending) -> Job:
        """Keep how a job ended, take away what it ran in, and let the next one begin."""
        ended = await self._insist(self._table.end, job.id, ending)
        await asyncio.to_thread(self._room(job.id).remove)
        if not ended.is_resumable and ended.verb in self.verbs:
            verb = self.verbs.get(ended.verb)
            await asyncio.to_thread(self._drop_secrets, verb, ended.arguments)
        self._runs.pop(job.id, None)
        self._queue.remove(job.id)
        self._wake.set()
        self._events.publish(ended)
        return ended

    # ---- after a restart ----

    async def _recall(self, job: Job) -> None:
        """A job that is not over, as the table knows it."""
        if job.verb not in self.verbs:
            error = f"this version has no verb '{job.verb}'"
            await self._close(job, Ending("failed", self._now(), None, error, job.progress))
        elif job.state == "queued":
            self._enter(job)
        elif job.state == "running":
            await self._take_over(job)
        else:
            await self._resume(job)

    async def _take_over(self, job: Job) -> None:
        """A job that an earlier daemon began."""
        room = self._room(job.id)
        worker = await Worker.adopt(room)
        run = _Run(job, worker=worker)
        if worker is not None:
            self._queue.adopt(self._ask(job))
            self._runs[job.id] = run
            if job.is_cancelled:
                self._stop(job.id, worker)
            run.task = asyncio.create_task(self._attend(run, worker))
            return
        outcome = await asyncio.to_thread(room.read_outcome)
        if outcome is None and room.worker_pid() is None and not job.is_cancelled:
            # No worker came so far as to do anything.
            self._enter(await self._write(self._table.put_back, job.id))
            return
        lines = await asyncio.to_thread(_all_lines, room)
        verb = self.verbs.get(job.verb)
        if outcome is None:
            ending = judge_interrupted(job, verb, lines=lines, at=self._now())
        else:
            ending = judge(job, verb, outcome, code=None, lines=lines, at=self._now())
        ended = await self._close(job, ending)
        if ended.is_resumable:
            await self._resume(ended)

    async def _resume(self, job: Job) -> None:
        """Begin an interrupted job again, as a new one that takes its place in the queue."""
        assert job.attempt <= RESUMED_MAX
        self._enter(await self._insist(self._table.add, self._again(job), None))
        self._events.publish(await self.get(job.id))

    def _sweep(self) -> None:
        """Remove folders of jobs that are over."""
        if not self._rooms.is_dir():
            return
        kept = {str(job_id) for job_id in self._runs}
        for path in self._rooms.iterdir():
            if path.name not in kept and not Workroom(path).is_taken():
                Workroom(path).remove()

    async def forget_old(self, keep_days: int, keep: int) -> int:
        """Drop records of what ended long ago, and of all but the `keep` newest; how many."""
        before = self._clock.now().replace(microsecond=0) - timedelta(days=keep_days)
        return await self._write(self._table.forget, format_time(before), keep)

    # ---- ----

    def _room(self, job_id: int) -> Workroom:
        return Workroom(self._rooms / str(job_id))

    def _live(self, job: Job) -> Job:
        run = self._runs.get(job.id)
        return job if run is None or job.has_ended else replace(job, progress=run.job.progress)

    def _ask(self, job: Job) -> Ask:
        verb = self.verbs.get(job.verb)
        claims = {verb.exclusive_group(job.arguments)}
        if verb.is_repeatable and job.machine:
            claims.add(f"{verb.name} of {job.machine}")
        kept = frozenset(claims - {""})
        return Ask(job.id, job.priority, verb.is_heavy, kept, is_endless=verb.is_endless)

    def _now(self) -> str:
        return format_time(self._clock.now().replace(microsecond=0))

    async def _read(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._reading, work, *arguments)

    async def _write(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._writing, work, *arguments)

    async def _insist(self, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """Write what has happened, which a full disk does not undo: again until it is kept."""
        while True:
            try:
                return await self._write(work, *arguments)
            except HoldfastError:
                await asyncio.sleep(_RETRY_S)


def _values(verb: Verb, arguments: Mapping[str, Any]) -> list[object]:
    """The paths of the secret files that a job was given."""
    found: list[object] = []
    for parameter in verb.secrets():
        value = arguments.get(parameter.name)
        found += value if isinstance(value, list) else [value]
    return found


def _all_lines(room: Workroom) -> list[LogLine]:
    """All that a worker said; of very much only the end."""
    lines: deque[LogLine] = deque(maxlen=LOG_LINES_MAX)
    after = 0
    while page := room.read_log(after):
        lines.extend(page)
        after = page[-1].place
    return list(lines)
