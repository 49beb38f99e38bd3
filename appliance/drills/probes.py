"""One try of a check that goes over the network, or of a script.

Every function gives a few words on what it saw, and raises ProbeError, another HoldfastError or
OSError for anything but success. What guests answer is bounded, and shown, never believed.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import ssl
import stat
import struct
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.base import process
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.secret_file import read_secret
from appliance.drills.plan import HttpCheck, ScriptCheck, SqlCheck, SshCheck, TcpCheck
from appliance.recovery.guest_agent import GuestAgent
from appliance.recovery.monitor import Monitor
from appliance.recovery.qemu import list_connections
from appliance.recovery.ready import is_established
from appliance.recovery.runtime import poll

if TYPE_CHECKING:
    import asyncssh

_BODY_MAX_BYTES = 1 << 20
_BANNER_MAX_BYTES = 4096
_SHOWN = 80
# What libraries of databases raise where an answer is none: they trust their servers.
_GARBLED = (
    *(struct.error, ValueError, LookupError, ArithmeticError),
    *(TypeError, AttributeError, AssertionError, RuntimeError),
)


class ProbeError(HoldfastError):
    """The guest answers, but not what the check asks for, or does not answer."""


# ---- TCP and HTTP -------------------------------------------------------------------------------


def ask_tcp(check: TcpCheck, host: str, port: int, gateway: Path | None, timeout_s: float) -> str:
    """Connect. Behind a `gateway` the guest's own side must have taken the connection.

    QEMU takes every connection itself and only then asks the guest, so that having connected to a
    door proves nothing; its table, or a banner, does.
    """
    with socket.create_connection((host, port), timeout_s) as connection:
        if check.banner is not None:
            return _read_banner(connection, check.banner)
        if gateway is not None and not _is_taken(gateway, port, timeout_s):
            raise ProbeError(f"nothing takes connections on port {check.port}")
    return "connected"


def _is_taken(gateway: Path, port: int, timeout_s: float) -> bool:
    def look() -> bool:
        with Monitor(gateway) as monitor:
            return is_established(list_connections(monitor), str(port))

    return poll(look, min(timeout_s, 3.0))


def _read_banner(connection: socket.socket, banner: str) -> str:
    received = b""
    while banner.encode() not in received:
        more = connection.recv(_BANNER_MAX_BYTES)
        received += more
        if not more or len(received) > _BANNER_MAX_BYTES:
            raise ProbeError(f"it says {_shown(received)}")
    return f"it says {_shown(received)}"


def ask_http(check: HttpCheck, host: str, port: int, timeout_s: float) -> str:
    """Get the page; its status must be the one asked for, and the text must stand in it."""
    connection = _connect_http(check, host, port, timeout_s)
    with closing(connection):
        try:
            connection.request("GET", check.path, headers={"Host": check.host or "localhost"})
            answer = connection.getresponse()
            body = answer.read(_BODY_MAX_BYTES)
        except (http.client.HTTPException, ValueError) as error:
            raise ProbeError(f"no HTTP: {type(error).__name__}") from error
    if answer.status != check.status:
        raise ProbeError(f"status {answer.status}")
    if check.contains is not None and check.contains.encode() not in body:
        raise ProbeError(f"status {answer.status}, but not '{check.contains}' in {len(body)} bytes")
    return f"status {answer.status}, {len(body)} bytes"


def _connect_http(
    check: HttpCheck, host: str, port: int, timeout_s: float
) -> http.client.HTTPConnection:
    if not check.tls:
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = ssl.create_default_context()
    context.check_hostname = False  # it is reached under another name than users do
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


# ---- guest agent and databases -------------------------------------------------------------------


def ask_agent(folder: Path) -> str:
    """Ask the guest agent of the VM in `folder` what it is."""
    with closing(GuestAgent(folder)) as agent:
        version = agent.ask("guest-info").get("version")
    return f"guest agent {_shown(str(version).encode())}"


def ask_mariadb(check: SqlCheck, host: str, port: int, timeout_s: float) -> str:
    """Ask a MariaDB or MySQL server."""
    import pymysql  # noqa: PLC0415  slow to import, and few checks need it

    try:
        with closing(
            pymysql.connect(
                host=host,
                port=port,
                user=check.user,
                password=_read_password(check.password_file),
                database=check.database,
                connect_timeout=max(1, int(timeout_s)),
                read_timeout=max(1, int(timeout_s)),
                write_timeout=max(1, int(timeout_s)),
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(check.query)
            row = cursor.fetchone()
    except (pymysql.Error, *_GARBLED) as error:
        raise ProbeError(f"MariaDB: {_last(error)}") from error
    return _compare(check, None if row is None else row[0])


def ask_postgresql(check: SqlCheck, host: str, port: int, timeout_s: float) -> str:
    """Ask a PostgreSQL server."""
    import pg8000.dbapi  # noqa: PLC0415  slow to import, and few checks need it

    try:
        # A socket of our own, because a connection that is refused leaves its own open.
        with (
            socket.create_connection((host, port), timeout_s) as channel,
            closing(
                pg8000.dbapi.connect(
                    user=check.user,
                    database=check.database or check.user,
                    password=_read_password(check.password_file),
                    sock=channel,
                )
            ) as connection,
        ):
            cursor = connection.cursor()
            cursor.execute(check.query)
            row = cursor.fetchone()
    except (pg8000.dbapi.Error, *_GARBLED) as error:
        raise ProbeError(f"PostgreSQL: {_last(error)}") from error
    return _compare(check, None if row is None else row[0])


def _read_password(path: str | None) -> str:
    return "" if path is None else read_secret(Path(path))


def _last(error: Exception) -> str:
    """What the server said; both libraries put it last, PostgreSQL's as a table of letters."""
    said = error.args[-1] if error.args else type(error).__name__
    return str(said.get("M", said) if isinstance(said, dict) else said)


