"""One row of the route table: who may ask what, what comes in and what goes out.

Owns the description of a route and of what a handler is given and gives back. The table itself is
`appliance.api.routes`; the description is made from it by `appliance.api.openapi`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import msgspec
from aiohttp import web

from appliance.access.audit import DONE
from appliance.api.targets import are_harmless
from appliance.base.errors import HoldfastError, UsageError

if TYPE_CHECKING:
    from appliance.access.callers import Caller
    from appliance.api.parts import Parts
    from appliance.catalog.job_table import Job
    from appliance.jobs.jobs import Jobs
    from appliance.jobs.verb import Verb

Role = Literal["nobody", "viewer", "operator", "admin", "setup", "remote"]
PAGE = 100
PAGE_MAX = 1000
SECRET_MAX = 64 << 10
Item = TypeVar("Item")
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in UTC, with Z."""
Count = Annotated[int, msgspec.Meta(ge=0)]


class Page(msgspec.Struct, Generic[Item], kw_only=True):
    """Part of a list. `next` is what `after` asks for next; null at the end."""

    items: list[Item]
    next: str | None = None


class Known(msgspec.Struct, Generic[Item], kw_only=True):
    """A whole list as it was at `as_of`; null while nobody has looked yet.

    `trouble` says why the last look after that failed.
    """

    items: list[Item]
    next: None = None
    as_of: Time | None = None
    trouble: str | None = None


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which part of a list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = PAGE
    after: str | None = None


