"""What runs next: priorities, limits, and what must not run at the same time. Pure.

Higher priorities go first, then who asked first. A job that cannot run yet holds up none behind
it, but for those that need what it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

QUEUE_MAX = 10_000
ANY = "*"
"""The last word of a claim to all that begin with the same words."""


@dataclass(frozen=True)
class Limits:
    """How many jobs run at once: hard ones for which nobody waits, and all the others."""

    heavy: int = 2
    light: int = 8


@dataclass(frozen=True)
class Ask:
    """A job as the queue sees it.

    Attributes:
        claims: what no other running job may claim.
        is_endless: it serves until it is told to stop, and takes no place that others wait for.
    """

    id: int
    priority: int
    is_heavy: bool
    claims: frozenset[str] = frozenset()
    is_endless: bool = False


@dataclass
class Queue:
    """What waits and what runs."""

    limits: Limits = field(default_factory=Limits)
    _waiting: dict[int, Ask] = field(default_factory=dict)
    _running: dict[int, Ask] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, ask: Ask) -> None:
        """A job waits."""
        self._waiting[ask.id] = ask

    def adopt(self, ask: Ask) -> None:
        """A job runs already."""
        self._running[ask.id] = ask

    def remove(self, job_id: int) -> None:
        """A job is over, or need not run; one that is not here is fine."""
        self._waiting.pop(job_id, None)
        self._running.pop(job_id, None)

    def take(self) -> Ask | None:
        """The job to begin now, which counts as running from here on; None if all must wait."""
        counted = [ask for ask in self._running.values() if not ask.is_endless]
        free = {
            kind: limit - sum(ask.is_heavy == kind for ask in counted)
            for kind, limit in ((True, self.limits.heavy), (False, self.limits.light))
        }
        claimed = set[str]().union(*(ask.claims for ask in self._running.values()))
        for ask in self._in_order():
            if (ask.is_endless or free[ask.is_heavy] > 0) and not _clash(ask.claims, claimed):
                self._running[ask.id] = self._waiting.pop(ask.id)
                return ask
            claimed |= ask.claims  # who comes later must not overtake it there
        return None

    def blockers(self, job_id: int) -> list[int]:
        """The running jobs that a waiting one waits for: those with its claims, else any."""
        ask = self._waiting.get(job_id)
        if ask is None:
            return []
        same = [other.id for other in self._running.values() if _clash(other.claims, ask.claims)]
        kind = [other.id for other in self._running.values() if other.is_heavy == ask.is_heavy]
        return sorted(same or kind)

    def _in_order(self) -> Iterator[Ask]:
        yield from sorted(self._waiting.values(), key=lambda ask: (-ask.priority, ask.id))


def _clash(claims: Set[str], others: Set[str]) -> bool:
    """Whether both claim something."""
    if not claims.isdisjoint(others):
        return True
    for one in claims:
        words, _, last = one.rpartition(" ")
        if f"{words} {ANY}" in others:
            return True
        if last == ANY and any(other.startswith(f"{words} ") for other in others):
            return True
    return False
