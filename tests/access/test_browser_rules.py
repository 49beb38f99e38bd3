"""Other pages cannot use somebody's browser against the box."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.access.browser_rules import (
    API_HEADERS,
    FOREIGN_HEADERS,
    PAGE_HEADERS,
    BrowserFacts,
    check_browser,
    is_host_of_passkeys,
    split_host,
)
from appliance.access.callers import Forbidden

NAMES = {"box1", "box1.branch.example", "localhost"}
GET = BrowserFacts("GET", "box1:8443", has_cookie=True)
POST = replace(GET, method="POST", origin="https://box1:8443", write_header="1")
STREAM = replace(GET, sec_fetch_site="same-origin", sec_fetch_mode="cors")
SOCKET = replace(GET, origin="https://box1:8443", is_socket=True)
FILE = BrowserFacts("GET", "box1:8443", is_page=True)


@pytest.mark.parametrize(
    "request_",
    [
        GET,
        POST,
        STREAM,
        SOCKET,
        FILE,
        replace(GET, host="192.0.2.1"),
        replace(GET, host="[2001:db8::1]:8443"),
        replace(POST, host="BOX1.branch.example.", origin="https://box1.branch.example."),
        replace(GET, sec_fetch_site="none"),
        replace(FILE, sec_fetch_site="cross-site", sec_fetch_mode="navigate"),
        replace(POST, origin=None, has_cookie=False, write_header=None),  # a program with a token
    ],
)
def test_what_the_page_itself_asks_is_fine(request_: BrowserFacts) -> None:
    check_browser(request_, NAMES)


@pytest.mark.parametrize("kind", [GET, POST, STREAM, SOCKET, FILE])
@pytest.mark.parametrize(
    "host", ["evil.example", "box1.evil.example", "localhost.evil.example:8443", "", None, "box1:x"]
)
def test_dns_rebinding_is_refused_on_requests_streams_and_sockets(
    kind: BrowserFacts, host: str | None
) -> None:
    with pytest.raises(Forbidden):
        check_browser(replace(kind, host=host, origin=f"https://{host}"), NAMES)


@pytest.mark.parametrize("kind", [GET, POST, STREAM, SOCKET, replace(POST, has_cookie=False)])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://box1:8443", "https://box1", "https://box1:1"]
)
def test_cross_site_requests_are_refused_by_their_origin(kind: BrowserFacts, origin: str) -> None:
    with pytest.raises(Forbidden):
        check_browser(replace(kind, origin=origin), NAMES)


@pytest.mark.parametrize("kind", [GET, POST, STREAM, SOCKET, replace(FILE, sec_fetch_mode="cors")])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "strange"])
def test_cross_site_requests_are_refused_by_what_the_browser_says(
    kind: BrowserFacts, site: str
) -> None:
    with pytest.raises(Forbidden):
        check_browser(replace(kind, sec_fetch_site=site), NAMES)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("value", [None, "", "0"])
def test_a_form_of_another_page_lacks_the_header(method: str, value: str | None) -> None:
    request = replace(POST, method=method, origin=None, write_header=value)
    with pytest.raises(Forbidden, match="X-Holdfast"):
        check_browser(request, NAMES)


def test_a_hijacked_socket_is_refused() -> None:
    with pytest.raises(Forbidden):
        check_browser(replace(SOCKET, origin=None), NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box1", ("box1", None)),
        ("Box1.:8443", ("box1", 8443)),
        ("[::1]:1", ("::1", 1)),
        ("[::1]", ("::1", None)),
        ("[box1]", None),
        ("[::1", None),
        ("[::1]x", None),
        ("::1", None),
        (":8443", None),
        ("box1:", None),
        ("box1:0", None),
        ("box1:65536", None),
        ("box1:८", None),
        ("x" * 300, None),
    ],
)
def test_a_host_is_read_strictly(text: str, expected: tuple[str, int | None] | None) -> None:
    assert split_host(text) == expected


@pytest.mark.parametrize("headers", [PAGE_HEADERS, API_HEADERS, FOREIGN_HEADERS])
def test_no_answer_can_run_what_it_was_sent_or_be_framed(headers: dict[str, str]) -> None:
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self'" in policy or "script-src" not in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_passkeys_belong_to_names() -> None:
    assert is_host_of_passkeys("box1.branch.example")
    assert is_host_of_passkeys("box1")
    assert not is_host_of_passkeys("192.0.2.1")
    assert not is_host_of_passkeys("::1")