@dataclass(frozen=True)
class Ask:
    """A request that was let in. `body` and `query` are of the types that the route names."""

    request: web.Request
    parts: Parts
    route: Route
    caller: Caller
    query: Any
    body: Any

    def name(self, parameter: str) -> str:
        """A parameter of the path."""
        return self.request.match_info[parameter]

    @property
    def key(self) -> str | None:
        """The Idempotency-Key, told apart from the same key of somebody else."""
        key = self.request.headers.get("Idempotency-Key")
        return None if key is None else f"{self.asker}:{key}"

    @property
    def asker(self) -> str:
        """Who asks; tokens of one name are told apart."""
        token = self.request.headers.get("Authorization")
        if token is None:
            return self.caller.name
        return f"{self.caller.name}:{hashlib.sha256(token.encode()).hexdigest()}"

    async def require_verb(self, verb: Verb, arguments: Mapping[str, Any]) -> None:
        """Raises Forbidden, NeedsConfirmation or NeedsApproval unless the caller may run this."""
        self.caller.require(verb.role_with(arguments))
        machine = verb.machine(arguments)
        if machine is not None:
            self.caller.require_machine(machine)
        if verb.is_confirmed_with(arguments) or not await asyncio.to_thread(
            are_harmless, verb.targets(arguments), self.parts.state
        ):
            self.parts.access.gate.require_confirmed(self.caller)
        if verb.is_destructive_with(arguments):
            self.parts.access.gate.require_confirmed(self.caller)
            verb.argv(arguments)  # nobody is asked to agree to what is wrong
            check = self.parts.access.approvals.check
            await asyncio.to_thread(check, self.caller, verb.name, arguments)

    async def settle(self, verb: Verb, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with the point that `latest` is now, if somebody is to agree to them.

        A second person agrees to what there is, not to what is the latest when it is done. Raises
        UsageError, NotFoundError, AccessError if the store is locked.
        """
        point = arguments.get("point")
        if (
            not isinstance(point, str)
            or not verb.is_destructive_with(arguments)
            or not await asyncio.to_thread(lambda: self.parts.access.approvals.is_required)
        ):
            return arguments
        self.caller.require(verb.role_with(arguments))  # before anything is looked up for them
        return {**arguments, "point": await asyncio.to_thread(self.parts.name_point, point)}

    async def note(self, outcome: str, detail: str = "") -> None:
        """Have this write in the log of who did what, durably; logins write theirs themselves."""
        verb = self.route.verb
        if self.route.is_own or self.route.role in ("nobody", "setup"):
            return
        if verb is not None and verb.is_quick and outcome == DONE:
            return  # it only looked
        body = self.body if isinstance(self.body, dict) else msgspec.to_builtins(self.body)
        audit = self.parts.access.audit
        await asyncio.to_thread(
            lambda: audit.note(
                self.caller.name,
                self.route.summary if verb is None else verb.name,
                target=self.request.path.removeprefix("/api/v1"),
                outcome=outcome,
                detail=detail or (body if isinstance(body, dict) else ""),
                address=self.caller.address,
            )
        )

    async def is_still_admitted(self) -> bool:
        """Whether the caller may still do what was begun: sessions end, tokens are revoked."""
        try:
            await self.parts.door.admit(self.request, self.route, is_idle=True)
        except HoldfastError:
            return False
        return True

    async def submit(self, verb: str, arguments: Mapping[str, Any], wait_s: float) -> Reply:
        """Make it a job, and wait for its end for a while: 200 if it has ended, else 202."""
        jobs = self.parts.jobs
        given = dict(arguments)
        secrets = {
            one.name: _read_secret(one.name, given.pop(one.name))
            for one in jobs.verbs.get(verb).secrets()
            if given.get(one.name) is not None
        }
        job = await jobs.submit(
            verb, given, asked_by=self.caller.name, key=self.key, secrets=secrets
        )
        if wait_s and not job.has_ended:
            job = await _await_end(jobs, job.id, wait_s)
        headers = {"Location": f"/api/v1/jobs/{job.id}"}
        return Reply(job.to_json(), status=200 if job.has_ended else 202, headers=headers)


def _read_secret(name: str, value: object) -> str:
    """The content of a secret file. Raises UsageError, which does not repeat it."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or len(value) > SECRET_MAX:
        raise UsageError(f"{name}: must be the content of one file, up to {SECRET_MAX} characters")
    return value


async def _await_end(jobs: Jobs, job_id: int, wait_s: float) -> Job:
    """The job when it has ended, or as it is after `wait_s`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s), jobs.events() as changes:
            job = await jobs.get(job_id)
            while not job.has_ended:
                job = await anext(changes)
                if job.id != job_id:
                    job = await jobs.get(job_id)
    return await jobs.get(job_id)


@dataclass(frozen=True)
class Reply:
    """What a handler gives back, to be sent as JSON; `value` None is no content."""

    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Ask], Awaitable[Reply | web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """One operation.

    Attributes:
        path: below /api/v1.
        role: the least of the roles that may ask; `nobody` is everybody, `setup` is the guest of
            the setup window, `remote` a console that may ask for something.
        also: `agent` and `console`, where they may ask.
        answer: type of what is sent; None is no content, `bytes` is `content_type`.
        is_destructive: the caller must have confirmed who they are a moment ago.
        is_stream: stays open: a web socket, or events.
        is_own: about the caller alone; also with a password that has yet to be replaced.
        is_upload: the handler takes the body itself, piece by piece; it is no JSON.
        verb: the verb that it runs.
        is_secret: the answer holds a secret: never kept, neither by caches nor for repetitions.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    role: Role
    answer: Any = None
    body: Any = None
    query: type[msgspec.Struct] | None = None
    status: int = 200
    also: frozenset[str] = frozenset()
    content_type: str = "application/json"
    is_destructive: bool = False
    is_secret: bool = False
    is_stream: bool = False
    is_own: bool = False
    is_upload: bool = False
    verb: Verb | None = None
    problems: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The identity of the operation, as in `get_machines_machine_points`."""
        words = self.path.replace("{", "").replace("}", "").replace("-", "_").split("/")
        return "_".join([self.method.lower(), *filter(None, words)])

    def admits(self, may: Callable[[str], bool]) -> bool:
        """Whether somebody who `may` act in certain roles may ask."""
        return self.role == "nobody" or any(may(role) for role in (self.role, *sorted(self.also)))


def read_number(text: str) -> int:
    """The place in a list that `after` names. Raises UsageError."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError("after: give back what the page before named as next")
    return int(text)
