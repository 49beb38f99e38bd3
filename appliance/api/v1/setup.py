"""/setup: the first administrator, made by whoever reads the code that the box shows.

The steps after that are verbs: `init` makes a store, `vault open` becomes an old box.
"""

from __future__ import annotations

from asyncio import to_thread
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from appliance.api.door import facts_of, set_cookie
from appliance.api.route import Ask, Reply, Route
from appliance.api.v1.session import Code, Text


class Setup(msgspec.Struct, kw_only=True):
    """How far setup is. `state`: done; open: POST /setup/open takes the code; closed.

    `needs_recovery_key`: there was an administrator once. `has_store`: there is a store already.
    """

    state: Literal["done", "open", "closed"]
    needs_recovery_key: bool
    has_store: bool


class SetupCode(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the box shows on its screen."""

    code: Code


class FirstAdmin(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first administrator."""

    user: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    password: Text
    recovery_key: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


async def get_setup(ask: Ask) -> Reply:
    """Whether there is anything to set up."""
    window = ask.parts.access.setup
    state = await to_thread(lambda: window.state)
    needs = state != "done" and await to_thread(lambda: window.needs_recovery_key)
    return Reply(Setup(state=state, needs_recovery_key=needs, has_store=ask.parts.has_store()))


async def open_setup(ask: Ask) -> web.StreamResponse:
    """Come in by the code."""
    facts = facts_of(ask.request)
    enter = ask.parts.access.setup.enter
    secret = await to_thread(enter, ask.body.code, facts.address, facts.browser)
    return set_cookie(web.Response(status=204), secret)


async def make_admin(ask: Ask) -> web.StreamResponse:
    """Make the first administrator, whose session this becomes."""
    body: FirstAdmin = ask.body
    secret = await to_thread(
        ask.parts.access.setup.make_admin,
        ask.caller,
        body.user,
        body.password,
        recovery_key=body.recovery_key,
    )
    return set_cookie(web.Response(status=204), secret)


ROUTES = (
    Route(*("GET", "/setup", "How far setup is", get_setup, "nobody"), answer=Setup),
    Route(
        *("POST", "/setup/open", "Come in by the code of the box", open_setup, "nobody"),
        body=SetupCode,
        status=204,
        is_secret=True,
    ),
    Route(
        *("POST", "/setup/admin", "Make the first administrator", make_admin, "setup"),
        body=FirstAdmin,
        status=204,
        is_secret=True,
    ),
)
