"""The QEMU guest agent, where a guest runs one: its filesystems are asked to be still for a moment.

Owns one conversation. A guest without an agent is nothing out of the ordinary: everything here says
so instead of failing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from appliance.base.clock import SystemClock
from appliance.base.errors import HoldfastError
from appliance.recovery.hardware import AGENT_SOCKET
from appliance.sources.wire import connect_unix

ANSWER_TIMEOUT_S = 3.0
# An agent flushes everything before it answers.
FREEZE_TIMEOUT_S = 30.0
_ANSWER_MAX_BYTES = 1 << 20
_RECEIVE_BYTES = 64 << 10


class AgentError(HoldfastError):
    """No agent, or one that says no."""


class GuestAgent:
    """A connection to the agent of the VM in `folder`. Close it when done."""

    def __init__(self, folder: Path) -> None:
        """Raises AgentError where nobody answers within ANSWER_TIMEOUT_S."""
        self._clock = SystemClock()
        self._received = b""
        try:
            self._connection = connect_unix(folder / AGENT_SOCKET, ANSWER_TIMEOUT_S)
        except (HoldfastError, OSError) as error:
            raise AgentError(f"{folder.name}: no way to a guest agent") from error
        try:
            self._synchronize()
        except BaseException:
            self._connection.close()
            raise

    def _synchronize(self) -> None:
        """What an earlier conversation left behind ends at a 0xFF, says the agent's protocol."""
        number = secrets.randbits(31)
        self._send(b"\xff", "guest-sync-delimited", id=number)
        self._read_until(b"\xff", ANSWER_TIMEOUT_S)
        if self._take(ANSWER_TIMEOUT_S) != number:
            raise AgentError("the guest agent does not answer what it was asked")

    def ask(self, command: str, timeout_s: float = ANSWER_TIMEOUT_S, **arguments: object) -> Any:
        """What the agent returns. Raises AgentError if it refuses or does not answer in time."""
        self._send(b"", command, **arguments)
        return self._take(timeout_s)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _send(self, before: bytes, command: str, **arguments: object) -> None:
        request = {"execute": command, "arguments": arguments}
        try:
            self._connection.sendall(before + json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise AgentError(f"the guest agent is gone: {error}") from error

    def _take(self, timeout_s: float) -> Any:
        line = self._read_until(b"\n", timeout_s)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AgentError("the guest agent says something else than JSON") from error
        if not isinstance(answer, dict) or "return" not in answer:
            raise AgentError(f"the guest agent refuses: {line[:200].decode(errors='replace')}")
        return answer["return"]

    def _read_until(self, end: bytes, timeout_s: float) -> bytes:
        """What comes before `end`; guests are strangers, so neither time nor memory is theirs."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        while end not in self._received:
            rest_s = deadline_s - self._clock.monotonic_s()
            if rest_s <= 0 or len(self._received) > _ANSWER_MAX_BYTES:
                raise AgentError("no guest agent answers")
            self._connection.settimeout(rest_s)
            try:
                data = self._connection.recv(_RECEIVE_BYTES)
            except OSError as error:
                raise AgentError("no guest agent answers") from error
            if not data:
                raise AgentError("the guest agent hung up")
            self._received += data
        found, _, self._received = self._received.partition(end)
        return found


@contextmanager
def still_filesystems(folder: Path) -> Iterator[bool]:
    """Let the guest's filesystems be still while the block runs; says whether they are.

    Where there is no agent, or it refuses, the block runs all the same.
    """
    agent = None
    is_still = False
    try:
        with suppress(AgentError):
            agent = GuestAgent(folder)
            is_still = agent.ask("guest-fsfreeze-freeze", FREEZE_TIMEOUT_S) is not None
        yield is_still
    finally:
        if agent is not None:
            with suppress(AgentError):
                agent.ask("guest-fsfreeze-thaw", FREEZE_TIMEOUT_S)
            agent.close()


def thaw_filesystems(folder: Path) -> None:
    """Let filesystems go on that a killed command left still; without an agent nothing is done."""
    with suppress(AgentError), closing(GuestAgent(folder)) as agent:
        agent.ask("guest-fsfreeze-thaw", FREEZE_TIMEOUT_S)
