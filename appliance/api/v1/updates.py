"""/updates: what runs, what ran before, and the file that is to be installed next.

Looking into it, installing it and going back are verbs: /run/update/check, install, back.
"""

from __future__ import annotations

import asyncio
from asyncio import to_thread
from contextlib import ExitStack

import msgspec

from appliance.api.route import Ask, Count, Reply, Route, Time
from appliance.base.durable import write_all
from appliance.base.errors import HoldfastError, UsageError
from appliance.updates.releases import Releases, find_root
from appliance.updates.standing import describe_checkout, show_releases
from appliance.updates.uploads import receive_upload

PIECE_S = 60.0
"""A line that brings nothing for so long brings nothing any more."""
_PIECE_BYTES = 1 << 20


class InstalledRelease(msgspec.Struct, kw_only=True):
    """One that lies on the box. `built` is null where its header cannot be read."""

    version: str
    is_current: bool
    built: Time | None
    notes: str


class ReleaseTrial(msgspec.Struct, kw_only=True):
    """A release that has yet to show that it becomes ready; else `previous` runs again."""

    version: str
    previous: str
    began: Time
    tries_left: Count
    ready_within_s: Count


class ReleaseEvent(msgspec.Struct, kw_only=True):
    """What became of a release: `running`, or `failed`; then `previous` ran again."""

    time: Time
    version: str
    previous: str
    outcome: str
    began: str


class Updates(msgspec.Struct, kw_only=True):
    """`version` answers; `current` is what the next start runs.

    `is_installed` false is a checkout, which is updated otherwise: `what_to_do` says how.
    `previous` is where going back leads, `trusted` the fingerprints of keys that may sign.
    """

    version: str
    is_installed: bool
    what_to_do: str | None
    root: str | None
    current: str | None
    since: Time | None
    previous: str | None
    trial: ReleaseTrial | None
    releases: list[InstalledRelease]
    history: list[ReleaseEvent]
    trusted: list[str]
    uploaded_bytes: Count | None


class Uploaded(msgspec.Struct, kw_only=True):
    """What lies on the box now. Nobody has looked into it yet."""

    uploaded_bytes: Count


def _find_releases(ask: Ask) -> Releases | None:
    root = find_root()
    return None if root is None else Releases(root, ask.parts.clock)


async def get_updates(ask: Ask) -> Reply:
    """How the releases stand."""
    return Reply(await to_thread(lambda: show_releases(_find_releases(ask))))


async def put_file(ask: Ask) -> Reply:
    """Take an update, piece by piece, as fast as the disk takes it."""
    releases, size_bytes = _find_releases(ask), ask.request.content_length
    if releases is None:
        raise UsageError(describe_checkout())
    if not size_bytes:
        raise UsageError("send the update with its length: Content-Length")
    stack = ExitStack()
    descriptor = await to_thread(stack.enter_context, receive_upload(releases, size_bytes))
    try:
        await _receive(ask, descriptor, size_bytes)
    except BaseException as error:
        await to_thread(stack.__exit__, type(error), error, error.__traceback__)
        raise
    await to_thread(stack.close)
    return Reply(Uploaded(uploaded_bytes=size_bytes))


async def _receive(ask: Ask, descriptor: int, size_bytes: int) -> None:
    """Write the body to `descriptor`. Raises HoldfastError if it does not come whole."""
    left = size_bytes
    try:
        while left:
            async with asyncio.timeout(PIECE_S):
                piece = await ask.request.content.read(_PIECE_BYTES)
            if not piece or len(piece) > left:
                break
            left -= len(piece)
            await to_thread(write_all, descriptor, piece)
    except (ConnectionError, TimeoutError) as error:
        raise HoldfastError("the upload was cut off: try again") from error
    if left:
        raise HoldfastError("the upload has another length than was said: try again")


ROUTES = (
    Route(
        *("GET", "/updates", "The release that runs, and those before", get_updates, "admin"),
        answer=Updates,
    ),
    Route(
        *("PUT", "/updates/file", "Upload an update, to be checked and installed", put_file),
        "admin",
        answer=Uploaded,
        is_upload=True,
        problems=(409, 507),
    ),
)
