"""One signed POST (docs/format/notice.md).

Owns where it may go: a name is resolved once, an address of the inside is refused unless an admin
allowed it, and the connection is made to that very address. No redirect is followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from appliance.base.errors import HoldfastError
from appliance.base.text import printable
from appliance.formats.notice_channel import WebhookChannel
from appliance.notices.failures import describe_failure
from appliance.notices.trust import make_context

SIGNATURE = "X-Holdfast-Signature"
DELIVERY = "X-Holdfast-Delivery"
CONNECT_S = 15.0
WHOLE_S = 60.0
"""However slowly a server talks, it is left after so long."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


def resolve_name(host: str, port: int) -> list[str]:
    """The addresses of a host. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]


def send_webhook(
    channel: WebhookChannel,
    body: Mapping[str, Any],
    number: str,
    now: datetime,
    resolve: Resolve = resolve_name,
) -> str:
    """Post a message and give the server's answer. Raises HoldfastError with what went wrong."""
    parts = urlsplit(channel.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    data = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "holdfast",
        DELIVERY: number,
        SIGNATURE: sign(channel.secret, int(now.timestamp()), data),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        address = choose_address(resolve(host, port), allow_private=channel.allow_private)
        with _Deadline(socket.create_connection((address, port), CONNECT_S)) as line:
            if parts.scheme == "https":
                context = make_context(channel.ca)
                line.stream = context.wrap_socket(line.stream, server_hostname=host)
            return _post(line.stream, parts.netloc, target, data, headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HoldfastError(f"{host}: {describe_failure(error)}") from error


def sign(secret: str, time_s: int, data: bytes) -> str:
    """`t=TIME,v1=HEX`: HMAC-SHA-256 over the time, a dot and the body."""
    digest = hmac.digest(secret.encode(), f"{time_s}.".encode() + data, hashlib.sha256)
    return f"t={time_s},v1={digest.hex()}"


def choose_address(texts: list[str], *, allow_private: bool) -> str:
    """The address to connect to. Raises HoldfastError if any of them is one of the inside.

    Not only the one that is used: a name that leads inside and outside was made for mischief.
    """
    addresses = [ipaddress.ip_address(text) for text in texts]
    if not addresses:
        raise HoldfastError("the name has no address")
    for address in addresses:
        if not allow_private and is_inside(address):
            raise HoldfastError(
                f"{address} is an address of the inside: an admin may add the channel again "
                "with --allow-private",
                code="private-address",
            )
    return str(addresses[0])


def is_inside(address: Address) -> bool:
    """Whether it leads to this box, its networks, or nowhere on the Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_inside(inner)
    return not address.is_global or address.is_multicast or address.is_reserved


def _post(
    stream: socket.socket, host: str, target: str, data: bytes, headers: Mapping[str, str]
) -> str:
    connection = http.client.HTTPConnection(host)
    connection.sock = stream
    connection.request("POST", target, data, {"Host": host, **headers})
    with connection.getresponse() as answer:
        said = f"{answer.status} {printable(answer.reason)[:100]}"
    if 300 <= answer.status < 400:
        raise HoldfastError(f"it said {said}: redirects are not followed", code="webhook-refused")
    if not 200 <= answer.status < 300:
        raise HoldfastError(f"it said {said}", code="webhook-refused")
    return said


class _Deadline:
    """Ends a conversation that goes on for too long, and closes its `stream`."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self._timer = threading.Timer(WHOLE_S, self._end)

    def _end(self) -> None:
        with suppress(OSError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.stream.close()
