"""/events: what changes, as it changes (server-sent events)."""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from appliance.api.events import stream_events
from appliance.api.route import Ask, Route
from appliance.api.v1.jobs import Job


class Event(msgspec.Struct, kw_only=True):
    """The data of one event; its `event:` is the kind.

    `job`: a job changed, here it is. `machine`, `finding`, `box`: ask for `path` again. `reset`:
    events were missed, ask for everything again.
    """

    kind: Literal["job", "finding", "machine", "box", "reset"]
    path: str
    job: Job | None = None


async def open_events(ask: Ask) -> web.StreamResponse:
    """Resumes after Last-Event-ID."""
    return await stream_events(ask)


ROUTES = (
    Route(
        "GET",
        "/events",
        "What changes, as it changes; resumes after Last-Event-ID",
        open_events,
        "viewer",
        answer=Event,
        content_type="text/event-stream",
        is_stream=True,
    ),
)
