"""How often somebody may be wrong: failures are counted, and lead to pauses that grow.

Owns the counts, which survive a restart, and how many attempts are under way: those count as failed
until they succeed, so that many at once get no further than one after another. A name and an
address together are blocked first, so that a stranger cannot lock somebody out from where they
usually are; an address that tries many names comes next; a name that is tried from many addresses
last. At the box `holdfast users unlock` is the way back. Never says whether a name exists: unknown
ones are counted alike.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.access.callers import RateLimited
from appliance.base.clock import Clock
from appliance.catalog.access_file import AccessFile, FailureRow

_WINDOW_S = 900.0
_MOMENT_S = 1.0
_IPV6_SITE_BITS = 64  # one customer has at least this many addresses


@dataclass(frozen=True)
class Rule:
    """After `free` failures each one blocks for `first_s`, twice that, ... up to `longest_s`."""

    free: int
    first_s: float
    longest_s: float


# A person mistypes a few times; a program that goes on gets about 30 tries a day by name and
# address, 120 by address, and 1,000 by name from everywhere.
PAIR = Rule(free=5, first_s=30, longest_s=3600)
ADDRESS = Rule(free=20, first_s=60, longest_s=900)
NAME = Rule(free=100, first_s=60, longest_s=900)


class Attempts:
    """Counts failures of whoever wants in."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def trying(self, user: str, address: str) -> Iterator[None]:
        """One attempt, from before the secret is looked at until `fail` or `succeed` was called.

        Raises RateLimited while one more is not allowed.
        """
        subjects = _subjects(user, address)
        with self._lock:
            self.check(user, address)
            for subject, rule in subjects.items():
                row = self._row(subject)
                count = 0 if row is None else row.count
                # Who is beyond the free ones is blocked after each: one at a time then.
                if self._under_way[subject] >= max(1, rule.free - count):
                    raise RateLimited("too many attempts at once: try again in a moment", _MOMENT_S)
            self._under_way.update(subjects.keys())
        try:
            yield
        finally:
            with self._lock:
                self._under_way.subtract(subjects.keys())
                self._under_way = +self._under_way

    def check(self, user: str, address: str) -> None:
        """Raises RateLimited while one more attempt is not allowed."""
        now_s = self._clock.now().timestamp()
        until_s = max(
            (row.blocked_until_s for row in map(self._row, _subjects(user, address)) if row),
            default=0.0,
        )
        if until_s > now_s:
            wait_s = until_s - now_s
            raise RateLimited(
                f"too many wrong attempts: try again in {int(wait_s) + 1} s, or at the box with "
                "'holdfast users unlock'",
                wait_s,
            )

    def fail(self, user: str, address: str) -> bool:
        """Count one failure, durably; says whether it has blocked somebody just now."""
        now_s = self._clock.now().timestamp()
        is_blocked = False
        with self._file.transaction():
            self._forget_old(now_s)
            for subject, rule in _subjects(user, address).items():
                row = self._file.failures.get(subject) or FailureRow(subject, 0, now_s)
                count, until_s = row.count + 1, row.blocked_until_s
                if count >= rule.free:
                    doublings = min(count - rule.free, 16)
                    until_s = now_s + min(rule.first_s * 2**doublings, rule.longest_s)
                    is_blocked = True
                self._file.failures.put(FailureRow(subject, count, row.first_s, until_s))
        return is_blocked

    def succeed(self, user: str, address: str) -> None:
        """Forget the failures of this name from this address."""
        pair = next(iter(_subjects(user, address)))
        if self._file.failures.get(pair) is not None:
            self._file.failures.remove(subject=pair)

    def unlock(self, user: str | None = None) -> int:
        """Let everybody try again, or `user` from everywhere; says how many blocks ended.

        Failures are kept by digest of the name, so those of one address stay unless all go.
        """
        removed = 0
        with self._file.transaction():
            for row in self._file.failures.where():
                if user is None or row.subject.split(":")[1] == _digest(user):
                    removed += self._file.failures.remove(subject=row.subject)
        return removed

    def _row(self, subject: str) -> FailureRow | None:
        return self._file.failures.get(subject)

    def _forget_old(self, now_s: float) -> None:
        """A window after the last pause, or after the first failure if there was none."""
        for row in self._file.failures.where():
            if now_s > max(row.first_s, row.blocked_until_s) + _WINDOW_S:
                self._file.failures.remove(subject=row.subject)


def _subjects(user: str, address: str) -> dict[str, Rule]:
    """What an attempt is counted under; the pair comes first."""
    name, site = _digest(user), site_of(address)
    return {f"pair:{name}:{site}": PAIR, f"address::{site}": ADDRESS, f"name:{name}:": NAME}


def _digest(user: str) -> str:
    """Bounded, and without what somebody typed into the wrong field."""
    return hashlib.sha256(user.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def site_of(address: str) -> str:
    """The address, of IPv6 the network of a site."""
    try:
        parsed = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False).network_address)
