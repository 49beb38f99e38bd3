"""A running box as tests talk to it: a real client, over real TLS, to a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from appliance.formats.audit import MARK_PLACE
from tests.command import ROOT

PASSWORD = "correct horse battery staple 9"
DEADLINE_S = 120.0
API = "/api/v1"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body; no JSON fails the test."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["content-type"].startswith("application/problem+json"), self.body
        return str(self.json()["code"])


@dataclass
class Client:
    """One browser, or one program with a token."""

    port: int
    authority: Path
    cookie: str | None = None
    token: str | None = None
    address: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=lambda: {"X-Holdfast": "1"})

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """Ask; `path` is below /api/v1 unless it begins with it or with //."""
        connection = self.connect()
        try:
            data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
            connection.request(method, self.url(path), data or None, self.head(headers, data))
            response = connection.getresponse()
            answer = Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
            self._keep(response.getheader("Set-Cookie"))
        finally:
            connection.close()
        return answer

    @staticmethod
    def url(path: str) -> str:
        return path[1:] if path.startswith("//") else API + path

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection(
            "127.0.0.1",
            self.port,
            timeout=DEADLINE_S,
            context=context,
            source_address=(self.address, 0),
        )

    def head(self, more: Mapping[str, str] | None, data: bytes = b"") -> dict[str, str]:
        headers = dict(self.headers)
        if data:
            headers["Content-Type"] = "application/json"
        if self.cookie:
            headers["Cookie"] = f"__Host-holdfast={self.cookie}"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return {**headers, **(more or {})}

    def _keep(self, header: str | None) -> None:
        if header is not None:
            found = SimpleCookie(header)["__Host-holdfast"]
            assert found["secure"]
            assert found["httponly"]
            assert found["samesite"] == "Strict"
            assert found["path"] == "/"
            self.cookie = found.value or None

    def get(self, path: str, *, expect: int = 200, **headers: str) -> Any:
        """The JSON of a GET."""
        answer = self.ask("GET", path, headers=headers)
        assert answer.status == expect, f"GET {path}: {answer.status} {answer.body!r}"
        return answer.json() if answer.body else None

    def post(self, path: str, body: Any = None, *, expect: int = 200, **more: Any) -> Any:
        """The JSON of a POST."""
        answer = self.ask("POST", path, body, **more)
        assert answer.status == expect, f"POST {path}: {answer.status} {answer.body!r}"
        return answer.json() if answer.body else None

    def run(self, verb: str, arguments: Any = None, *, expect: str = "done") -> Any:
        """A job to its end."""
        job = self.ask("POST", f"/run/{verb}?wait=60", arguments or {}).json()
        deadline_s = time.monotonic() + DEADLINE_S
        while job["ended_at"] is None and time.monotonic() < deadline_s:
            job = self.ask("GET", f"/jobs/{job['id']}").json()
        assert job["state"] == expect, job
        return job

    def wait_for(self, path: str, wanted: Any) -> Any:
        """What `path` answers as soon as `wanted` says so."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            value = self.get(path)
            if wanted(value):
                return value
            assert time.monotonic() < deadline_s, f"{path} stays {value}"
            time.sleep(0.1)

    def listen(self, last: str | None = None) -> Iterator[tuple[str, str, Any]]:
        """(id, event, data) of the events, until the connection ends."""
        connection = self.connect()
        head = self.head({} if last is None else {"Last-Event-ID": last})
        connection.request("GET", f"{API}/events", headers=head)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.getheader("Content-Type") == "text/event-stream"
        found: dict[str, str] = {}
        deadline_s = time.monotonic() + DEADLINE_S
        try:
            while line := response.readline():  # at least that it is still there
                assert time.monotonic() < deadline_s, f"nobody told what is waited for: {found}"
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    found[name] = value
                elif "data" in found:
                    yield found["id"], found["event"], json.loads(found["data"])
                    found = {}
        finally:
            connection.close()


class Box:
    """`holdfast serve` in a process of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = 0
        self.code = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start; answers when it is ready."""
        words = ["serve", "--listen", "127.0.0.1", "--port", str(self.port)]
        argv = [sys.executable, "-m", "appliance.cli.main", "--state", str(self.state), *words]
        more = {"PYTHONPATH": str(ROOT), **(environment or {})}
        self._process = subprocess.Popen(
            argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **more}
        )
        assert self._process.stderr is not None
        late = threading.Timer(DEADLINE_S, self._process.kill)
        late.daemon = True
        late.start()
        said = []
        for line in self._process.stderr:
            said.append(line)
            if found := re.search(r"https://[^:]+:(\d+)/", line):
                self.port = int(found[1])
            if found := re.search(r"setup code ([0-9A-Z-]+):", line):
                self.code = found[1]
            if line.endswith("ready\n"):
                late.cancel()
                self._reader = threading.Thread(target=self._process.stderr.read, daemon=True)
                self._reader.start()
                return
        raise AssertionError(f"the box did not start: {said}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(DEADLINE_S)
            self._reader.join(DEADLINE_S)
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None

    def client(self) -> Client:
        """Somebody without a session."""
        return Client(self.port, self.state / "tls" / "authority.pem")

    def set_up(self) -> Client:
        """The first administrator, with a store."""
        client = self.client()
        client.post("/setup/open", {"code": self.code}, expect=204)
        client.post("/setup/admin", {"user": "ann", "password": PASSWORD}, expect=204)
        made = client.post("/setup/store", {}, expect=201)
        assert "base32:" in made["recovery_key"]
        assert (self.state / "store" / MARK_PLACE).exists()  # a store knows its administrator
        return client
