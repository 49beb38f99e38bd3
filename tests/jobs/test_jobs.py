"""Jobs with real worker processes: asked for, run, cancelled, interrupted, told of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError, NotFoundError, UsageError
from appliance.catalog.job_table import Job, JobTable
from appliance.jobs import jobs as jobs_module
from appliance.jobs.jobs import Jobs
from appliance.jobs.queue import Limits
from tests.jobs.actor import COMMAND, VERBS

DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def opened(state: Path, *, heavy: int = 2) -> AsyncIterator[Jobs]:
    table = JobTable(state / "jobs.sqlite")
    jobs = Jobs(
        table, VERBS, state=state, command=COMMAND, clock=SystemClock(), limits=Limits(heavy)
    )
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        table.close()


async def wait_for(jobs: Jobs, job: Job, *states: str) -> Job:
    """The job once it is in one of these states (default: over)."""
    async with asyncio.timeout(DEADLINE_S), jobs.events() as changes:
        found = await jobs.get(job.id)
        if found.state in states or (not states and found.has_ended):
            return found
        async for change in changes:
            if change.id == job.id and (
                change.state in states or (not states and change.has_ended)
            ):
                return await jobs.get(job.id)
    raise AssertionError("the events ended")


async def wait_for_phase(jobs: Jobs, job: Job) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not (await jobs.get(job.id)).progress.phase:
            await asyncio.sleep(0.02)


async def act(jobs: Jobs, verb: str = "act", **arguments: Any) -> Job:
    return await jobs.submit(verb, arguments, asked_by="ann")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_job_runs_and_its_result_log_and_progress_are_kept(state: Path) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            job = await act(jobs, seconds=0.3, say="one\ntwo", machine="web1")
            assert (job.state, job.machine, job.asked_by) == ("queued", "web1", "ann")
            ended = await wait_for(jobs, job)
            assert (ended.state, ended.exit_code, ended.error) == ("done", 0, None)
            assert ended.result == {"acted": 0.3}
            assert (ended.progress.phase, ended.progress.total) == ("acting", 1000)
            assert ended.progress.done > 0
            assert ended.progress.bottleneck == {"source": 0, "cpu": 25, "disk": 75, "line": 0}
            first, second = [line.to_json() for line in await jobs.log(job.id)]
            assert [first["text"], second["text"]] == ["one", "two"]
            assert first["at"].endswith("Z")
            assert [line.to_json() for line in await jobs.log(job.id, after=first["id"])] == [
                second
            ]
            assert not list((state / "run/jobs").iterdir())

    run(test)


@pytest.mark.parametrize(
    ("arguments", "state_wanted", "code", "error"),
    [
        ({"code": 3}, "gaps", 3, None),
        ({"code": 4}, "failed", 4, ("failed", "it could not")),
        ({"die": True}, "failed", 137, ("killed", "its process was ended by signal SIGKILL")),
    ],
)
def test_how_a_worker_ended_is_how_its_job_ended(
    state: Path,
    arguments: dict[str, Any],
    state_wanted: str,
    code: int,
    error: tuple[str, str] | None,
) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            ended = await wait_for(jobs, await act(jobs, **arguments))
            assert (ended.state, ended.exit_code) == (state_wanted, code)
            assert (ended.error is None) == (error is None)
            if error is not None and ended.error is not None:
                assert ended.error_code == error[0]
                assert ended.error.startswith(error[1])

    run(test)


def test_a_program_that_cannot_be_started_is_a_failed_job(state: Path) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            jobs._command = ["/nowhere/holdfast"]
            ended = await wait_for(jobs, await act(jobs))
            assert ended.state == "failed"
            assert "/nowhere/holdfast" in str(ended.error)

    run(test)


def test_a_running_job_and_a_waiting_one_are_cancelled(state: Path) -> None:
    async def test() -> None:
        async with opened(state, heavy=1) as jobs:
            running = await act(jobs, seconds=60)
            waiting = await act(jobs, seconds=60)
            await wait_for(jobs, running, "running")
            await wait_for_phase(jobs, running)  # by then it listens to signals
            assert jobs.blockers(waiting.id) == [running.id]
            assert (await jobs.cancel(waiting.id)).state == "cancelled"
            await jobs.cancel(running.id)
            ended = await wait_for(jobs, running)
            assert (ended.state, ended.exit_code, ended.error) == ("cancelled", 130, None)
            with pytest.raises(UsageError, match="is over: cancelled"):
                await jobs.cancel(running.id)

    run(test)


def test_a_worker_that_does_not_hear_is_killed(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "CANCEL_GRACE_S", 0.3)

    async def test() -> None:
        async with opened(state) as jobs:
            job = await act(jobs, seconds=600, deaf=True)
            async with jobs.events() as changes:
                async for change in changes:
                    if change.progress.done > 0:
                        break
            await jobs.cancel(job.id)
            assert (await wait_for(jobs, job)).state == "cancelled"

    run(test)


def test_limits_groups_and_machines_are_kept_apart(state: Path, tmp_path: Path) -> None:
    until = tmp_path / "until"

    async def test() -> None:
        async with (
            opened(state, heavy=2) as jobs,
            asyncio.timeout(DEADLINE_S),
            jobs.events() as changes,
        ):
            common: dict[str, Any] = {"seconds": 600, "until": str(until)}
            asked = [await act(jobs, machine=name, **common) for name in ("a", "a", "b", "c")]
            asked += [await act(jobs, "act alone", name="x", **common) for _ in range(2)]
            running = set[int]()
            left = {job.id for job in asked}
            async for change in changes:
                (running.add if change.state == "running" else running.discard)(change.id)
                left -= {change.id} if change.has_ended else set()
                assert len(running & {job.id for job in asked[:4]}) <= 2
                assert not {asked[0].id, asked[1].id} <= running
                assert not {asked[4].id, asked[5].id} <= running
                if len(running) == 3:  # two of the four, and one of those that are alone
                    until.touch()
                if not left:
                    break
            assert until.exists()

    run(test)


def test_a_stop_interrupts_and_the_next_start_resumes_what_does_no_harm(
    state: Path, tmp_path: Path
) -> None:
    note = tmp_path / "note"

    async def first() -> tuple[Job, Job, Job]:
        async with opened(state, heavy=1) as jobs:
            safe = await act(jobs, seconds=600, note=str(note))
            once = await act(jobs, "act once", seconds=600, note=str(note))
            queued = await act(jobs)
            await wait_for(jobs, safe, "running")
            await wait_for(jobs, once, "running")
            async with asyncio.timeout(DEADLINE_S):
                while not note.exists() or note.read_text().count("begun") < 2:
                    await asyncio.sleep(0.02)
            return safe, once, queued

    async def second(safe: Job, once: Job, queued: Job) -> None:
        async with opened(state, heavy=1) as jobs:
            safe, once = await jobs.get(safe.id), await jobs.get(once.id)
            assert (safe.state, once.state) == ("interrupted", "interrupted")
            assert "jobs retry" in str(once.error)
            assert once.retried_as is None
            assert safe.retried_as is not None
            again = await jobs.get(safe.retried_as)
            assert (again.retry_of, again.verb, again.arguments) == (
                safe.id,
                safe.verb,
                safe.arguments,
            )
            assert (await wait_for(jobs, queued)).state == "done"
            await jobs.cancel(again.id)
            assert (await wait_for(jobs, again)).state == "cancelled"
            retried = await jobs.retry(once.id, asked_by="bob")
            assert (await jobs.retry(once.id, asked_by="bob")).id == retried.id
            await jobs.cancel(retried.id)

    safe, once, queued = asyncio.run(first())
    asyncio.run(second(safe, once, queued))


def test_a_secret_lies_in_a_private_file_until_the_job_has_ended(state: Path) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            job = await jobs.submit("act", {}, secrets={"secret": "s3cr3t"}, asked_by="ann")
            path = Path(str(job.arguments["secret"]))
            assert path.stat().st_mode & 0o777 == 0o600
            ended = await wait_for(jobs, job)
            assert ended.state == "done"
            async with asyncio.timeout(DEADLINE_S):
                while path.parent.exists():
                    await asyncio.sleep(0.02)
            with pytest.raises(UsageError, match="was not kept"):
                await jobs.retry(job.id, asked_by="ann")
        for file in state.rglob("*"):
            assert not file.is_file() or b"s3cr3t" not in file.read_bytes()

    run(test)


def test_a_key_makes_asking_twice_asking_once(state: Path) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            first = await jobs.submit("act", {"seconds": 0.1}, key="k", asked_by="ann")
            again = await jobs.submit("act", {"seconds": 0.1}, key="k", asked_by="ann")
            assert first.id == again.id
            with pytest.raises(UsageError, match="stands for another request"):
                await jobs.submit("act", {"seconds": 0.2}, key="k", asked_by="ann")
            await wait_for(jobs, first)
            assert (await jobs.submit("act", {"seconds": 0.1}, key="k", asked_by="a")).has_ended

    run(test)


def test_what_is_no_job_and_what_is_wrong_is_refused(state: Path) -> None:
    async def test() -> None:
        async with opened(state) as jobs:
            wrong: list[tuple[str, dict[str, Any], type[HoldfastError]]] = [
                ("act", {"colour": "red"}, UsageError),
                ("act secretly", {}, UsageError),
                ("jump", {}, NotFoundError),
            ]
            for verb, arguments, kind in wrong:
                with pytest.raises(kind):
                    await jobs.submit(verb, arguments, asked_by="ann")
            with pytest.raises(NotFoundError):
                await jobs.get(99)
            assert (await jobs.list()).items == []

    run(test)
