"""Where NBD is served and who may come: a Unix socket of the owner, or TCP with certificates.

Owns sockets and the TLS context. Plain TCP stays on the loopback: a disk must not be readable by
whoever reaches the port.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from appliance.base.durable import named_os_errors
from appliance.base.errors import (
    BusyError,
    HoldfastError,
    NotFoundError,
    UsageError,
)
from appliance.sources.wire import bind_unix, connect_unix

PORT = 10809  # assigned to NBD by IANA
_NAMES = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
_ASK_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Address:
    """A host and a port to listen on; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST`, `HOST:PORT` or `[IPv6]:PORT`. Raises UsageError."""
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port = text, str(PORT)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise UsageError(f"'{text}' is no address: HOST, HOST:PORT or [IPv6]:PORT")
        return cls(host, int(port))


def load_certificates(directory: Path) -> ssl.SSLContext:
    """A TLS context that asks clients for a certificate of the same authority.

    The names of the files are those of QEMU and libnbd. Raises NotFoundError for a missing file,
    UsageError for one that is none.
    """
    authority, certificate, key = (directory / name for name in _NAMES)
    for path in (authority, certificate, key):
        if not path.is_file():
            raise NotFoundError(f"{path} is missing: TLS needs {', '.join(_NAMES)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{directory}: these certificates do not work: {error}") from error
    return context


def listen_unix(path: Path) -> socket.socket:
    """Listen on `path`; a socket that nobody serves any more is replaced.

    Raises BusyError if somebody serves it, UsageError if it is something else.
    """
    if path.is_socket():
        try:
            connect_unix(path, _ASK_TIMEOUT_S).close()
        except HoldfastError:
            path.unlink(missing_ok=True)
        else:
            raise BusyError(f"{path} is served by another process")
    elif path.exists():
        raise UsageError(f"{path} exists and is no socket: choose another name")
    return bind_unix(path)


def listen_tcp(address: Address, tls: ssl.SSLContext | None) -> socket.socket:
    """Listen on `address`. Raises UsageError without TLS on anything but the loopback."""
    family, found = _resolve(address)
    if tls is None:
        check_loopback(address)
    with named_os_errors(f"{address.host}:{address.port}"):
        listener = socket.create_server(found, family=family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def check_loopback(address: Address) -> None:
    """Raises UsageError for an address that others can reach."""
    _, found = _resolve(address)
    if not ipaddress.ip_address(found[0]).is_loopback:
        raise UsageError(
            f"{address.host}:{address.port} can be reached by others: give --tls-certificates DIR, "
            "or 127.0.0.1"
        )


def _resolve(address: Address) -> tuple[int, tuple[str, int]]:
    with named_os_errors(f"{address.host}:{address.port}"):
        family, _, _, _, found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    return family, (str(found[0]), int(found[1]))
