"""Talks with a running QEMU over QMP, from code that is not asynchronous.

Owns connections. A QEMU serves one at a time, so each is short: connect, ask, disconnect.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import ConnectError, QMPClient, QMPError

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError

SOCKET = "qmp.sock"
TIMEOUT_S = 15.0
_RETRY_S = 0.02
_T = TypeVar("_T")


class MonitorError(HoldfastError):
    """QEMU does not answer, or says no."""


class Monitor:
    """A connection to the QEMU that runs in `folder`, from `__enter__` to `__exit__`."""

    def __init__(self, folder: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._folder = folder
        self._timeout_s = timeout_s

    def __enter__(self) -> Monitor:
        """Connect. Raises MonitorError if nobody answers within the timeout."""
        self._runner = asyncio.Runner()
        try:
            # A socket's address holds 107 bytes and a folder's path may be longer.
            folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
            try:
                self._connect(f"/proc/self/fd/{folder}/{SOCKET}")
            finally:
                os.close(folder)
        except OSError as error:
            self._runner.close()
            raise MonitorError(f"{self._folder}: {error.strerror}") from error
        except BaseException:
            self._runner.close()
            raise
        return self

    def _connect(self, address: str) -> None:
        """Until it is done, nobody listens, or time is over.

        What QEMU has to tell at that moment may come before its greeting, and who waits for another
        client to go may be turned away: both are over when it is tried again.
        """
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + self._timeout_s
        while True:
            self._client = QMPClient()
            self._client.logger.disabled = True  # what it would log is raised as well
            try:
                self._run(_begin(self._client, address))
            except MonitorError as error:
                if _is_refused(error) or clock.monotonic_s() >= deadline_s:
                    raise
                clock.sleep_s(_RETRY_S)
            else:
                return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect; a QEMU that has ended meanwhile is fine."""
        with suppress(MonitorError):
            self._run(self._client.disconnect())
        self._runner.close()

    def ask(self, command: str, **arguments: object) -> Any:
        """What QEMU returns to `command`. Raises MonitorError if it refuses or is gone."""
        return self._run(self._client.execute(command, arguments))

    def run_state(self) -> str:
        """`running`, `paused`, `internal-error`, `io-error`, ... (RunState of QEMU's QAPI)."""
        return str(self.ask("query-status")["status"])

    def _run(self, conversation: Coroutine[Any, Any, _T]) -> _T:
        try:
            return self._runner.run(asyncio.wait_for(conversation, self._timeout_s))
        except (QMPError, EOFError, OSError, TimeoutError) as error:
            raise MonitorError(f"QEMU in {self._folder}: {error or 'no answer'}") from error


async def _begin(client: QMPClient, address: str) -> None:
    """Connect. Raises QMPError, EOFError or OSError."""
    try:
        await client.connect(address)
    except AssertionError as error:
        # The library takes for granted that who has just greeted it is still there.
        with suppress(QMPError, EOFError, OSError):
            await client.disconnect()
        raise EOFError("it hung up after its greeting") from error


def _is_refused(error: MonitorError) -> bool:
    """Whether nobody listens at the socket."""
    cause = error.__cause__
    while isinstance(cause, ConnectError):
        cause = cause.exc
    return isinstance(cause, ConnectionRefusedError | FileNotFoundError)


def query_run_state(folder: Path, timeout_s: float = TIMEOUT_S) -> str | None:
    """The run state of the QEMU in `folder`, or None if it does not answer."""
    try:
        with Monitor(folder, timeout_s) as monitor:
            return monitor.run_state()
    except MonitorError:
        return None
