"""Sessions of browsers: random, kept by their hash, ended when idle or old.

Owns how long they last. A session's secret exists in the browser's cookie only. When it was seen
last is held in memory and written now and then (`keep`), so that no GET waits for a disk; a crash
makes sessions end a little earlier, never later.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import timedelta

from appliance.base.clock import Clock
from appliance.catalog.access_file import AccessFile, SessionRow

_SECRET_BYTES = 32
_TEXT_MAX = 200
COOKIE = "__Host-holdfast"
AFTER_PROOF = timedelta(hours=1)
"""Whoever typed the setup code was at the box, and whoever has an initial password was just given
it: so long they are not asked to confirm, and can set up a second factor."""


@dataclass(frozen=True)
class SessionLimits:
    """How long things last."""

    idle: timedelta = timedelta(minutes=30)
    absolute: timedelta = timedelta(hours=12)
    confirmed: timedelta = timedelta(minutes=5)


def digest_secret(secret: str) -> str:
    """What a random secret is kept as: SHA-256, which suffices for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Sessions:
    """The sessions of one box. Any thread may ask."""

    def __init__(self, file: AccessFile, clock: Clock, limits: SessionLimits | None = None) -> None:
        self._file = file
        self._clock = clock
        self.limits = limits or SessionLimits()
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        user: str,
        *,
        address: str,
        browser: str = "",
        replaces: str | None = None,
        confirmed_for: timedelta = timedelta(0),
    ) -> str:
        """A new session, durable on return; gives its secret. The session `replaces` ends."""
        now_s = self._now_s()
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        confirmed_until_s = now_s + confirmed_for.total_seconds() if confirmed_for else 0.0
        row = SessionRow(
            digest_secret(secret),
            user,
            now_s,
            now_s,
            confirmed_until_s,
            address[:_TEXT_MAX],
            browser[:_TEXT_MAX],
        )
        with self._file.transaction():
            self._file.sessions.remove_below(
                "created_s", now_s - self.limits.absolute.total_seconds()
            )
            if replaces:
                self._file.sessions.remove(digest=digest_secret(replaces))
            self._file.sessions.add(row)
        return secret

    def find(self, secret: str, *, is_idle: bool = False) -> SessionRow | None:
        """The living session of a cookie, which is now seen unless `is_idle`."""
        row = self._file.sessions.get(digest_secret(secret))
        if row is None:
            return None
        now_s = self._now_s()
        with self._lock:
            seen_s = max(row.seen_s, self._seen.get(row.digest, 0.0))
            is_old = now_s - row.created_s > self.limits.absolute.total_seconds()
            if is_old or now_s - seen_s > self.limits.idle.total_seconds():
                return None
            if not is_idle:
                self._seen[row.digest] = now_s
        return row

    def confirm(self, secret: str) -> str:
        """The session under a new secret, in which destructive actions are allowed for a while."""
        row = self._file.sessions.get(digest_secret(secret))
        assert row is not None
        fresh = secrets.token_urlsafe(_SECRET_BYTES)
        until_s = self._now_s() + self.limits.confirmed.total_seconds()
        with self._file.transaction():
            self._file.sessions.remove(digest=row.digest)
            self._file.sessions.add(
                SessionRow(
                    digest_secret(fresh),
                    row.user,
                    row.created_s,
                    self._now_s(),
                    until_s,
                    row.address,
                    row.browser,
                )
            )
        return fresh

    def end(self, secret: str) -> None:
        """End the session of a cookie, durably."""
        self._file.sessions.remove(digest=digest_secret(secret))

    def end_all(self, user: str, *, but: str = "") -> int:
        """End all sessions of `user`, but the one with the digest `but`; says how many."""
        rows = [row for row in self._file.sessions.where(user=user) if row.digest != but]
        with self._file.transaction():
            return sum(self._file.sessions.remove(digest=row.digest) for row in rows)

    def keep(self) -> None:
        """Write down which sessions were seen since the last time, durably."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if not seen:
            return
        with self._file.transaction():
            for digest, seen_s in seen.items():
                self._file.sessions.change(digest, seen_s=seen_s)

    def _now_s(self) -> float:
        return self._clock.now().timestamp()
