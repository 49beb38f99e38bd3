"""/console: the few things that a console may ask for, each by a nonce that is good once.

A console that was taken over can have work done that the box does anyway. It reads no data, deletes
nothing, and what it once asked for cannot be asked for again by who listened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from appliance.access.callers import Forbidden
from appliance.access.tickets import LIFETIME_S
from appliance.api.route import Ask, Count, Page, Reply, Route
from appliance.api.v1.jobs import Job
from appliance.api.v1.run import VerbForm
from appliance.base.errors import BusyError
from appliance.jobs.verb import Verb

_NONCE_MAX = 200
_LIVING_MAX = 20
"""A console that has so many jobs waiting or running gets no more: others want work done, too."""


class Nonce(msgspec.Struct, kw_only=True):
    """To be sent along with one action, within `lifetime_s`, by the same token."""

    nonce: str
    lifetime_s: Count


class Action(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be done: a verb of GET /console/actions."""

    nonce: Annotated[str, msgspec.Meta(max_length=_NONCE_MAX)]
    verb: Annotated[str, msgspec.Meta(max_length=64)]
    arguments: dict[str, Any] = {}


async def list_actions(ask: Ask) -> Reply:
    """The list."""
    verbs = [verb.to_json() for verb in ask.parts.verbs if verb.is_for_console]
    return Reply({"items": verbs, "next": None})


async def give_nonce(ask: Ask) -> Reply:
    """For one action of this token."""
    nonce = ask.parts.access.tickets.issue_nonce(_purpose(ask))
    return Reply(Nonce(nonce=nonce, lifetime_s=LIFETIME_S), status=201)


async def act(ask: Ask) -> Reply:
    """Make it a job."""
    body: Action = ask.body
    verb = ask.parts.verbs.get(body.verb)
    if not is_allowed(verb, body.arguments):
        raise Forbidden(f"a console cannot ask for '{verb.name}' like this")
    machine = verb.machine(body.arguments)
    if machine is not None:
        ask.caller.require_machine(machine)
    verb.argv(body.arguments)  # no nonce is spent on what is wrong
    if await _count_living(ask) >= _LIVING_MAX:
        raise BusyError(f"{_LIVING_MAX} jobs of this console wait or run: ask again later")
    ask.parts.access.tickets.use_nonce(body.nonce, _purpose(ask))
    return await ask.submit(verb.name, body.arguments, wait_s=0.0)


def is_allowed(verb: Verb, arguments: Mapping[str, object]) -> bool:
    """Whether a console may have this done: it is on the list, and is not more than usual."""
    return (
        verb.is_for_console
        and verb.role_with(arguments) == verb.role
        and not verb.is_confirmed_with(arguments)
        and not verb.is_destructive_with(arguments)
    )


async def _count_living(ask: Ask) -> int:
    pages = [await ask.parts.jobs.list(limit=1000, state=one) for one in ("queued", "running")]
    return sum(job.asked_by == ask.caller.name for page in pages for job in page.items)


def _purpose(ask: Ask) -> str:
    return f"console {ask.asker}"


ROUTES = (
    Route(
        *("GET", "/console/actions", "What a console may ask for", list_actions, "remote"),
        answer=Page[VerbForm],
    ),
    Route(
        *("POST", "/console/nonces", "A nonce for one action", give_nonce, "remote"),
        answer=Nonce,
        status=201,
        is_secret=True,
    ),
    Route(
        *("POST", "/console/actions", "Have something done", act, "remote"),
        body=Action,
        status=202,
        answer=Job,
        problems=(409,),
    ),
)
