"""The command's side of the daemon's socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from appliance.base import errors
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.sources.wire import connect_unix

ANSWER_S = 10.0
"""A daemon that says nothing for so long hangs: it says something every half second."""


class DaemonHangsError(HoldfastError):
    """The daemon is there and does not answer."""

    def __init__(self) -> None:
        super().__init__(
            "the daemon does not answer: 'systemctl restart holdfast' starts it anew; what it was "
            "doing goes on"
        )


class DaemonGoneError(HoldfastError):
    """There is no daemon, or not any more."""

    def __init__(self) -> None:
        super().__init__("no daemon runs on this state: 'holdfast serve' is one")


class DaemonLink:
    """One conversation."""

    def __init__(self, state: Path) -> None:
        """Raises DaemonGoneError if there is no daemon."""
        try:
            self._connection = connect_unix(state / "run" / "sock", ANSWER_S)
        except NotFoundError as error:
            raise DaemonGoneError from error
        except HoldfastError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise DaemonGoneError from error
            if isinstance(error.__cause__, BlockingIOError | TimeoutError):
                raise DaemonHangsError from error
            raise
        self._file = self._connection.makefile("rb")

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to one request. Raises what the daemon raised."""
        for answer in self.stream(do, **arguments):
            if "ok" in answer:
                return answer["ok"]
        raise DaemonGoneError

    def stream(self, do: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        """All answers to one request; the last has `ok`. Raises what the daemon raised."""
        try:
            self._connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            while line := self._file.readline():
                if not line.endswith(b"\n"):
                    break
                answer = json.loads(line)
                if "error" in answer:
                    raise _error(answer["error"])
                yield answer
                if "ok" in answer:
                    return
        except TimeoutError as error:
            raise DaemonHangsError from error
        except (OSError, ValueError) as error:
            raise DaemonGoneError from error
        raise DaemonGoneError

    def serves_us(self) -> bool:
        """Whether the daemon is the same user as we: what it does, we could do as well."""
        size = 12  # struct ucred: pid, uid, gid
        user = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)[4:8]
        return int.from_bytes(user, "little") == os.geteuid()

    def close(self) -> None:
        """End the conversation."""
        self._file.close()
        self._connection.close()

    def __enter__(self) -> DaemonLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _error(value: dict[str, str]) -> HoldfastError:
    kind = getattr(errors, value["kind"], HoldfastError)
    is_one = isinstance(kind, type) and issubclass(kind, HoldfastError)
    if not is_one or kind is errors.Cancelled:
        kind = HoldfastError
    return kind(value["text"]) if isinstance(kind, type) else HoldfastError(value["text"])
