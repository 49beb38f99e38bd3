"""Talks with a running QEMU over QMP, from code that is not asynchronous.

Owns connections. A QEMU serves one client at a time at each of its sockets, so a connection is
short (connect, ask, disconnect), and there are several sockets: a client that hangs keeps one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import ConnectError, QMPClient, QMPError

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError

SOCKETS = ("qmp.sock", "qmp-1.sock", "qmp-2.sock")
TIMEOUT_S = 15.0
_RETRY_S = 0.02
# Clients are through within some milliseconds each; one that takes longer may hang.
_NEXT_S = 0.5
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
                self._connect([f"/proc/self/fd/{folder}/{name}" for name in SOCKETS])
            finally:
                os.close(folder)
        except OSError as error:
            self._runner.close()
            raise MonitorError(f"{self._folder}: {error.strerror}") from error
        except BaseException:
            self._runner.close()
            raise
        return self

    def _connect(self, addresses: Sequence[str]) -> None:
        """Until it is done, nobody listens, or time is over.

        What QEMU has to tell at that moment may come before its greeting, and who waits for another
        client to go may be turned away: both are over when it is tried again.
        """
        clock = SystemClock()
        deadline_s = clock.monotonic_s() + self._timeout_s
        while True:
            try:
                self._client = self._run(_begin_at_any(addresses))
            except MonitorError as error:
                if _is_refused(error.__cause__) or clock.monotonic_s() >= deadline_s:
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
            raise MonitorError(
                f"QEMU in {self._folder}: {str(error) or self._no_answer()}"
            ) from error

    def _no_answer(self) -> str:
        return (
            f"no answer within {self._timeout_s:.0f} s, it hangs or others keep it busy: try "
            f"again, or end it with 'holdfast stop {self._folder.name}'"
        )


async def _begin_at_any(addresses: Sequence[str]) -> QMPClient:
    """Connect to whichever answers first; the next is tried too when those before are slow.

    Raises QMPError, EOFError or OSError when all have failed; that nobody listens only if nobody
    does at any of them.
    """
    tries: list[asyncio.Task[QMPClient]] = []
    try:
        for number, address in enumerate(addresses, 1):
            tries.append(asyncio.create_task(_begin(address)))
            timeout_s = _NEXT_S if number < len(addresses) else None
            while waiting := {one for one in tries if not one.done()}:
                ended, _ = await asyncio.wait(
                    waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                for one in ended:
                    if one.exception() is None:
                        tries.remove(one)
                        return one.result()
                if not ended:
                    break
    finally:
        await _give_up(tries)
    errors = [error for one in tries if (error := one.exception()) is not None]
    raise next((error for error in errors if not _is_refused(error)), errors[0])


async def _give_up(tries: Sequence[asyncio.Task[QMPClient]]) -> None:
    for one in tries:
        one.cancel()
    for client in await asyncio.gather(*tries, return_exceptions=True):
        if isinstance(client, QMPClient):  # it came second
            with suppress(QMPError, EOFError, OSError):
                await client.disconnect()


async def _begin(address: str) -> QMPClient:
    """Connect. Raises QMPError, EOFError or OSError."""
    client = QMPClient()
    client.logger.disabled = True  # what it would log is raised as well
    try:
        await client.connect(address)
    except AssertionError as error:
        # The library takes for granted that who has just greeted it is still there.
        with suppress(QMPError, EOFError, OSError):
            await client.disconnect()
        raise EOFError("it hung up after its greeting") from error
    return client


def _is_refused(error: BaseException | None) -> bool:
    """Whether nobody listens at the socket."""
    while isinstance(error, ConnectError):
        error = error.exc
    return isinstance(error, ConnectionRefusedError | FileNotFoundError)


def query_run_state(folder: Path, timeout_s: float = TIMEOUT_S) -> str | None:
    """The run state of the QEMU in `folder`, or None if it does not answer."""
    try:
        with Monitor(folder, timeout_s) as monitor:
            return monitor.run_state()
    except MonitorError:
        return None
