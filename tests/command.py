"""The `holdfast` command as a test runs it: a process of its own, on a state of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Result:
    """What a finished command left behind."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")

    @property
    def err(self) -> str:
        """Standard error as text."""
        return self.stderr.decode(errors="replace")

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything else fails the test."""
        value = json.loads(self.stdout)
        assert isinstance(value, dict), f"not a JSON object: {self.out}"
        return value


class Holdfast:
    """Calls the command. What `start` started and still runs at the end of the test is killed."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._started: list[subprocess.Popen[bytes]] = []

    def __call__(
        self,
        *arguments: str | Path,
        expect: int | None = None,
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> Result:
        """Run to the end; with `expect` any other exit code fails the test with what was said.

        Raises subprocess.TimeoutExpired when it does not end within `timeout_s`.
        """
        argv = self.argv(*arguments)
        began_s = time.monotonic()
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            env=self._environment(environment),
            cwd=directory,
            check=False,
        )
        result = Result(
            tuple(argv), done.returncode, done.stdout, done.stderr, time.monotonic() - began_s
        )
        if expect is not None:
            words = " ".join(str(argument) for argument in arguments)
            assert result.code == expect, (
                f"holdfast {words}: exit {result.code}, not {expect}\n{result.out}\n{result.err}"
            )
        return result

    def start(
        self, *arguments: str | Path, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start and do not wait; standard output and error are pipes."""
        process = subprocess.Popen(
            self.argv(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(environment),
        )
        self._started.append(process)
        return process

    def argv(self, *arguments: str | Path) -> list[str]:
        """The argument vector of `holdfast --state STATE ARGUMENTS`."""
        words = [str(argument) for argument in arguments]
        return [sys.executable, "-m", "appliance.cli.main", "--state", str(self.state), *words]

    def close(self) -> None:
        """Kill what still runs, and close its pipes."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    @staticmethod
    def _environment(more: dict[str, str] | None) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if key != "HOLDFAST_STATE"}
        return {**inherited, "PYTHONPATH": str(ROOT), **(more or {})}
