"""/run and /verbs: every verb of the command line, each at the folder of its words.

What takes long becomes a job. What is quick or prompt, serves secrets or gives bytes runs at once,
in a process of its own, and leaves no record but that of the audit.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from aiohttp import web

from appliance.api.route import Ask, Page, Reply, Route
from appliance.api.v1.jobs import Job
from appliance.jobs.verb import Verb

WAIT_MAX_S = 60


class VerbParameter(msgspec.Struct, kw_only=True):
    """An argument. `is_secret`: the content of a file, which is kept nowhere."""

    name: str
    kind: str
    flag: str
    is_list: bool
    is_required: bool
    is_positional: bool
    is_secret: bool
    choices: list[Any]
    default: Any
    help: str


class VerbForm(msgspec.Struct, kw_only=True):
    """A verb, as forms are made from it."""

    name: str
    summary: str
    role: str
    admin_with: list[str]
    is_confirmed: bool
    is_destructive: bool
    destructive_with: list[str]
    is_quick: bool
    output: str
    parameters: list[VerbParameter]


class Ran(msgspec.Struct, kw_only=True):
    """How a verb ended that is no job. `result` is what it prints with --json."""

    verb: str
    exit_code: int
    error: str | None
    error_code: str | None
    result: Any


class RunQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long to wait for the end of a job, in seconds; for other verbs one always waits."""

    wait: Annotated[int, msgspec.Meta(ge=0, le=WAIT_MAX_S)] = 0


async def list_verbs(ask: Ask) -> Reply:
    """What can be run."""
    return Reply({"items": [verb.to_json() for verb in ask.parts.verbs], "next": None})


async def run_verb(ask: Ask) -> Reply | web.StreamResponse:
    """As the kind of the verb wants it."""
    verb = ask.route.verb
    assert verb is not None
    arguments = await ask.settle(verb, ask.body)
    await ask.require_verb(verb, arguments)
    if verb.output == "bytes":
        return await ask.parts.workers.stream(ask, verb, arguments)
    if is_at_once(verb):
        ran = await ask.parts.workers.run(verb, arguments)
        if not verb.is_quick:
            await ask.parts.look_again()
        return Reply(ran)
    return await ask.submit(verb.name, arguments, wait_s=float(ask.query.wait))


def is_at_once(verb: Verb) -> bool:
    """Whether a verb answers without becoming a job."""
    return verb.is_quick or not verb.is_job


def make_route(verb: Verb) -> Route:
    """The route of one verb."""
    at_once = is_at_once(verb)
    is_bytes = verb.output == "bytes"
    return Route(
        "POST",
        f"/run/{verb.name.replace(' ', '/')}",
        verb.summary,
        run_verb,
        verb.role,
        body=dict[str, Any],
        query=RunQuery,
        status=200 if at_once else 202,
        answer=bytes if is_bytes else Ran if at_once else Job,
        content_type="application/octet-stream" if is_bytes else "application/json",
        is_destructive=verb.is_destructive or verb.is_confirmed,
        is_secret=verb.is_secretive or is_bytes,
        verb=verb,
        problems=(409,),
    )


ROUTES = (
    Route(
        *("GET", "/verbs", "Every verb and its arguments", list_verbs, "viewer"),
        answer=Page[VerbForm],
    ),
)
