"""Disks of points over NBD, read-only: for QEMU, libnbd, the kernel's client of other machines.

Owns connections and what they may cost: as many as `CONNECTIONS_MAX`, each with a few threads that
take turns in reading requests, so that one slow answer does not hold up the next and no queue
grows. Never decides which point is served, nor who may connect (see `nbd_listen`).
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.formats import nbd
from appliance.recovery.nbd_handshake import CONTEXT_ID, Agreement, Handshake
from appliance.recovery.points_view import DiskReader
from appliance.sources.wire import HungUpError, receive, send

CONNECTIONS_MAX = 64
HANDSHAKE_TIMEOUT_S = 30.0
_THREADS = 4
_TURN_S = 0.2

_log = logging.getLogger(__name__)


class NbdServer:
    """Serves some disks by the names of their exports, the first without a name too."""

    def __init__(self, disks: Mapping[str, DiskReader], tls: ssl.SSLContext | None = None) -> None:
        self._disks = disks
        self._tls = tls
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def serve(self, listener: socket.socket, progress: Progress) -> None:
        """Take connections until `progress` is cancelled, which raises Cancelled.

        On the way out all connections are cut.
        """
        listener.settimeout(_TURN_S)
        try:
            while True:
                progress.check()
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                if not self._room.acquire(blocking=False):
                    connection.close()
                    continue
                self._start(connection)
        finally:
            self._cut_all()

    def _start(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        connection.settimeout(HANDSHAKE_TIMEOUT_S)
        threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, accepted: socket.socket) -> None:
        handshake = Handshake(accepted, self._disks, self._tls)
        try:
            agreement = handshake.run()
            if agreement is not None:
                _Transmission(handshake.connection, agreement).run()
        except (HoldfastError, OSError) as error:
            if not isinstance(error, HungUpError | ConnectionError):
                _log.warning("a connection ended: %s", error)
        finally:
            with self._lock:
                self._open.discard(accepted)
            for connection in (handshake.connection, accepted):
                connection.close()
            self._room.release()

    def _cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Transmission:
    """Requests of one connection and their replies."""

    def __init__(self, connection: socket.socket, agreement: Agreement) -> None:
        self._connection = connection
        self._disk = agreement.disk
        self._agreement = agreement
        self._receiving = threading.Lock()
        self._sending = threading.Lock()
        self._is_over = False

    def run(self) -> None:
        """Answer until the client hangs up."""
        self._connection.settimeout(None)
        # A TLS connection cannot be read and written at once.
        more = 0 if isinstance(self._connection, ssl.SSLSocket) else _THREADS - 1
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(more)]
        for thread in threads:
            thread.start()
        self._work()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        try:
            while True:
                with self._receiving:
                    request = None if self._is_over else self._receive()
                if request is None:
                    break
                self._answer(request)
        except (HoldfastError, OSError) as error:
            if not isinstance(error, HungUpError | ConnectionError):
                _log.warning("a connection ended: %s", error)
        finally:
            self._is_over = True
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> nbd.Request | None:
        request = nbd.decode_request(receive(self._connection, nbd.REQUEST.size))
        if request.kind == nbd.CMD_DISCONNECT:
            self._is_over = True
            return None
        if request.kind == nbd.CMD_WRITE:
            if request.length > nbd.REQUEST_MAX_BYTES:
                raise IntegrityError("NBD: a client sends more than a request may hold")
            receive(self._connection, request.length)
        return request

    def _answer(self, request: nbd.Request) -> None:
        end = request.offset + request.length
        if request.kind == nbd.CMD_FLUSH:
            self._done(request)
        elif request.kind not in (nbd.CMD_READ, nbd.CMD_BLOCK_STATUS):
            self._refuse(request, nbd.EPERM, "this disk is read-only")
        elif end > self._disk.size_bytes or not request.length:
            self._refuse(request, nbd.EINVAL, "that is not on the disk")
        elif request.kind == nbd.CMD_BLOCK_STATUS:
            self._tell_status(request)
        elif request.length > nbd.REQUEST_MAX_BYTES:
            self._refuse(request, nbd.EINVAL, "that is too much for one request")
        else:
            self._read(request)

    def _read(self, request: nbd.Request) -> None:
        try:
            data = self._disk.read(request.offset, request.length)
        except HoldfastError as error:
            _log.error("%s", error)
            self._refuse(request, nbd.EIO, str(error))
            return
        if self._agreement.is_structured:
            length = nbd.OFFSET.size + len(data)
            head = nbd.CHUNK.pack(
                nbd.CHUNK_MAGIC, nbd.CHUNK_DONE, nbd.CHUNK_DATA, request.cookie, length
            )
            self._send(head + nbd.OFFSET.pack(request.offset), data)
        else:
            self._send(nbd.SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, 0, request.cookie), data)

    def _tell_status(self, request: nbd.Request) -> None:
        if not self._agreement.has_status:
            self._refuse(request, nbd.EINVAL, "no context was chosen")
            return
        runs = self._disk.runs(request.offset, request.length)
        if request.flags & nbd.FLAG_REQ_ONE:
            del runs[1:]
        statuses = [nbd.Status(length, 0 if has_data else _ZEROS) for length, has_data in runs]
        payload = nbd.encode_statuses(CONTEXT_ID, statuses)
        kind = nbd.CHUNK_BLOCK_STATUS
        self._send(nbd.encode_chunk(nbd.CHUNK_DONE, kind, request.cookie, payload))

    def _done(self, request: nbd.Request) -> None:
        if self._agreement.is_structured:
            self._send(nbd.encode_chunk(nbd.CHUNK_DONE, nbd.CHUNK_NONE, request.cookie))
        else:
            self._send(nbd.SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, 0, request.cookie))

    def _refuse(self, request: nbd.Request, error: int, reason: str) -> None:
        if not self._agreement.is_structured:
            self._send(nbd.SIMPLE_REPLY.pack(nbd.SIMPLE_REPLY_MAGIC, error, request.cookie))
            return
        text = reason.encode()[:_REASON_MAX_BYTES]
        payload = nbd.ERROR.pack(error, len(text)) + text
        self._send(nbd.encode_chunk(nbd.CHUNK_DONE, nbd.CHUNK_ERROR, request.cookie, payload))

    def _send(self, *parts: bytes) -> None:
        with self._sending:
            send(self._connection, *parts)


_ZEROS = nbd.STATE_HOLE_OF_ZEROS
_REASON_MAX_BYTES = 1024
