"""The application: every route of the table behind one guard.

Owns the way of a request: admission, query and body by their types, the handler, the answer with
its ETag. Knows no route by name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from hashlib import blake2b
from typing import Any

import msgspec
from aiohttp import web

from appliance.access.audit import DONE, FAILED, REFUSED
from appliance.access.browser_rules import API_HEADERS
from appliance.api.openapi import ROOT, describe_api
from appliance.api.pages import Pages
from appliance.api.parts import Parts
from appliance.api.problem import describe, describe_error
from appliance.api.route import Ask, Reply, Route
from appliance.base.errors import AccessError, HoldfastError

BODY_MAX_BYTES = 1 << 20
BODY_S = 60.0
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_LOG = logging.getLogger("holdfast.api")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(parts: Parts, routes: Iterable[Route], pages: Pages) -> web.Application:
    """The application with these routes and pages; the description of routes is one more."""
    routes = list(routes)
    app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[_answer_problems])
    document = msgspec.json.encode(describe_api(routes))

    async def get_document(_: Ask) -> Reply:
        return Reply(msgspec.Raw(document))

    described = Route("GET", "/openapi.json", "This description", get_document, "nobody")
    for route in [described, *routes]:
        app.router.add_route(route.method, ROOT + route.path, _guard(parts, route))
    app.router.add_route("*", "/api/{rest:.*}", _miss)
    app.router.add_get("/{name:.*}", _open_page(parts, pages))
    app.on_response_prepare.append(_add_headers)
    return app


def _open_page(parts: Parts, pages: Pages) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        parts.door.check_page(request)
        return await pages.answer(request)

    return handle


async def _miss(request: web.Request) -> web.StreamResponse:
    """No such route; or not this way, where the others are said."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource.canonical.startswith(f"{ROOT}/"):
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, sorted(allowed))
    raise web.HTTPNotFound


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in API_HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def _answer_problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every failure becomes a problem; nothing of an unforeseen one is told but that it was."""
    try:
        return await handler(request)
    except HoldfastError as error:
        return describe_error(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        answer = describe(error.status, error.reason.lower().replace(" ", "-"))
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except Exception:
        _LOG.exception("%s %s", request.method, request.path)
        return describe(500, "unexpected", "an unforeseen failure: the log of the box says more")


def _guard(parts: Parts, route: Route) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await parts.door.admit(request, route)
        query = _read_query(route, request)
        is_read = route.method in _WRITES and not route.is_upload
        data = await read_data(request) if is_read else b""
        ask = Ask(request, parts, route, caller, query, _read_body(route, request, data))
        if route.method not in _WRITES:
            return _finish(request, route, await route.handler(ask))
        work: Coroutine[Any, Any, web.StreamResponse]
        if route.is_upload:
            work = _write(request, route, ask)
        else:
            work = parts.answers.once(
                request, ask.asker, data, lambda: _write(request, route, ask), route.is_secret
            )
        if route.answer is bytes:
            return await work
        # What was begun is carried through, and noted, although nobody may wait any more.
        return await asyncio.shield(asyncio.ensure_future(work))

    return handle


async def _write(request: web.Request, route: Route, ask: Ask) -> web.StreamResponse:
    """Do it, and have it in the log of who did what, however it ends."""
    try:
        answer = _finish(request, route, await route.handler(ask))
    except HoldfastError as error:
        await ask.note(REFUSED if isinstance(error, AccessError) else FAILED, str(error))
        return describe_error(error)
    await ask.note(DONE)
    return answer


async def read_data(request: web.Request) -> bytes:
    """The body. Raises HoldfastError if it does not come."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError as error:
        raise _Refused(408, "body", "the body did not come: try again") from error


def _read_query(route: Route, request: web.Request) -> Any:
    names = [name for name, _ in request.query.items()]
    twice = {name for name in names if names.count(name) > 1}
    if route.query is None:
        if names:
            raise web.HTTPBadRequest(reason="Unknown query parameter")
        return None
    if twice:
        raise web.HTTPBadRequest(reason="Query parameter given twice")
    try:
        return msgspec.convert(dict(request.query), route.query, strict=False)
    except msgspec.ValidationError as error:
        raise _Refused(422, "usage", str(error)) from error


def _read_body(route: Route, request: web.Request, data: bytes) -> Any:
    if route.body is None:
        if data:
            raise _Refused(400, "body", "this takes no body")
        return None
    if not data and route.verb is not None:
        return {}
    if request.content_type != "application/json":
        raise _Refused(415, "content-type", "the body must be application/json")
    try:
        return msgspec.json.decode(data, type=route.body)
    except msgspec.ValidationError as error:
        raise _Refused(422, "usage", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(400, "body", f"the body is no JSON: {error}") from error


def _finish(
    request: web.Request, route: Route, made: Reply | web.StreamResponse
) -> web.StreamResponse:
    if isinstance(made, web.StreamResponse):
        return made
    if made.value is None:
        return web.Response(status=made.status if made.status != 200 else 204, headers=made.headers)
    body = msgspec.json.encode(made.value)
    headers = dict(made.headers)
    if request.method == "GET" and not route.is_secret:
        etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        headers |= {"ETag": etag, "Cache-Control": "private, no-cache"}
        if etag in [one.strip() for one in request.headers.get("If-None-Match", "").split(",")]:
            return web.Response(status=304, headers=headers)
    return web.Response(
        status=made.status, body=body, content_type="application/json", headers=headers
    )


class _Refused(HoldfastError):
    """A request that is no request."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text, code=code)
        self.status = status
