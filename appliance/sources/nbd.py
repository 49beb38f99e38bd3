"""A disk that some NBD server serves: an address, connections to it, and the disk as a source.

Owns the client's side of the protocol. Never retries: a server that goes away is an error that
names it.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError, UsageError
from appliance.formats import nbd
from appliance.sources.wire import connect_unix, receive, receive_into, send

PORT = 10809  # assigned to NBD by IANA
TIMEOUT_S = 60.0
_REPLY_MAX_BYTES = 33 << 20
_REQUEST_BYTES = 4 << 20


@dataclass(frozen=True)
class NbdAddress:
    """Where a disk is served: a Unix socket or a host, and the name of the export."""

    export: str = ""
    unix: Path | None = None
    host: str = "localhost"
    port: int = PORT
    certificates: Path | None = None
    is_tls: bool = False

    @classmethod
    def parse(cls, text: str) -> NbdAddress | None:
        """Read `nbd://HOST:PORT/EXPORT`, `nbds://...`, `nbd+unix:///EXPORT?socket=PATH`.

        None for what is no such address at all; raises UsageError for a wrong one.
        """
        if not text.startswith(("nbd:", "nbds:", "nbd+unix:", "nbds+unix:")):
            return None
        try:
            parts = urlsplit(text)
            port = parts.port or PORT
        except ValueError as error:
            raise UsageError(f"'{text}' is no NBD address: {error}") from error
        options = parse_qs(parts.query)
        is_unix = parts.scheme.endswith("+unix")
        if is_unix and "socket" not in options:
            raise UsageError(f"'{text}' names no socket: nbd+unix:///EXPORT?socket=PATH")
        certificates = options.get("tls-certificates")
        return cls(
            export=unquote(parts.path.removeprefix("/")),
            unix=Path(options["socket"][0]) if is_unix else None,
            host=parts.hostname or "localhost",
            port=port,
            certificates=Path(certificates[0]) if certificates else None,
            is_tls=parts.scheme.startswith("nbds"),
        )

    def __str__(self) -> str:
        scheme = "nbds" if self.is_tls else "nbd"
        if self.unix is not None:
            return f"{scheme}+unix:///{self.export}?socket={self.unix}"
        return f"{scheme}://{self.host}:{self.port}/{self.export}"


class NbdClient:
    """One connection, which does one thing at a time. Not for several threads at once."""

    def __init__(self, address: NbdAddress, contexts: Sequence[str] = ()) -> None:
        """Connect and choose the export.

        `contexts` are those of block status that are wanted. Raises NotFoundError where there is
        no such export, HoldfastError for any other failure.
        """
        self.address = address
        self.context_ids: dict[int, str] = {}
        self._cookie = 0
        with self._named():
            self._connection = _connect(address)
        try:
            with self._named():
                self.size_bytes, self.flags = self._agree(contexts)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> NbdClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            with named_os_errors(str(self.address)):
                yield
        except ssl.SSLError as error:
            raise HoldfastError(f"{self.address}: {error}") from error
        except (IntegrityError, HoldfastError) as error:
            if str(self.address) in str(error):
                raise
            raise HoldfastError(f"{self.address}: {error}") from error

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` from `offset`. Raises HoldfastError where the server cannot read."""
        with self._named():
            for start in range(0, len(out), _REQUEST_BYTES):
                part = out[start : start + _REQUEST_BYTES]
                self._ask(nbd.CMD_READ, offset + start, len(part))
                self._take_reply(part, offset + start)

    def write(self, offset: int, data: memoryview) -> None:
        """Write `data`; durable after `flush`."""
        with self._named():
            for start in range(0, len(data), _REQUEST_BYTES):
                part = data[start : start + _REQUEST_BYTES]
                self._ask(nbd.CMD_WRITE, offset + start, len(part), part)
                self._take_reply()

    def flush(self) -> None:
        """Make what was written durable where the server lives."""
        if self.flags & nbd.SEND_FLUSH:
            with self._named():
                self._ask(nbd.CMD_FLUSH, 0, 0)
                self._take_reply()

    def statuses(self, offset: int, length: int) -> list[nbd.Status]:
        """States from `offset` on, in the one context that was asked for and is there."""
        with self._named():
            self._ask(nbd.CMD_BLOCK_STATUS, offset, min(length, nbd.STATUS_MAX_BYTES - 4096))
            payload = self._take_reply(wants=nbd.CHUNK_BLOCK_STATUS)
            return nbd.decode_statuses(payload)[1]

    def close(self) -> None:
        """Say goodbye and hang up."""
        with suppress(OSError, HoldfastError):
            self._ask(nbd.CMD_DISCONNECT, 0, 0)
        self._connection.close()

    # ---- requests and replies ----

    def _ask(self, kind: int, offset: int, length: int, data: memoryview | None = None) -> None:
        self._cookie += 1
        request = nbd.encode_request(nbd.Request(0, kind, self._cookie, offset, length))
        send(self._connection, request, *([] if data is None else [data]))

    def _take_reply(
        self, out: memoryview | None = None, offset: int = 0, wants: int = nbd.CHUNK_NONE
    ) -> bytes:
        found = b""
        while True:
            head = receive(self._connection, nbd.NUMBER.size)
            magic = nbd.NUMBER.unpack(head)[0]
            if magic == nbd.SIMPLE_REPLY_MAGIC:
                head += receive(self._connection, nbd.SIMPLE_REPLY.size - len(head))
                _, error, cookie = nbd.SIMPLE_REPLY.unpack(head)
                self._check(cookie, error, "")
                if out is not None:
                    receive_into(self._connection, out)
                return found
            if magic != nbd.CHUNK_MAGIC:
                raise IntegrityError("NBD: not a reply")
            head += receive(self._connection, nbd.CHUNK.size - len(head))
            _, flags, kind, cookie, length = nbd.CHUNK.unpack(head)
            if length > _REPLY_MAX_BYTES:
                raise IntegrityError("NBD: a reply is longer than it may be")
            payload = self._take_chunk(kind, cookie, length, out, offset)
            found = payload if kind == wants else found
            if flags & nbd.CHUNK_DONE:
                return found

    def _take_chunk(
        self, kind: int, cookie: int, length: int, out: memoryview | None, offset: int
    ) -> bytes:
        if kind == nbd.CHUNK_DATA and out is not None and length > nbd.OFFSET.size:
            at = nbd.OFFSET.unpack(receive(self._connection, nbd.OFFSET.size))[0] - offset
            count = length - nbd.OFFSET.size
            if at < 0 or at + count > len(out):
                raise IntegrityError("NBD: bytes that nobody asked for")
            receive_into(self._connection, out[at : at + count])
            return b""
        payload = receive(self._connection, length)
        if kind & nbd.CHUNK_ERROR_BIT:
            error = nbd.NUMBER.unpack_from(payload.ljust(nbd.NUMBER.size))[0]
            self._check(cookie, error or nbd.EIO, payload[6:].decode(errors="replace"))
        elif kind == nbd.CHUNK_HOLE and out is not None and length == _HOLE_BYTES:
            at = nbd.OFFSET.unpack_from(payload)[0] - offset
            count = nbd.NUMBER.unpack_from(payload, nbd.OFFSET.size)[0]
            if at < 0 or at + count > len(out):
                raise IntegrityError("NBD: bytes that nobody asked for")
            out[at : at + count] = bytes(count)
        return payload

    def _check(self, cookie: int, error: int, reason: str) -> None:
        if cookie != self._cookie:
            raise IntegrityError("NBD: an answer to another question")
        if error:
            raise HoldfastError(f"{self.address}: {reason or f'the server says error {error}'}")

    # ---- handshake ----

    def _agree(self, contexts: Sequence[str]) -> tuple[int, int]:
        if receive(self._connection, len(nbd.GREETING)) != nbd.GREETING:
            raise IntegrityError("NBD: nobody there speaks this protocol")
        flags = int.from_bytes(receive(self._connection, 2), "big")
        send(self._connection, (flags & 3).to_bytes(4, "big"))
        if self.address.is_tls:
            self._option(nbd.OPT_STARTTLS)
            context = _client_tls(self.address.certificates)
            self._connection = context.wrap_socket(
                self._connection, server_hostname=self.address.host
            )
        self._option(nbd.OPT_STRUCTURED_REPLY)
        if contexts:
            query = nbd.encode_meta_query(self.address.export, contexts)
            for kind, data in self._option(nbd.OPT_SET_META_CONTEXT, query):
                if kind == nbd.REP_META_CONTEXT and len(data) > nbd.NUMBER.size:
                    number = nbd.NUMBER.unpack_from(data)[0]
                    self.context_ids[number] = data[nbd.NUMBER.size :].decode(errors="replace")
        go = nbd.encode_name(self.address.export) + bytes(2)
        for kind, data in self._option(nbd.OPT_GO, go):
            info = nbd.decode_export_info(data) if kind == nbd.REP_INFO else None
            if info is not None:
                return info
        raise IntegrityError("NBD: the server does not say how large the disk is")

    def _option(self, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """What the server answers to an option that it must know."""
        send(self._connection, nbd.encode_option(option, data))
        return list(_take_answers(self._connection, option, str(self.address)))


def list_exports(address: NbdAddress) -> list[str]:
    """The names of what is served there, in the server's order."""
    with named_os_errors(str(address)):
        connection = _connect(address)
        try:
            receive(connection, len(nbd.GREETING) + 2)
            send(connection, (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES).to_bytes(4, "big"))
            send(connection, nbd.encode_option(nbd.OPT_LIST))
            answers = list(_take_answers(connection, nbd.OPT_LIST, str(address)))
            send(connection, nbd.encode_option(nbd.OPT_ABORT))
        finally:
            connection.close()
    return [nbd.decode_name(data)[0] for kind, data in answers if kind == nbd.REP_SERVER]


def _take_answers(connection: socket.socket, option: int, name: str) -> Iterator[tuple[int, bytes]]:
    while True:
        head = receive(connection, nbd.OPTION_REPLY.size)
        magic, about, kind, length = nbd.OPTION_REPLY.unpack(head)
        if magic != nbd.OPTION_REPLY_MAGIC or about != option or length > nbd.OPTION_MAX_BYTES:
            raise IntegrityError("NBD: not an answer to an option")
        data = receive(connection, length)
        if kind == nbd.REP_ERR_UNKNOWN:
            raise NotFoundError(f"{name}: the server has no such disk")
        if kind & nbd.REP_ERR:
            reason = data.decode(errors="replace") or f"it refuses option {option}"
            raise HoldfastError(f"{name}: {reason}")
        if kind == nbd.REP_ACK:
            return
        yield kind, data


def _connect(address: NbdAddress) -> socket.socket:
    if address.unix is not None:
        return connect_unix(address.unix, TIMEOUT_S)
    connection = socket.create_connection((address.host, address.port), TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _client_tls(certificates: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificates is not None:
        context.load_verify_locations(certificates / "ca-cert.pem")
        own = certificates / "client-cert.pem"
        if own.exists():
            context.load_cert_chain(own, certificates / "client-key.pem")
    return context


_HOLE_BYTES = nbd.OFFSET.size + nbd.NUMBER.size


class NbdSource:
    """A served disk as the source of a backup, read by several threads at once."""

    def __init__(self, address: NbdAddress, label: str) -> None:
        """`label` is what a point calls it. Raises as `NbdClient` does."""
        self.label = label
        self.kind = "image"
        self.is_inconsistent = False
        self.descriptor: int | None = None
        self._address = address
        self._local = threading.local()
        self._lock = threading.Lock()
        self._clients: list[NbdClient] = []
        self.size_bytes = self._client().size_bytes

    def _client(self) -> NbdClient:
        """This thread's own connection."""
        client: NbdClient | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = NbdClient(self._address)
            with self._lock:
                self._clients.append(client)
        return client

    def has_data(self, start: int, end: int) -> bool:
        """Always: what may be left out is known from the list of changes."""
        return start < end

    def read(self, offset: int, out: memoryview) -> list[tuple[int, int]]:
        """Fill `out`. Raises HoldfastError where that fails: a disk of ours has no bad sectors."""
        self._client().read_into(offset, out)
        return []

    def close(self) -> None:
        """Hang up everywhere."""
        for client in self._clients:
            client.close()
