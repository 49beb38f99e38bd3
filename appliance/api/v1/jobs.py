"""/jobs: what runs, ran and waits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from appliance.api.route import Ask, Count, Page, PageQuery, Reply, Route, Time, read_number
from appliance.base.errors import NotFoundError
from appliance.catalog.job_table import Job as Kept

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
    asked_by: str
    asked_at: Time
    started_at: Time | None
    ended_at: Time | None
    priority: int
    phase: str
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
    return Reply({"items": [_show(ask, job) for job in page.items], "next": following})


async def get_job(ask: Ask) -> Reply:
    """One job with its result."""
    return Reply(_show(ask, await ask.parts.jobs.get(_number(ask))))


def _show(ask: Ask, job: Kept) -> dict[str, Any]:
    """Without what lies inside points, for those who may not look there."""
    shown, verbs = job.to_json(), ask.parts.verbs
    if job.verb in verbs:
        verb = verbs.get(job.verb)
        if verb.is_inside and not ask.caller.may(verb.role):
            shown["result"] = None
    return shown


async def read_log(ask: Ask) -> Reply:
    """Oldest line first. While the job runs `next` is never null: there may be more."""
    query: PageQuery = ask.query
    number, after = _number(ask), 0 if query.after is None else read_number(query.after)
    lines = await ask.parts.jobs.log(number, after, query.limit)
    ended = (await ask.parts.jobs.get(number)).has_ended
    last = lines[-1].place if lines else after
    is_last = ended and len(lines) < query.limit
    items = [line.to_json() for line in lines]
    return Reply({"items": items, "next": None if is_last else str(last)})


async def cancel_job(ask: Ask) -> Reply:
    """Ask it to stop."""
    return Reply((await ask.parts.jobs.cancel(_number(ask))).to_json(), status=202)


async def retry_job(ask: Ask) -> Reply:
    """Submit the same again; gives the new job."""
    before = await ask.parts.jobs.get(_number(ask))
    verb = ask.parts.verbs.get(before.verb)
    await ask.require_verb(verb, before.arguments)
    job = await ask.parts.jobs.retry(before.id, asked_by=ask.caller.name)
    return Reply(job.to_json(), status=202, headers={"Location": f"/api/v1/jobs/{job.id}"})


def _number(ask: Ask) -> int:
    text = ask.name("job")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError("there is no such job: 'holdfast jobs list' lists them")
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
