"""What a browser may be made to do by other pages: nothing.

Owns the checks of Host, Origin and Sec-Fetch-Site, alike for requests, event streams and web
sockets, and the headers that every answer carries. Pure functions; the API's middleware calls them
before anything else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from appliance.access.callers import Forbidden

WRITE_HEADER = "X-Holdfast"
"""Writes of the page carry it with the value 1: forms and images of other pages cannot."""
_READS = frozenset({"GET", "HEAD"})
_OWN_SITES = frozenset({"same-origin", "none"})

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {**_ALWAYS, "Content-Security-Policy": _PAGE_POLICY, "Cache-Control": "no-cache"}
"""Of the product's own static files."""
API_HEADERS = {
    **_ALWAYS,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}
"""Of answers of the API: no cache shows them to the next person without asking."""
FOREIGN_HEADERS = {
    **_ALWAYS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "private, no-store",
}
"""Of what the product did not write itself: files of backups, reports, screens, logs."""


@dataclass(frozen=True)
class BrowserFacts:
    """Headers as they came; None: missing.

    Attributes:
        is_socket: a web socket, which sends cookies from any page unless somebody looks.
        is_page: a static file; a link from elsewhere may lead there.
        has_cookie: whether the request is admitted by a cookie.
        write_header: the value of `X-Holdfast`.
    """

    method: str
    host: str | None
    origin: str | None = None
    sec_fetch_site: str | None = None
    sec_fetch_mode: str | None = None
    write_header: str | None = None
    is_socket: bool = False
    is_page: bool = False
    has_cookie: bool = False


def check_browser(request: BrowserFacts, names: Collection[str]) -> None:
    """Raises Forbidden for a request that another page may have caused.

    `names` are the box's own, in lower case, without ports. A name that is not ours and points at
    us is somebody's DNS (rebinding): only addresses and our names are served.
    """
    host = split_host(request.host or "")
    if host is None or not (_is_address(host[0]) or host[0] in names):
        raise Forbidden("this box does not go by that name: use its address or one of its names")
    if request.origin is not None and request.origin.lower() != f"https://{request.host}".lower():
        raise Forbidden("another page asked for this")
    is_link = request.is_page and request.method in _READS and request.sec_fetch_mode == "navigate"
    if (
        request.sec_fetch_site is not None
        and request.sec_fetch_site not in _OWN_SITES
        and not is_link
    ):
        raise Forbidden("another page asked for this")
    if not request.has_cookie:
        return
    if request.is_socket and request.origin is None:
        raise Forbidden("a socket that is opened with a cookie says where it comes from")
    if request.method not in _READS and request.write_header != "1":
        raise Forbidden(f"writes of a browser carry the header {WRITE_HEADER}: 1")


def split_host(text: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header; None if it is none. Addresses of IPv6 lose their brackets."""
    text = text.lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_address(name):
            return None
    else:
        name, colon, rest = text.partition(":")
        rest = colon + rest
    if rest and not (rest[0] == ":" and rest[1:].isascii() and rest[1:].isdigit()):
        return None
    port = int(rest[1:]) if rest else None
    name = name.removesuffix(".")
    if not name or len(text) > 255 or (port is not None and not 0 < port < 65536):
        return None
    return name, port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_host_of_passkeys(name: str) -> bool:
    """Whether passkeys may be bound to this name: to an address they cannot be."""
    return not _is_address(name)
