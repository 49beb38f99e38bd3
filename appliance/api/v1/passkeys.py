"""/session/passkey: passkeys (WebAuthn), where the page was opened by a name of the box.

Each goes in two steps: POST gives a ticket and the options for the browser, PUT takes its answer.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web

from appliance.access.callers import Forbidden
from appliance.access.gate import Facts
from appliance.api.door import facts_of, set_cookie
from appliance.api.route import Ask, Page, Reply, Route, Time
from appliance.api.v1.users import time_of

_TICKET_MAX = 512


class Ticket(msgspec.Struct, kw_only=True):
    """`options` go to navigator.credentials as they are."""

    ticket: str
    options: dict[str, Any]


class PasskeyAnswer(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What navigator.credentials gave, as JSON."""

    ticket: Annotated[str, msgspec.Meta(max_length=_TICKET_MAX)]
    response: dict[str, Any]


class NewPasskey(PasskeyAnswer, forbid_unknown_fields=True, kw_only=True):
    """With what its owner calls it."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Passkey(msgspec.Struct, kw_only=True):
    """A passkey of the caller's."""

    id: str
    label: str
    created_at: Time


def _host(ask: Ask) -> str:
    return ask.request.headers.get("Host", "")


def _ticket(made: tuple[str, str]) -> Reply:
    return Reply(Ticket(ticket=made[0], options=msgspec.json.decode(made[1])))


async def list_passkeys(ask: Ask) -> Reply:
    """The caller's."""
    rows = await to_thread(ask.parts.access.passkeys.list, ask.caller.name)
    items = [
        Passkey(id=row.id, label=row.label, created_at=time_of(row.created_s) or "") for row in rows
    ]
    return Reply(Page(items=items))


async def begin_login(ask: Ask) -> Reply:
    """Options to log in: nobody is named."""
    return _ticket(await to_thread(lambda: ask.parts.access.passkeys.begin_asking(_host(ask))))


async def finish_login(ask: Ask) -> web.StreamResponse:
    """Begin a session."""
    return await _prove(ask, ask.parts.access.passkeys.log_in)


async def begin_confirmation(ask: Ask) -> Reply:
    """Options to confirm."""
    asking = ask.parts.access.passkeys.begin_asking
    return _ticket(await to_thread(asking, _host(ask), ask.caller))


async def finish_confirmation(ask: Ask) -> web.StreamResponse:
    """Allow what cannot be undone, for some minutes."""
    return await _prove(ask, ask.parts.access.passkeys.confirm)


async def _prove(
    ask: Ask, take: Callable[[str, Mapping[str, Any], Facts], str]
) -> web.StreamResponse:
    """Give the browser the session that `take` makes of the answer of its device."""
    body: PasskeyAnswer = ask.body
    secret = await to_thread(take, body.ticket, body.response, facts_of(ask.request))
    return set_cookie(web.Response(status=204), secret)


async def begin_passkey(ask: Ask) -> Reply:
    """Options to make one."""
    user = await to_thread(_user, ask)
    making = ask.parts.access.passkeys.begin_making
    return _ticket(await to_thread(making, user, _host(ask)))


async def finish_passkey(ask: Ask) -> Reply:
    """Keep it."""
    body: NewPasskey = ask.body
    user = await to_thread(_user, ask)
    making = ask.parts.access.passkeys.finish_making
    row = await to_thread(making, user, body.ticket, body.response, body.label)
    made = Passkey(id=row.id, label=row.label, created_at=time_of(row.created_s) or "")
    return Reply(made, status=201)


async def remove_passkey(ask: Ask) -> Reply:
    """Take one away."""
    await to_thread(ask.parts.access.passkeys.remove, ask.caller.name, ask.name("passkey"))
    return Reply()


def _user(ask: Ask) -> Any:
    user = ask.parts.access.find_user(ask.caller.name)
    if user is None:
        raise Forbidden("a token has no passkeys: somebody who is logged in has to")
    return user


_LOGIN, _CONFIRM, _OWN = "/session/passkey", "/session/confirm/passkey", "/session/passkeys"
ROUTES = (
    Route(
        *("POST", _LOGIN, "Begin to log in by a passkey", begin_login, "nobody"),
        answer=Ticket,
        is_secret=True,
    ),
    Route(
        *("PUT", _LOGIN, "Log in by a passkey", finish_login, "nobody"),
        body=PasskeyAnswer,
        status=204,
        is_secret=True,
    ),
    Route(
        *("POST", _CONFIRM, "Begin to confirm by a passkey", begin_confirmation, "viewer"),
        answer=Ticket,
        is_secret=True,
    ),
    Route(
        *("PUT", _CONFIRM, "Confirm by a passkey", finish_confirmation, "viewer"),
        body=PasskeyAnswer,
        status=204,
        is_secret=True,
        is_own=True,
    ),
    Route(*("GET", _OWN, "My passkeys", list_passkeys, "viewer"), answer=Page[Passkey]),
    Route(
        *("POST", _OWN, "Begin with a new passkey", begin_passkey, "viewer"),
        answer=Ticket,
        is_secret=True,
        is_destructive=True,
    ),
    Route(
        *("PUT", _OWN, "Keep the new passkey", finish_passkey, "viewer"),
        body=NewPasskey,
        answer=Passkey,
        status=201,
        is_destructive=True,
    ),
    Route(
        *("DELETE", f"{_OWN}/{{passkey}}", "Remove a passkey", remove_passkey, "viewer"),
        status=204,
        is_destructive=True,
    ),
)
