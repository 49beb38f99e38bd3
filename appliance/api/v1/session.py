"""/session: who somebody is: logging in and out, confirming, second factors, one's password.

The secret of a session is only ever in its cookie, which pages cannot read.
"""

from __future__ import annotations

from asyncio import to_thread
from typing import Annotated

import msgspec
from aiohttp import web

from appliance.api.door import facts_of, set_cookie, take_cookie
from appliance.api.route import Ask, Reply, Route, Time
from appliance.formats.names import format_time

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
Code = Annotated[str, msgspec.Meta(max_length=64)]


class Login(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`code` where a second factor is set up: the answer `needs-code` asks for it."""

    user: Text
    password: Text
    code: Code | None = None


class Confirmation(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who one is, once more: the code of the authenticator, or the one shown at the box."""

    password: Text
    code: Code | None = None


class NewPassword(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A password of one's own; other sessions end."""

    old: Text
    new: Text


class TotpCode(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first code of a new authenticator."""

    code: Code


class Who(msgspec.Struct, kw_only=True):
    """Who asks. `role` is viewer, operator, admin, agent, console or setup.

    `must_choose_password`: nothing else is allowed before PUT /session/password.
    """

    name: str
    role: str
    scopes: list[str]
    machine: str | None
    confirmed_until: Time | None
    must_choose_password: bool
    has_second_factor: bool
    recovery_codes_left: int


class Enrolment(msgspec.Struct, kw_only=True):
    """What an authenticator scans; it counts after PUT /session/totp."""

    secret: str
    uri: str
    qr_svg: str


class RecoveryCodes(msgspec.Struct, kw_only=True):
    """Shown once; each is good once."""

    recovery_codes: list[str]


async def who(ask: Ask) -> Reply:
    """Who the caller is."""
    caller = ask.caller
    access = ask.parts.access
    user = await to_thread(access.file.users.get, caller.name)
    until = caller.confirmed_until if not caller.is_present else None
    return Reply(
        Who(
            name=caller.name,
            role=caller.role,
            scopes=sorted(caller.scopes),
            machine=caller.machine,
            confirmed_until=None if until is None else format_time(until.replace(microsecond=0)),
            must_choose_password=caller.has_initial_password,
            has_second_factor=user is not None and access.second_factor.has(user),
            recovery_codes_left=0
            if user is None
            else access.second_factor.recovery_codes_left(user),
        )
    )


async def log_in(ask: Ask) -> web.StreamResponse:
    """Begin a session."""
    body: Login = ask.body
    gate, facts = ask.parts.access.gate, facts_of(ask.request)
    secret = await to_thread(gate.log_in, body.user, body.password, body.code, facts)
    return set_cookie(web.Response(status=204), secret)


async def log_out(ask: Ask) -> web.StreamResponse:
    """End the session."""
    await to_thread(ask.parts.access.gate.log_out, facts_of(ask.request))
    return take_cookie(web.Response(status=204))


async def confirm(ask: Ask) -> web.StreamResponse:
    """Allow what cannot be undone, for some minutes."""
    body: Confirmation = ask.body
    gate, facts = ask.parts.access.gate, facts_of(ask.request)
    secret = await to_thread(gate.confirm, body.password, body.code, facts)
    return set_cookie(web.Response(status=204), secret)


async def choose_password(ask: Ask) -> Reply:
    """Change one's password."""
    body: NewPassword = ask.body
    await to_thread(
        ask.parts.access.accounts.choose_password,
        ask.caller.name,
        body.old,
        body.new,
        session=ask.caller.session,
    )
    return Reply()


async def begin_totp(ask: Ask) -> Reply:
    """A new secret for the authenticator."""
    access = ask.parts.access
    user = await to_thread(access.accounts.get, ask.caller.name)
    made = await to_thread(access.second_factor.begin, user, ask.parts.name)
    return Reply(Enrolment(secret=made.secret, uri=made.uri, qr_svg=made.qr_svg))


async def finish_totp(ask: Ask) -> Reply:
    """The first right code makes it count."""
    access = ask.parts.access
    user = await to_thread(access.accounts.get, ask.caller.name)
    codes = await to_thread(access.second_factor.finish, user, ask.body.code)
    return Reply(RecoveryCodes(recovery_codes=codes))


async def remove_totp(ask: Ask) -> Reply:
    """Go without."""
    await to_thread(ask.parts.access.second_factor.remove, ask.caller.name)
    return Reply()


_EVERYBODY = frozenset({"agent", "console", "setup"})
_OWN = "/session"
ROUTES = (
    Route("GET", _OWN, "Who am I", who, "viewer", answer=Who, also=_EVERYBODY, is_own=True),
    Route(
        *("POST", _OWN, "Log in", log_in, "nobody"),
        body=Login,
        status=204,
        is_secret=True,
    ),
    Route(*("DELETE", _OWN, "Log out", log_out, "nobody"), status=204, is_secret=True),
    Route(
        *("POST", "/session/confirm", "Confirm who you are", confirm, "viewer"),
        body=Confirmation,
        status=204,
        is_secret=True,
        is_own=True,
    ),
    Route(
        *("PUT", "/session/password", "Choose a password", choose_password, "viewer"),
        body=NewPassword,
        status=204,
        is_secret=True,
        is_own=True,
    ),
    Route(
        *("POST", "/session/totp", "Begin with an authenticator", begin_totp, "viewer"),
        answer=Enrolment,
        is_secret=True,
        is_destructive=True,
        is_own=True,
    ),
    Route(
        *("PUT", "/session/totp", "Make the authenticator count", finish_totp, "viewer"),
        body=TotpCode,
        answer=RecoveryCodes,
        is_secret=True,
        is_destructive=True,
        is_own=True,
    ),
    Route(
        *("DELETE", "/session/totp", "Go without authenticator", remove_totp, "viewer"),
        status=204,
        is_destructive=True,
        is_own=True,
    ),
)
