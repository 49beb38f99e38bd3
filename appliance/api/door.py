"""What stands before every route: is this request meant for us, who asks, and may they.

Owns the order of the checks. Passwords, sessions and tokens are `appliance.access`'s.
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from appliance.access.browser_rules import WRITE_HEADER, BrowserFacts, check_browser
from appliance.access.callers import Caller, Forbidden
from appliance.access.gate import Facts, Gate
from appliance.access.sessions import COOKIE
from appliance.api.route import Route

NOBODY = Caller("nobody", "nobody", frozenset())


def facts_of(request: web.Request, *, is_idle: bool = False) -> Facts:
    """What is known of a request before anybody is."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return Facts(
        address=str(peer[0]) if isinstance(peer, tuple) else "",
        cookie=request.cookies.get(COOKIE),
        authorization=request.headers.get("Authorization"),
        browser=request.headers.get("User-Agent", "")[:200],
        is_idle=is_idle,
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

    def __init__(self, gate: Gate, names: Collection[str]) -> None:
        """`names`: what the box is called, beside its addresses; it may change under us."""
        self._gate = gate
        self._names = names

    async def admit(self, request: web.Request, route: Route, *, is_idle: bool = False) -> Caller:
        """The caller, allowed to use `route`. Raises AccessError.

        `is_idle`: a stream that is open asks again, and nobody did anything.
        """
        self._check_browser(request, is_page=False)
        if route.role == "nobody":
            return NOBODY
        caller = self._gate.admit(facts_of(request, is_idle=is_idle))
        self._check_caller(request, route, caller)
        return caller

    def check_page(self, request: web.Request) -> None:
        """Raises Forbidden for a page that was not opened by a name of this box."""
        self._check_browser(request, is_page=True)

    def _check_browser(self, request: web.Request, *, is_page: bool) -> None:
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
                is_page=is_page,
                # Whoever logs in has none yet, and would get one.
                has_cookie="Authorization" not in headers,
            ),
            {*(name.lower().rstrip(".") for name in self._names), "localhost"},
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
