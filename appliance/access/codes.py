"""One-time codes that are shown at the box, or printed: 100 random bits, used once.

Owns their form and that guessing ends them. A code proves presence: whoever reads it stands at the
box or holds a paper.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from appliance.access.sessions import digest_secret
from appliance.base.clock import Clock
from appliance.catalog.access_file import AccessFile, CodeRow

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing that reads like another
_GROUPS, _GROUP = 4, 5
_SAME = str.maketrans({"O": "0", "I": "1", "L": "1", "U": "V"})
ATTEMPTS_MAX = 10


class Codes:
    """The codes of one box that can be used now."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    def make(
        self, purpose: str, user: str = "", *, lifetime: timedelta, is_only: bool = True
    ) -> str:
        """A new code, durable on return; `is_only`: earlier ones for the same end."""
        code = "-".join(
            "".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS)
        )
        until_s = self._now_s() + lifetime.total_seconds()
        with self._file.transaction():
            self._file.codes.remove_below("expires_s", self._now_s())
            if is_only:
                self._file.codes.remove(purpose=purpose, user=user)
            self._file.codes.add(CodeRow(_digest(purpose, user, code), purpose, user, until_s))
        return code

    def use(self, purpose: str, user: str, code: str, *, stays: bool = False) -> bool:
        """Whether `code` is one of these; unless it `stays` it is none afterwards.

        Each wrong one counts, for all of these.
        """
        with self._file.transaction():
            for row in self._living(purpose, user):
                if row.digest == _digest(purpose, user, code):
                    if not stays:
                        self._file.codes.remove(digest=row.digest)
                    return True
            for row in self._living(purpose, user):
                self._file.codes.change(row.digest, attempts=row.attempts + 1)
        return False

    def is_open(self, purpose: str, user: str = "") -> bool:
        """Whether there is such a code that can still be used."""
        return bool(self._living(purpose, user))

    def close(self, purpose: str, user: str = "") -> None:
        """End all such codes."""
        self._file.codes.remove(purpose=purpose, user=user)

    def count(self, purpose: str, user: str) -> int:
        """How many are left."""
        return len(self._living(purpose, user))

    def _living(self, purpose: str, user: str) -> list[CodeRow]:
        now_s = self._now_s()
        return [
            row
            for row in self._file.codes.where(purpose=purpose, user=user)
            if row.expires_s > now_s and row.attempts < ATTEMPTS_MAX
        ]

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _digest(purpose: str, user: str, code: str) -> str:
    """Equal for what reads equal. A table of 2**100 digests is nobody's, so SHA-256 suffices."""
    plain = "".join(code.upper().split()).replace("-", "").translate(_SAME)
    return digest_secret(f"{purpose}\0{user}\0{plain}")
