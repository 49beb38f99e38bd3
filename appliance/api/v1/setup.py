"""/setup: the first administrator, made by whoever reads the code that the box shows.

The steps after that are verbs: `init` makes a store, `vault open` becomes an old box.
"""

from __future__ import annotations

from asyncio import to_thread
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from appliance.access.setup_steps import SetupSteps as Steps
from appliance.api.door import facts_of, set_cookie
from appliance.api.route import Ask, Reply, Route
from appliance.api.v1.session import Code, Text
from appliance.formats.recovery_key import TEXT_MAX


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
    recovery_key: Annotated[str, msgspec.Meta(max_length=TEXT_MAX)] | None = None


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


class SetupStep(msgspec.Struct, kw_only=True):
    """A step of the wizard. `reason` is a word, `text` the same as a sentence."""

    name: str
    state: Literal["done", "open", "skipped", "impossible"]
    may_skip: bool
    reason: str
    text: str


class SetupSteps(msgspec.Struct, kw_only=True):
    """How far setup is. `next` is the step that waits; `way`: a new box, or an old one."""

    way: Literal["new", "old"]
    next: str | None
    steps: list[SetupStep]


class Way(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The first choice of the wizard."""

    way: Literal["new", "old"]


class Skip(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Whether to go on without the step."""

    is_skipped: bool


class TypedKey(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The recovery key as it was typed from the paper."""

    recovery_key: Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


def _steps(ask: Ask) -> Steps:
    channels = ask.parts.snapshots.known("notices list", "channels")["items"]
    return ask.parts.access.steps(has_notices=lambda: bool(channels))


def _show(steps: Steps) -> SetupSteps:
    shown = [SetupStep(**vars(step)) for step in steps.look()]
    waiting = next((step.name for step in shown if step.state == "open"), None)
    return SetupSteps(way=steps.way, next=waiting, steps=shown)


async def list_steps(ask: Ask) -> Reply:
    """In the order of the wizard. Looks at the host."""
    return Reply(await to_thread(lambda: _show(_steps(ask))))


async def choose_way(ask: Ask) -> Reply:
    """Remember the first choice."""
    await to_thread(lambda: _steps(ask).choose(ask.body.way))
    return await list_steps(ask)


async def skip_step(ask: Ask) -> Reply:
    """Go on without a step, or do it after all."""
    steps, name = _steps(ask), ask.name("step")
    await to_thread(steps.skip if ask.body.is_skipped else steps.reopen, name)
    return await list_steps(ask)


async def prove_key(ask: Ask) -> Reply:
    """The key from the paper is the right one."""
    await to_thread(_steps(ask).confirm_recovery_key, ask.body.recovery_key)
    return await list_steps(ask)


ROUTES = (
    Route(
        *("GET", "/setup/steps", "What is done, and what this host cannot do", list_steps, "admin"),
        answer=SetupSteps,
    ),
    Route(
        *("PUT", "/setup/way", "A new box, or an old one", choose_way, "admin"),
        body=Way,
        answer=SetupSteps,
    ),
    Route(
        *("PUT", "/setup/steps/{step}", "Skip a step, or do it after all", skip_step, "admin"),
        body=Skip,
        answer=SetupSteps,
    ),
    Route(
        *("POST", "/setup/key", "Show that the recovery key is at hand", prove_key, "admin"),
        body=TypedKey,
        answer=SetupSteps,
        is_secret=True,
    ),
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
