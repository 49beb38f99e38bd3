"""The `holdfast` command as a test runs it: a process of its own, on a state of the test's own.

`HoldfastHere` is for tests that ask what a command does and says, not what a process leaves behind:
most of the time of a small command is the start of its interpreter.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 120.0


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


class Child(subprocess.Popen[bytes]):
    """A process that nobody waits for longer than WAIT_S: then the test fails, and says where."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        return super().wait(WAIT_S if timeout is None else timeout)

    def communicate(
        self, input: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """All that it says until it ends. Raises subprocess.TimeoutExpired."""
        return super().communicate(input, WAIT_S if timeout is None else timeout)

    def read_line(self) -> bytes:
        """What it says next; b"" when it has ended. One that is silent is killed, and fails."""
        assert self.stdout is not None
        silent = threading.Event()

        def give_up() -> None:
            silent.set()
            self.kill()

        timer = threading.Timer(WAIT_S, give_up)
        timer.start()
        line = self.stdout.readline()
        timer.cancel()
        timer.join()
        assert not silent.is_set(), f"{self.args!r} said nothing for {WAIT_S:.0f} s"
        return line


class Holdfast:
    """Calls the command. What `start` started and still runs at the end of the test is killed."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._started: list[Child] = []

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
        return _as_expected(result, arguments, expect)

    def start(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> Child:
        """Start and do not wait; standard output and error are pipes."""
        process = Child(
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


class HoldfastHere(Holdfast):
    """Calls the command in this process; what `start` starts is one of its own."""

    def __call__(
        self,
        *arguments: str | Path,
        expect: int | None = None,
        stdin: bytes = b"",
        timeout_s: float = 120.0,
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> Result:
        """As a `Holdfast`; in an environment or a folder of its own it is a process."""
        if environment or directory:
            return super().__call__(
                *arguments,
                expect=expect,
                stdin=stdin,
                timeout_s=timeout_s,
                environment=environment,
                directory=directory,
            )
        argv = self.argv(*arguments)
        began_s = time.monotonic()
        code, out, err = call_main(argv[argv.index("--state") :], stdin)
        result = Result(tuple(argv), code, out, err, time.monotonic() - began_s)
        return _as_expected(result, arguments, expect)


def call_main(words: list[str], stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """The command in this process: exit code, standard output, standard error."""
    from appliance.cli.main import main  # slow to import, and most tests start processes

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        tempfile.TemporaryFile() as file,
        io.TextIOWrapper(file, write_through=True) as out,
        io.TextIOWrapper(io.BytesIO(), write_through=True) as err,
        io.TextIOWrapper(io.BytesIO(stdin)) as given,
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "stdin", given)
        try:
            code = main(words)
        except SystemExit as end:  # what the parser does not understand
            code = end.code if isinstance(end.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out.flush()
        file.seek(0)
        return code, file.read(), err.buffer.getvalue()


def _as_expected(result: Result, arguments: tuple[str | Path, ...], expect: int | None) -> Result:
    if expect is not None:
        words = " ".join(str(argument) for argument in arguments)
        assert result.code == expect, (
            f"holdfast {words}: exit {result.code}, not {expect}\n{result.out}\n{result.err}"
        )
    return result
