"""Daemons that tests start, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.errors import HoldfastError
from appliance.cli.daemon_link import DaemonGoneError, DaemonLink
from tests.command import ROOT, Holdfast, HoldfastHere

DEADLINE_S = 90.0


def poll(condition: Callable[[], Any], what: str) -> Any:
    """What `condition` gives as soon as that is something."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"in vain: {what}")


class Box:
    """A daemon on one state."""

    def __init__(self, state: Path, *argv: str) -> None:
        self.state = state
        self._argv = [sys.executable, "-m", *(argv or ("tests.daemon.box",)), str(state)]
        self.process: subprocess.Popen[bytes] | None = None
        self.log = state.parent / "daemon.log"
        state.mkdir(exist_ok=True)

    def start(self, **environment: str) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                cwd=ROOT,
            )
        poll(self._answers, f"an answer; it said: {self.log.read_text()}")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("hello"))
        except DaemonGoneError:
            return False

    def ask(self, do: str, **arguments: Any) -> Any:
        """One request."""
        with DaemonLink(self.state) as link:
            return link.ask(do, **arguments)

    def submit(self, verb: str, **arguments: Any) -> int:
        """A new job's number."""
        job = self.ask("submit", verb=verb, arguments=arguments, directory="/")
        return int(job["id"])

    def wait_for(self, job_id: int, *states: str) -> dict[str, Any]:
        """The job once it is in one of these states (default: over)."""

        def found() -> Any:
            job = self.ask("get", id=job_id)
            is_over = job["state"] not in ("queued", "running")
            return job if job["state"] in states or (not states and is_over) else None

        return dict(poll(found, f"job {job_id} to be {states or 'over'}"))

    def kill(self) -> None:
        """As a crash."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> float:
        """As systemd does; gives the seconds that it took."""
        assert self.process is not None
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - began_s

    def said(self) -> str:
        """What it said."""
        return self.log.read_text()


@pytest.fixture
def holdfast(state: Path) -> Iterator[Holdfast]:
    """The command in this process: it is the daemon that is a process of its own here."""
    command = HoldfastHere(state)
    yield command
    command.close()


@pytest.fixture
def box(state: Path) -> Iterator[Box]:
    """A box whose jobs are acted."""
    yield from _ended(Box(state))


@pytest.fixture
def real_box(state: Path) -> Iterator[Box]:
    """The real command."""
    options = ("--port", "0", "--listen", "127.0.0.1")
    found = Box(state, "appliance.cli.main", "serve", *options, "--state")
    yield from _ended(found)


def _ended(box: Box) -> Iterator[Box]:
    yield box
    if box.process is None:
        return
    if box.process.poll() is None:
        box.stop()
    else:  # its workers go on without it: another one ends them
        try:
            box.start()
            box.stop()
        except HoldfastError:
            box.kill()
