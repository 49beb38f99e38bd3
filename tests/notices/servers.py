"""A real mail server and a real HTTPS server on the loopback, with certificates of their own."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "box@example.org", "correct horse"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1 that is its own authority, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    argv += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(key)]
    argv += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return certificate, key


def make_server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class MailServer:
    """Takes mail with STARTTLS and a password, or without one but with TLS from the beginning.

    Without a folder of certificates it takes mail from everybody, in the clear.
    """

    def __init__(self, folder: Path | None, *, is_tls: bool = False) -> None:
        self.mails: list[Message] = []
        self.answer = "250 taken"
        context = None if folder is None else make_server_context(folder)
        options: dict[str, Any] = {}
        if context is not None and not is_tls:
            options = {
                "auth_required": True,
                "authenticator": self._authenticate,
                "tls_context": context,
                "require_starttls": True,
            }
        self._options = options
        self._context = context if is_tls else None
        self._loop = asyncio.new_event_loop()
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> MailServer:
        self._thread.start()
        assert self._is_ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        serving = loop.create_server(
            lambda: SMTP(self, loop=loop, **self._options), "127.0.0.1", 0, ssl=self._context
        )
        server = loop.run_until_complete(serving)
        self.port = server.sockets[0].getsockname()[1]
        self._is_ready.set()
        loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, how: str, who: object
    ) -> AuthResult:
        assert isinstance(who, LoginPassword)
        is_known = who == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_known, handled=is_known)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content))
        return self.answer


@dataclass
class Hit:
    path: str
    headers: dict[str, str]
    data: bytes

    def json(self) -> Any:
        return json.loads(self.data)


class HookServer:
    """Takes POSTs over HTTPS, or HTTP without a folder of certificates."""

    def __init__(self, folder: Path | None, status: int = 204, location: str = "") -> None:
        self.hits: list[Hit] = []
        self.status = status
        hits = self.hits
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                hits.append(Hit(self.path, dict(self.headers), data))
                self.send_response(owner.status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if folder is not None:
            context = make_server_context(folder)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> HookServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
