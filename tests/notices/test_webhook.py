"""Webhooks to a real server: signed, verified, and never sent to the inside."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.formats.notice_channel import WebhookChannel
from appliance.notices import webhook
from appliance.notices.bulletin import make_test
from appliance.notices.webhook import choose_address, is_inside, send_webhook
from tests.notices.servers import HookServer

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SECRET = "0123456789abcdef"
BODY = make_test("box1", NOW)


def channel(url: str, certificates: Path | None = None, *, inside: bool = True) -> WebhookChannel:
    ca = "" if certificates is None else (certificates / "cert.pem").read_text()
    return WebhookChannel(name="hook", url=url, secret=SECRET, allow_private=inside, ca=ca)


def test_a_post_arrives_and_its_signature_can_be_checked(certificates: Path) -> None:
    with HookServer(certificates) as server:
        url = f"https://localhost:{server.port}/hook?key=1"
        assert send_webhook(channel(url, certificates), BODY, "box1-7", NOW) == "204 No Content"
    (hit,) = server.hits
    assert hit.path == "/hook?key=1"
    assert hit.headers["Host"] == f"localhost:{server.port}"
    assert hit.headers["X-Holdfast-Delivery"] == "box1-7"
    time, signature = hit.headers["X-Holdfast-Signature"].split(",")
    assert time == f"t={int(NOW.timestamp())}"
    signed = time.removeprefix("t=").encode() + b"." + hit.data
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert signature == f"v1={digest}"
    assert hit.json()["test"] is True


def test_a_certificate_that_nobody_trusts_ends_it(certificates: Path) -> None:
    with HookServer(certificates) as server, pytest.raises(HoldfastError, match="certificate"):
        send_webhook(channel(f"https://localhost:{server.port}/"), BODY, "7", NOW)
    assert not server.hits


def test_a_redirect_is_not_followed(certificates: Path) -> None:
    with HookServer(None) as second:
        location = f"http://127.0.0.1:{second.port}/"
        with HookServer(None, 307, location) as first:
            url = f"http://127.0.0.1:{first.port}/"
            with pytest.raises(HoldfastError, match="redirects are not followed"):
                send_webhook(channel(url), BODY, "7", NOW)
    assert not second.hits


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_an_answer_that_is_no_success_is_an_error(status: int) -> None:
    with HookServer(None, status) as server, pytest.raises(HoldfastError, match=str(status)):
        send_webhook(channel(f"http://127.0.0.1:{server.port}/"), BODY, "7", NOW)


def test_the_inside_is_refused_unless_an_admin_allowed_it(certificates: Path) -> None:
    with HookServer(certificates) as server:
        url = f"https://localhost:{server.port}/"
        with pytest.raises(HoldfastError, match="address of the inside"):
            send_webhook(channel(url, certificates, inside=False), BODY, "7", NOW)
    assert not server.hits


def test_a_name_is_resolved_once_so_that_it_cannot_change_its_mind() -> None:
    asked = []

    def rebind(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    with HookServer(None) as server:
        url = f"http://hook.example.org:{server.port}/"
        send_webhook(channel(url), BODY, "7", NOW, resolve=rebind)
    assert asked == ["hook.example.org"]
    assert server.hits[0].headers["Host"] == f"hook.example.org:{server.port}"


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1",
        "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_of_the_inside_are_known_in_every_spelling(text: str) -> None:
    assert is_inside(ipaddress.ip_address(text))
    with pytest.raises(HoldfastError):
        choose_address(["93.184.216.34", text], allow_private=False)


@pytest.mark.parametrize("text", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_addresses_outside_are_fine(text: str) -> None:
    assert choose_address([text], allow_private=False) == text


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WHOLE_S", 0.5)
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def drip() -> None:
        peer, _ = listener.accept()
        with peer:
            try:
                while not is_over.wait(0.05):
                    peer.sendall(b"H")
            except OSError:
                pass

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        with pytest.raises(HoldfastError):
            send_webhook(channel(f"http://127.0.0.1:{listener.getsockname()[1]}/"), BODY, "7", NOW)
    finally:
        is_over.set()
        thread.join()
        listener.close()