def _compare(check: SqlCheck, value: object) -> str:
    said = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    if check.expect is not None and said != check.expect:
        raise ProbeError(f"the answer is {_shown(said.encode())}")
    return f"the answer is {_shown(said.encode())}"


# ---- SSH and scripts ----------------------------------------------------------------------------


def ask_ssh(check: SshCheck, host: str, port: int, timeout_s: float) -> str:
    """Run the command in the guest. It must end with 0, and print what is expected."""
    return asyncio.run(_ask_ssh(check, host, port, timeout_s))


async def _ask_ssh(check: SshCheck, host: str, port: int, timeout_s: float) -> str:
    import asyncssh  # noqa: PLC0415  slow to import, and few checks need it

    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    try:
        keys = [] if check.host_key is None else [asyncssh.import_public_key(check.host_key)]
        async with (
            asyncio.timeout(timeout_s),
            asyncssh.connect(
                host,
                port,
                username=check.user,
                password=_read_password(check.password_file) or None,
                client_keys=[check.key_file] if check.key_file else None,
                known_hosts=(keys, [], []) if keys else None,
                agent_path=None,
                config=None,
            ) as connection,
        ):
            running = await connection.create_process(
                check.command, encoding=None, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT
            )
            said = await _read_all(running.stdout)
            await running.wait_closed()
    except TimeoutError as error:
        raise ProbeError("SSH: no answer in time") from error
    except (asyncssh.Error, ValueError) as error:
        raise ProbeError(f"SSH: {error or type(error).__name__}") from error
    if running.exit_status != 0:
        raise ProbeError(f"the command ended with {running.exit_status}: {_shown(said)}")
    if check.expect is not None and check.expect.encode() not in said:
        raise ProbeError(f"it printed {_shown(said)}")
    return f"it printed {_shown(said)}"


async def _read_all(stream: asyncssh.SSHReader[bytes]) -> bytes:
    """What a command prints. Raises ProbeError when that is more than memory should hold."""
    said = b""
    while more := await stream.read(_BODY_MAX_BYTES):
        said += more
        if len(said) > _BODY_MAX_BYTES:
            raise ProbeError(f"the command prints more than {_BODY_MAX_BYTES >> 20} MiB")
    return said


def run_script(
    check: ScriptCheck, machine: str, host: str, ports: Mapping[int, int], timeout_s: float
) -> str:
    """Run the program, which only its owner may change. It must end with 0."""
    program = Path(check.argv[0])
    try:
        mode = program.stat().st_mode
    except OSError as error:
        raise UsageError(f"{program}: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"{program} may be changed by others than its owner: chmod go-w")
    put = {"{machine}": machine, "{host}": host}
    put |= {f"{{port:{guest}}}": str(port) for guest, port in ports.items()}
    said = process.run([_fill(word, put) for word in check.argv], timeout_s=timeout_s)
    return f"it printed {_shown(said.encode())}"


def _fill(word: str, put: Mapping[str, str]) -> str:
    for name, value in put.items():
        word = value.join(word.split(name))
    return word


def _shown(said: bytes) -> str:
    text = said.decode(errors="replace").strip()
    return f"'{text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}'"
