"""Passwords: Argon2id, and which ones are refused.

Owns the cost of a hash and how many are computed at once. It never stores anything.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from appliance.access.callers import RateLimited
from appliance.base.errors import UsageError

PASSWORD_MIN = 12
"""Characters; NIST SP 800-63B-4 asks for 8 beside a second factor and 15 alone."""
PASSWORD_MAX_BYTES = 1024
"""Longer ones only cost time."""
_AT_ONCE = 2
_SEATS = 10  # who computes and who waits: the others are sent away, and no threads pile up
_WAIT_S = 20.0
_BUSY_AGAIN_S = 5.0


class Passwords:
    """Hashes and checks. Any thread may ask; two at most compute, 64 MiB each."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """`hasher` is the second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes."""
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._seats = threading.BoundedSemaphore(_SEATS)
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    @cached_property
    def _nobody(self) -> str:
        """The hash that an unknown user's password is compared with: it takes as long."""
        return self._hasher.hash("nobody's password")

    def hash(self, password: str, user: str) -> str:
        """The hash of a new password of `user`. Raises UsageError if it is too weak."""
        text = unicodedata.normalize("NFKC", password)
        if len(text) < PASSWORD_MIN:
            raise UsageError(
                f"the password is too short: at least {PASSWORD_MIN} characters",
                code="password-short",
            )
        if len(text.encode()) > PASSWORD_MAX_BYTES:
            raise UsageError(
                f"the password is longer than {PASSWORD_MAX_BYTES} bytes", code="password-long"
            )
        bare = text.casefold()
        for easy in (user.casefold(), "holdfast", "password"):
            bare = bare.replace(easy, "")
        if len(set(bare)) < PASSWORD_MIN // 3:
            raise UsageError(
                "the password is easy to guess: a few random words are better", code="password-easy"
            )
        with _turn(self._seats, 0.0), _turn(self._turns, _WAIT_S):
            return self._hasher.hash(text)

    def matches(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one whose hash is `stored`; as slow when there is none."""
        text = unicodedata.normalize("NFKC", password)[:PASSWORD_MAX_BYTES]
        with _turn(self._seats, 0.0), _turn(self._turns, _WAIT_S):
            try:
                self._hasher.verify(stored or self._nobody, text)
            except (VerificationError, InvalidHashError):
                return False
        return bool(stored)

    def is_outdated(self, stored: str) -> bool:
        """Whether `stored` was made at another cost than is usual now."""
        return self._hasher.check_needs_rehash(stored)


@contextmanager
def _turn(turns: threading.BoundedSemaphore, wait_s: float) -> Iterator[None]:
    """Wait for a turn to compute, but not for ever."""
    if not turns.acquire(timeout=wait_s):
        raise RateLimited("too many log in at once: try again", _BUSY_AGAIN_S)
    try:
        yield
    finally:
        turns.release()
