"""A real `holdfast serve` on a state of its own, and the browser's requests without a browser."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"\b[0-9A-Z]{5}(?:-[0-9A-Z]{5}){3}\b")
DEADLINE_S = 120.0
USER, PASSWORD = "maria", "kelp anchors hold in storms"


class ServedBox:
    """One box; `close` ends it."""

    def __init__(
        self, state: Path, command: Sequence[str] = (sys.executable, "-m", "appliance.cli.main")
    ) -> None:
        self.state = state
        self._command = command
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self._said = state.with_name("serve.log")
        self._cookie = ""
        self.recovery_key = ""
        self._process = self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        argv = [*self._command, "--state", str(self.state), "serve"]
        argv += ["--listen", "127.0.0.1", "--port", str(self.port)]
        with self._said.open("wb") as said:
            process = subprocess.Popen(argv, stdout=said, stderr=said, cwd=ROOT, env=os.environ)
        deadline = time.monotonic() + DEADLINE_S
        while not self._answers():
            assert process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"no answer: {self.said()}"
            time.sleep(0.1)
        return process

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/setup")[0] == 200
        except OSError:
            return False

    def said(self) -> str:
        """What the daemon has printed."""
        return self._said.read_text(errors="replace")

    @property
    def setup_code(self) -> str:
        """As a person reads it on the screen of the box."""
        found = CODE.search(self.said())
        assert found, self.said()
        return found[0]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """(status, JSON) of a request of the page; the session's cookie is kept."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=ssl._create_unverified_context(), timeout=60
        )
        headers = {"X-Holdfast": "1", **({"Cookie": self._cookie} if self._cookie else {})}
        data = None if body is None else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, f"/api/v1{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
            if cookie := answer.headers.get("Set-Cookie"):
                self._cookie = cookie.partition(";")[0]
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None

    def must(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of a request that succeeds."""
        status, answer = self.ask(method, path, body)
        assert 200 <= status < 300, (method, path, status, answer)
        return answer

    def set_up(self) -> None:
        """The first administrator and the store, without the wizard."""
        self.must("POST", "/setup/open", {"code": self.setup_code})
        self.must("POST", "/setup/admin", {"user": USER, "password": PASSWORD})
        self.recovery_key = self.must("POST", "/setup/store", {})["recovery_key"]

    def run(self, verb: str, **values: object) -> Any:
        """A verb to its end; gives the job, or the answer of one that is none."""
        answer = self.must("POST", f"/run/{verb.replace(' ', '/')}", values)
        deadline = time.monotonic() + DEADLINE_S
        while answer.get("state") in ("queued", "running"):
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
            answer = self.must("GET", f"/jobs/{answer['id']}")
        return answer

    @property
    def cookie(self) -> Any:
        """The session, as a browser takes it."""
        name, _, value = self._cookie.partition("=")
        return {"name": name, "value": value, "url": self.url, "secure": True, "httpOnly": True}

    def close(self) -> None:
        """Ask it to end, and see that it does."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
