"""People who may log in: made, given roles and passwords, disabled. Never removed.

Owns the rules: one working administrator always stays, a password that somebody else chose only
serves to choose one's own, and whatever takes rights away ends the sessions of that person.
"""

from __future__ import annotations

import re
import secrets

from appliance.access.attempts import Attempts
from appliance.access.callers import ADMIN, PEOPLE, parse_role
from appliance.access.passwords import Passwords
from appliance.access.second_factor import SecondFactor
from appliance.access.sessions import Sessions
from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError, UsageError
from appliance.catalog.access_file import AccessFile, UserRow

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_RESERVED = frozenset({"box", "setup", "token", "nobody"})


class Accounts:
    """The users of one box. Any thread may ask."""

    def __init__(
        self,
        file: AccessFile,
        clock: Clock,
        *,
        passwords: Passwords,
        sessions: Sessions,
        second_factor: SecondFactor,
        attempts: Attempts,
    ) -> None:
        self._file = file
        self._clock = clock
        self._passwords = passwords
        self._sessions = sessions
        self._second_factor = second_factor
        self._attempts = attempts

    def list(self) -> list[UserRow]:
        """All users, by name."""
        return self._file.users.where()

    def get(self, name: str) -> UserRow:
        """One user. Raises NotFoundError."""
        row = self._file.users.get(name)
        if row is None:
            raise NotFoundError(
                f"no user '{name}': 'holdfast users list' shows them", code="no-user"
            )
        return row

    def has_admin(self) -> bool:
        """Whether an administrator can log in."""
        return bool(self._file.users.where(role=ADMIN, is_disabled=0))

    def add(self, name: str, role: str, password: str | None = None) -> str | None:
        """Make a user, durable on return.

        Without `password` gives an initial one, to be handed over and changed at the first login.
        Raises UsageError for a bad or taken name, a weak password or no role of a person.
        """
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise UsageError(
                "a user's name begins with a letter and has up to 32 of a-z, 0-9, '.', '_', '-'",
                code="bad-user-name",
            )
        parse_role(role, PEOPLE)
        initial = None if password is not None else make_password()
        stored = self._passwords.hash(initial or password or "", name)
        row = UserRow(
            name, role, stored, self._clock.now().timestamp(), is_initial=int(initial is not None)
        )
        if not self._file.users.add(row):
            raise UsageError(f"there is a user '{name}' already", code="user-exists")
        return initial

    def set_role(self, name: str, role: str) -> None:
        """Give another role, durably; the person logs in anew. Raises UsageError, NotFoundError."""
        parse_role(role, PEOPLE)
        with self._file.transaction():
            if role != ADMIN:
                self._refuse_last_admin(self.get(name))
            self.get(name)
            self._file.users.change(name, role=role)
            self._sessions.end_all(name)

    def disable(self, name: str) -> None:
        """Let somebody in no more, durably; tokens of theirs neither."""
        with self._file.transaction():
            self._refuse_last_admin(self.get(name))
            self._file.users.change(name, is_disabled=1)
            self._sessions.end_all(name)

    def enable(self, name: str) -> None:
        """Let somebody in again, durably."""
        self.get(name)
        self._file.users.change(name, is_disabled=0)

    def reset_password(self, name: str, *, keeps_second_factor: bool = False) -> str:
        """A new initial password; sessions end, and so does the second factor unless it is kept."""
        self.get(name)
        initial = make_password()
        stored = self._passwords.hash(initial, name)
        with self._file.transaction():
            self._file.users.change(name, password=stored, is_initial=1)
            if not keeps_second_factor:
                self._second_factor.remove(name)
                self._file.passkeys.remove(user=name)
            self._sessions.end_all(name)
        return initial

    def choose_password(self, name: str, old: str, new: str, *, session: str = "") -> None:
        """Change one's own password, durably; other sessions than `session` end.

        Raises UsageError if the old one is wrong, or the new one weak or the same; RateLimited.
        """
        user = self.get(name)
        with self._attempts.trying(name, session):
            if not self._passwords.matches(user.password, old):
                self._attempts.fail(name, session)
                raise UsageError("the old password is wrong", code="wrong-password")
        if old == new:
            raise UsageError("the new password is the old one", code="same-password")
        stored = self._passwords.hash(new, name)
        with self._file.transaction():
            self._file.users.change(name, password=stored, is_initial=0)
            self._sessions.end_all(name, but=session)

    def _refuse_last_admin(self, user: UserRow) -> None:
        others = [
            row
            for row in self._file.users.where(role=ADMIN, is_disabled=0)
            if row.name != user.name
        ]
        if user.role == ADMIN and not user.is_disabled and not others:
            raise UsageError(
                f"{user.name} is the last administrator: make another one first", code="last-admin"
            )


def make_password() -> str:
    """A random password that can be read out: 100 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
