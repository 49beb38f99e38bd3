"""The daemon's side of a worker process: started or found again, watched, stopped.

Owns the process and the reading of its pipe. A worker outlives the daemon that started it; one
that starts later takes it over as if it were its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from appliance.base.errors import HoldfastError
from appliance.base.process import spawn
from appliance.catalog.job_table import JobProgress
from appliance.jobs.reporting import LOCK, NICE, ROOM
from appliance.jobs.workroom import Workroom

_PIPE_READ_BYTES = 64 << 10
_LINE_MAX_BYTES = 64 << 10
_FIRST_ACT_S = 30.0
"""A worker that was being started when the daemon died writes its pid within so long, or not."""
_LOOK_S = 0.05


class _Process(Protocol):
    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...


class Worker:
    """A running worker."""

    def __init__(self, room: Workroom, pid: int, handle: int, child: _Process | None) -> None:
        """`handle` is a pidfd: it names this process for ever, although pids are used again."""
        self.room = room
        self.pid = pid
        self._handle = handle
        self._child = child
        self._unread = b""
        self._is_over = False

    @classmethod
    def start(
        cls, room: Workroom, argv: Sequence[str], *, directory: str | None, is_nice: bool
    ) -> Worker:
        """Start `argv` in `room`. Raises HoldfastError. Blocks for a moment: not for the loop."""
        lock = room.prepare()
        try:
            environment = {
                ROOM: str(room.path),
                LOCK: str(lock),
                **({NICE: "1"} if is_nice else {}),
            }
            child = spawn(
                argv,
                log=room.log_file,
                cwd=None if directory is None else Path(directory),
                keep_descriptors=[lock],
                environment=environment,
            )
            return cls(room, child.pid, os.pidfd_open(child.pid), child)
        finally:
            os.close(lock)

    @classmethod
    async def adopt(cls, room: Workroom) -> Worker | None:
        """The worker that lives in `room` since an earlier daemon; None if there is none."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _FIRST_ACT_S
        while await asyncio.to_thread(room.is_taken):
            pid = room.worker_pid()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    handle = os.pidfd_open(pid)
                    if room.is_taken():  # so it was that process, and no later one of this pid
                        return cls(room, pid, handle, None)
                    os.close(handle)
            if loop.time() > deadline_s:
                raise HoldfastError(f"{room.lock} is held by a process that is no worker: end it")
            await asyncio.sleep(_LOOK_S)
        return None

    def cancel(self) -> None:
        """Ask it to stop."""
        self._send(signal.SIGINT)

    def kill(self) -> None:
        """End it, and what it started but let in its group."""
        if self._is_over:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._is_over:  # its handle is closed, and the number may be another file by now
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    async def attend(self, listener: Callable[[JobProgress], None]) -> int | None:
        """Tell `listener` where it stands until it ends; gives its exit code, if we learn it."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # Opened for both: a pipe without a writer would be readable for ever.
        pipe = os.open(self.room.progress, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        loop.add_reader(pipe, self._read, pipe, listener)
        loop.add_reader(self._handle, ended.set)
        try:
            await ended.wait()
            self._read(pipe, listener)
        finally:
            loop.remove_reader(pipe)
            loop.remove_reader(self._handle)
            self._is_over = True
            os.close(pipe)
            os.close(self._handle)
        return None if self._child is None else self._child.poll()

    def _read(self, pipe: int, listener: Callable[[JobProgress], None]) -> None:
        """Take what the pipe holds: the last whole line counts."""
        try:
            self._unread += os.read(pipe, _PIPE_READ_BYTES)
        except BlockingIOError:
            return
        *lines, self._unread = self._unread.split(b"\n")
        self._unread = self._unread[-_LINE_MAX_BYTES:]
        if lines:
            with contextlib.suppress(ValueError, TypeError):  # a torn line: the next one tells
                listener(JobProgress(**json.loads(lines[-1])))
