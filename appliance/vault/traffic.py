"""What was asked of a bucket: requests per kind, bytes, and how they went.

Owns the counts since the process began; who wants sums over a day or a month keeps them. Whoever
adapts to the line listens to each request as it ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How one request ended, seen by somebody who shares a line with it."""

    DONE = "done"
    SLOW_DOWN = "slow down"
    TIMEOUT = "timeout"
    BROKEN = "broken"
    REFUSED = "refused"


@dataclass(frozen=True)
class Request:
    """One request that ended.

    Attributes:
        kind: PUT, POST, GET, HEAD, LIST or DELETE: what providers charge by.
        sent_bytes: of bodies; headers are not counted.
        seconds: from the first byte sent to the last received.
        wait_s: of these, from the last byte sent to the first received.
        reason: what went wrong, if something did.
    """

    kind: str
    outcome: Outcome
    sent_bytes: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    wait_s: float = 0.0
    reason: str = ""


@dataclass
class Traffic:
    """Sums of all requests, each attempt counted. Belongs to one event loop."""

    requests: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    sent_bytes: int = 0
    received_bytes: int = 0
    listeners: list[Callable[[Request], None]] = field(default_factory=list)

    def note(self, request: Request) -> None:
        """Count a request that ended, and tell the listeners."""
        self.requests[request.kind] += 1
        self.outcomes[request.outcome] += 1
        self.sent_bytes += request.sent_bytes
        self.received_bytes += request.received_bytes
        for listener in self.listeners:
            listener(request)

    def to_json(self) -> dict[str, Any]:
        """For `--json`: the kinds, the outcomes other than done, and the bytes."""
        troubles = {str(kind): count for kind, count in sorted(self.outcomes.items())}
        troubles.pop(str(Outcome.DONE), None)
        return {
            "requests": dict(sorted(self.requests.items())),
            "troubles": troubles,
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
        }
