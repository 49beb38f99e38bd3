"""An open stream ends with the right to see it, however much happens."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from appliance.access.callers import Caller
from appliance.api import events
from appliance.api.events import EventLog, stream_events


def test_a_stream_on_which_something_always_happens_ends_with_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A running job says more than once in every heartbeat where it stands."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.2)
    log = EventLog()

    async def is_still_admitted() -> bool:
        return False

    async def handle(request: web.Request) -> web.StreamResponse:
        parts = SimpleNamespace(events=log, is_stopping=lambda: False)
        ask: Any = SimpleNamespace(
            request=request,
            parts=parts,
            caller=Caller("ann", "viewer", frozenset()),
            is_still_admitted=is_still_admitted,
        )
        return await stream_events(ask)

    async def publish() -> None:
        while True:
            log.publish("box", "/api/v1/box")
            await asyncio.sleep(0.02)

    async def listen() -> bytes:
        app = web.Application()
        app.router.add_get("/", handle)
        async with TestClient(TestServer(app)) as client:
            busy = asyncio.create_task(publish())
            try:
                async with asyncio.timeout(60), client.get("/") as response:
                    return await response.read()
            finally:
                busy.cancel()

    assert b"event: box" in asyncio.run(listen())
