"""The one door to other programs: fixed argument vectors, never a shell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError

_LOW_PRIORITY = 10
_COLLECT_S = 1.0


def yield_to_others() -> None:
    """Let everybody else have processor and disk first, from now on in this process."""
    process = psutil.Process()
    with contextlib.suppress(psutil.Error, OSError):
        process.nice(_LOW_PRIORITY)
        process.ionice(psutil.IOPRIO_CLASS_IDLE)


def find_program(name: str, package: str) -> str:
    """The path of program `name`. Raises HoldfastError naming the Debian `package` if missing."""
    path = shutil.which(name)
    if path is None:
        raise HoldfastError(f"{name} is not installed: apt-get install {package}")
    return path


def run(
    argv: Sequence[str], *, timeout_s: float = 60.0, cwd: Path | None = None, stdin: str = ""
) -> str:
    """Run `argv` on the text `stdin` to its end and give its standard output.

    Raises HoldfastError with the last line the program said when it fails or does not end in time.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HoldfastError(f"{argv[0]} did not end within {timeout_s:.0f} s") from error
    except OSError as error:
        raise HoldfastError(f"{argv[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise HoldfastError(f"{argv[0]} failed: {said[-1] if said else done.returncode}")
    return done.stdout


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    keep_descriptors: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own so that it outlives us; its output goes to `log`.

    `environment` is added to ours.
    """
    with named_os_errors(log):
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=cwd,
            pass_fds=keep_descriptors,
            env=None if environment is None else {**os.environ, **environment},
            start_new_session=True,
        )
    except OSError as error:
        raise HoldfastError(f"{argv[0]}: {error.strerror}") from error
    finally:
        os.close(descriptor)


class Peer:
    """A program at the other end of a socket, and nothing else of ours."""

    def __init__(self, argv: Sequence[str], end: socket.socket) -> None:
        """Start `argv` with `end` as its standard input; what it prints is dropped.

        It inherits no other descriptor, and of the environment only what programs and modules are
        found by.
        """
        kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in kept if name in os.environ},
                start_new_session=True,
            )
        except OSError as error:
            raise HoldfastError(f"{argv[0]}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def describe_end(self, timeout_s: float = 5.0) -> str:
        """How it ended by itself, or that it did not within `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return "hung"
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else "ended"

    def kill(self) -> None:
        """End it now, and wait until it is gone."""
        self._process.kill()
        self._process.wait()


class Conversation:
    """A program that answers on its standard output what it is asked on its standard input.

    Made for programs that the kernel may hold for ever: nobody waits for them longer than they
    said, and an abandoned one is collected whenever it ends.
    """

    _abandoned: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, argv: Sequence[str]) -> None:
        """Raises HoldfastError when the program cannot be started."""
        self._abandoned[:] = [process for process in self._abandoned if process.poll() is None]
        try:
            self._process = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise HoldfastError(f"{argv[0]}: {error.strerror}") from error

    @property
    def is_running(self) -> bool:
        """Whether the program lives, abandoned or not."""
        return self._process.poll() is None

    def write(self, request: bytes) -> None:
        """Ask: at most PIPE_BUF bytes. Raises EOFError when the program has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
        except (OSError, ValueError) as error:
            raise EOFError from error

    def read(self, size_bytes: int, deadline_s: float) -> bytes:
        """Exactly `size_bytes` of the answer, before `deadline_s` of the monotonic clock.

        Raises TimeoutError when it is later, EOFError when the program ends before.
        """
        assert self._process.stdout is not None
        answer = bytearray()
        while len(answer) < size_bytes:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([self._process.stdout], [], [], left_s)[0]:
                raise TimeoutError
            piece = os.read(self._process.stdout.fileno(), size_bytes - len(answer))
            if not piece:
                raise EOFError
            answer += piece
        return bytes(answer)

    def close(self) -> None:
        """End the program without waiting for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        if self._process.poll() is None:
            self._process.kill()
            self._abandoned.append(self._process)


class Program:
    """A program whose output is read by an event loop; dies with whoever asked for it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said = deque[str](maxlen=20)
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start `argv` in a session of its own; `environment` is added to ours.

        Raises HoldfastError when it cannot be started.
        """
        try:
            return cls(
                await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            )
        except OSError as error:
            raise HoldfastError(f"{argv[0]}: {error.strerror}") from error

    async def read(self, size_bytes: int) -> bytes:
        """Some of its standard output; empty at the end."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(size_bytes)

    async def read_all(self, max_bytes: int) -> bytes:
        """All of its standard output. Raises HoldfastError if that is more than `max_bytes`."""
        pieces, count = [], 0
        while piece := await self.read(1 << 16):
            count += len(piece)
            if count > max_bytes:
                raise HoldfastError("a program said too much")
            pieces.append(piece)
        return b"".join(pieces)

    async def wait(self) -> int:
        """Its exit code, when it and what it says have come to an end."""
        await self._listener
        return await self._process.wait()

    def last_words(self) -> str:
        """The last line that it said on standard error."""
        return self._said[-1] if self._said else ""

    async def close(self) -> None:
        """End it if it still runs, without waiting for what the kernel may hold for ever."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._listener.cancel()
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_COLLECT_S):
                await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(1 << 16):
            for line in piece.decode("utf-8", "replace").splitlines():
                if line.strip():
                    self._said.append(line.strip()[:1000])
