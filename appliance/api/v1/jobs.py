"""/jobs: what runs, ran and waits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from appliance.access.callers import ADMIN, OPERATOR, Forbidden
from appliance.api.job_view import show_job, tells_inside
from appliance.api.route import Ask, Count, Page, PageQuery, Reply, Route, Time, read_number
from appliance.base.errors import NotFoundError, UsageError

State = Literal["queued", "running", "done", "gaps", "failed", "cancelled", "interrupted"]


class Bottleneck(msgspec.Struct, kw_only=True):
    """Where the time goes, in per cent."""

    source: float
    cpu: float
    disk: float
    line: float


class Job(msgspec.Struct, kw_only=True):
    """One long action. `result` is what the verb prints with --json; lists leave it out."""

    id: int
    verb: str
    arguments: dict[str, Any]
    machine: str | None
    state: State
    exit_code: int | None
    error: str | None
    error_code: str | None
    asked_by: str
    asked_at: Time
    started_at: Time | None
    ended_at: Time | None
    priority: int
    phase: str
    about: str
    done: Count
    total: Count | None
    unit: Literal["bytes", "items"]
    rate_per_s: float
    eta_s: float | None
    bottleneck: Bottleneck | None
    result: Any
    retry_of: int | None
    retried_as: int | None


class LogLine(msgspec.Struct, kw_only=True):
    """One line of a job's log; `id` grows."""

    id: int
    at: Time | None
    text: str


class JobsQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Which jobs, newest first."""

    state: State | None = None
    machine: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    verb: Annotated[str, msgspec.Meta(max_length=64)] | None = None


async def list_jobs(ask: Ask) -> Reply:
    """Newest first, without their results."""
    query: JobsQuery = ask.query
    page = await ask.parts.jobs.list(
        None if query.after is None else read_number(query.after),
        query.limit,
        state=query.state,
        machine=query.machine,
        verb=query.verb,
    )
    following = None if page.next is None else str(page.next)
    verbs, caller = ask.parts.verbs, ask.caller
    return Reply({"items": [show_job(verbs, job, caller) for job in page.items], "next": following})


async def get_job(ask: Ask) -> Reply:
    """One job with its result."""
    return Reply(show_job(ask.parts.verbs, await ask.parts.jobs.get(_number(ask)), ask.caller))


async def read_log(ask: Ask) -> Reply:
    """Oldest line first. While the job runs `next` is never null: there may be more."""
    query: PageQuery = ask.query
    number, after = _number(ask), 0 if query.after is None else read_number(query.after)
    job = await ask.parts.jobs.get(number)
    if tells_inside(ask.parts.verbs, job):
        ask.caller.require(OPERATOR)
    lines = await ask.parts.jobs.log(number, after, query.limit)
    ended = (await ask.parts.jobs.get(number)).has_ended
    last = lines[-1].place if lines else after
    is_last = ended and len(lines) < query.limit
    items = [line.to_json() for line in lines]
    return Reply({"items": items, "next": None if is_last else str(last)})


async def cancel_job(ask: Ask) -> Reply:
    """Ask it to stop: an operator what he asked for, an administrator everything."""
    job = await ask.parts.jobs.get(_number(ask))
    if job.asked_by != ask.caller.name and not ask.caller.may(ADMIN):
        raise Forbidden(f"{job.asked_by} asked for job {job.id}: an administrator can cancel it")
    return Reply((await ask.parts.jobs.cancel(_number(ask))).to_json(), status=202)


async def retry_job(ask: Ask) -> Reply:
    """Submit the same again; gives the new job."""
    before = await ask.parts.jobs.get(_number(ask))
    verb = ask.parts.verbs.get(before.verb)
    if await ask.settle(verb, before.arguments) != before.arguments:
        raise UsageError("the latest point is another one now: ask anew", code="latest-changed")
    await ask.require_verb(verb, before.arguments)
    job = await ask.parts.jobs.retry(before.id, asked_by=ask.caller.name)
    return Reply(job.to_json(), status=202, headers={"Location": f"/api/v1/jobs/{job.id}"})


def _number(ask: Ask) -> int:
    text = ask.name("job")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError("there is no such job: 'holdfast jobs list' lists them", code="no-job")
    return int(text)


ROUTES = (
    Route(
        *("GET", "/jobs", "Jobs, newest first", list_jobs, "viewer"),
        query=JobsQuery,
        answer=Page[Job],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/jobs/{job}", "One job", get_job, "viewer"),
        answer=Job,
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/jobs/{job}/log", "Its log, oldest line first", read_log, "viewer"),
        query=PageQuery,
        answer=Page[LogLine],
    ),
    Route(
        *("POST", "/jobs/{job}/cancel", "Ask a job to stop", cancel_job, "operator"),
        status=202,
        answer=Job,
    ),
    Route(
        *("POST", "/jobs/{job}/retry", "Do it again", retry_job, "operator"),
        status=202,
        answer=Job,
        problems=(409,),
    ),
)
