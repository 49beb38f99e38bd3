"""What stands before every route: is this request meant for us, who asks, and may they.

Owns the order of the checks. Passwords, sessions and tokens are `appliance.access`'s.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

from aiohttp import web

from appliance.access.browser_rules import WRITE_HEADER, BrowserFacts, check_browser
from appliance.access.callers import Caller, Forbidden
from appliance.access.gate import Facts, Gate
from appliance.access.sessions import COOKIE
from appliance.api.route import Route

NOBODY = Caller("nobody", "nobody", frozenset())
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


def facts_of(request: web.Request) -> Facts:
    """What is known of a request before anybody is."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return Facts(
        address=str(peer[0]) if isinstance(peer, tuple) else "",
        cookie=request.cookies.get(COOKIE),
        authorization=request.headers.get("Authorization"),
        browser=request.headers.get("User-Agent", "")[:200],
    )


def set_cookie(response: web.Response, secret: str) -> web.Response:
    """Give the browser its session."""
    response.set_cookie(COOKIE, secret, path="/", secure=True, httponly=True, samesite="Strict")
    return response


def take_cookie(response: web.Response) -> web.Response:
    """Take the session away from the browser."""
    response.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
    return response


class Door:
    """Lets requests in."""

    def __init__(self, gate: Gate, names: Collection[str], owner: int) -> None:
        """`names`: what the box is called, beside its addresses. `owner`: uid of the daemon."""
        self._gate = gate
        self._names = {name.lower().rstrip(".") for name in names} | {"localhost"}
        self._owner = owner

    async def admit(self, request: web.Request, route: Route) -> Caller:
        """The caller, allowed to use `route`. Raises AccessError."""
        peer = _local_peer(request)
        if peer is None:
            self._check_page(request)
        if route.role == "nobody":
            return NOBODY
        caller = (
            self._gate.admit(facts_of(request))
            if peer is None
            else self._gate.admit_peer(peer in (0, self._owner))
        )
        self._check_caller(request, route, caller)
        return caller

    def _check_page(self, request: web.Request) -> None:
        headers = request.headers
        check_browser(
            BrowserFacts(
                request.method,
                headers.get("Host"),
                headers.get("Origin"),
                headers.get("Sec-Fetch-Site"),
                headers.get("Sec-Fetch-Mode"),
                headers.get(WRITE_HEADER),
                is_socket="Upgrade" in headers,
                # Whoever logs in has none yet, and would get one.
                has_cookie="Authorization" not in headers,
            ),
            self._names,
        )

    def _check_caller(self, request: web.Request, route: Route, caller: Caller) -> None:
        if not route.admits(caller.may):
            raise Forbidden(f"{caller.name} is {caller.role}, and this needs {route.role}")
        if caller.has_initial_password and not route.is_own:
            raise Forbidden("choose a password of your own first")
        machine = request.match_info.get("machine")
        if machine is not None:
            caller.require_machine(machine)
        if route.is_destructive:
            self._gate.require_confirmed(caller)


def _local_peer(request: web.Request) -> int | None:
    """The uid at the other end of the local socket; None for the network."""
    transport = request.transport
    connection = None if transport is None else transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    data: bytes = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(data)[1])
