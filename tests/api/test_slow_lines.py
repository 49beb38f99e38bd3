"""Whoever says nothing, or says it slowly, is not waited for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from appliance.api import app, server
from appliance.base.errors import HoldfastError


async def _serve(application: web.Application, talk: Callable[[int], Awaitable[bytes]]) -> bytes:
    runner = server.make_runner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with asyncio.timeout(20):
            return await talk(int(runner.addresses[0][1]))
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_line_on_which_no_request_comes_to_its_end_is_closed(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(server, "IDLE_S", 1.0)

    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        try:
            return await reader.read()
        finally:
            writer.close()

    began_s = time.monotonic()
    asyncio.run(_serve(web.Application(), talk))
    assert time.monotonic() - began_s < 15


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_S", 0.5)
    refused: list[int] = []

    async def handle(request: web.Request) -> web.Response:
        try:
            await app.read_data(request)
        except HoldfastError as error:
            refused.append(error.status)  # type: ignore[attr-defined]
        return web.Response()

    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        try:
            return await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    application = web.Application()
    application.router.add_post("/", handle)
    asyncio.run(_serve(application, talk))
    assert refused == [408]
