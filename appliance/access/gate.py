"""The one door: whoever comes in over the network or the local socket passes here.

Owns the order of checks at a login and what a request is admitted as. Says the same about unknown
users, disabled ones and wrong passwords, and takes as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from appliance.access.attempts import Attempts
from appliance.access.audit import REFUSED, Audit
from appliance.access.callers import (
    ADMIN,
    SCOPES,
    SETUP,
    Caller,
    Forbidden,
    NeedsCode,
    NeedsConfirmation,
    Unauthenticated,
)
from appliance.access.codes import Codes
from appliance.access.passwords import Passwords
from appliance.access.second_factor import SecondFactor
from appliance.access.sessions import AFTER_PROOF, Sessions
from appliance.access.tokens import BOX, PREFIX, Tokens
from appliance.base.clock import Clock
from appliance.catalog.access_file import AccessFile, SessionRow, UserRow

PRESENCE = "presence"
_BEARER = "Bearer "


@dataclass(frozen=True)
class Facts:
    """What is known of a request before anybody is.

    Attributes:
        address: of the other end of the connection, not of a header.
        cookie: the value of `__Host-holdfast`.
        authorization: the header as it came.
        browser: the User-Agent, for the list of sessions only.
        is_idle: something that stays open is looked at again: nobody did anything.
    """

    address: str
    cookie: str | None = None
    authorization: str | None = None
    browser: str = ""
    is_idle: bool = False


class Gate:
    """Admits and refuses. Any thread may ask; `admit` never waits for a disk."""

    def __init__(
        self,
        file: AccessFile,
        clock: Clock,
        *,
        passwords: Passwords,
        sessions: Sessions,
        tokens: Tokens,
        attempts: Attempts,
        second_factor: SecondFactor,
        codes: Codes,
        audit: Audit,
    ) -> None:
        self._file = file
        self._clock = clock
        self._passwords = passwords
        self._sessions = sessions
        self._tokens = tokens
        self._attempts = attempts
        self._second_factor = second_factor
        self._codes = codes
        self._audit = audit

    def admit(self, facts: Facts) -> Caller:
        """Who this is. Raises Unauthenticated; RateLimited for one who guesses tokens."""
        if facts.authorization is not None:
            return self._admit_token(facts.authorization, facts.address)
        if facts.cookie:
            row = self._sessions.find(facts.cookie, is_idle=facts.is_idle)
            caller = None if row is None else self._caller_of(row, facts.address)
            if caller is not None:
                return caller
        raise Unauthenticated("log in first")

    def admit_peer(self, is_privileged: bool) -> Caller:
        """Who is at the other end of the local socket: root or our own user, or nobody."""
        if not is_privileged:
            raise Unauthenticated("only root and the user of the daemon may use its socket")
        return Caller(
            BOX,
            ADMIN,
            SCOPES[ADMIN],
            confirmed_until=datetime.max.replace(tzinfo=UTC),
            is_present=True,
        )

    def _admit_token(self, authorization: str, address: str) -> Caller:
        self._attempts.check(PREFIX, address)
        text = authorization.removeprefix(_BEARER)
        caller = self._tokens.find(text, address) if text != authorization else None
        if caller is None:
            if self._attempts.fail(PREFIX, address):
                self._refuse("", "token", address, "too many unknown tokens")
            raise Unauthenticated("this token is unknown, expired or revoked")
        return caller

    def _caller_of(self, row: SessionRow, address: str) -> Caller | None:
        if row.user == SETUP:
            return Caller(SETUP, SETUP, SCOPES[SETUP], session=row.digest, address=address)
        user = self._file.users.get(row.user)
        if user is None or user.is_disabled:
            return None
        until = datetime.fromtimestamp(row.confirmed_until_s, UTC)
        return Caller(
            user.name,
            user.role,
            SCOPES[user.role],
            confirmed_until=until if until > self._clock.now() else None,
            session=row.digest,
            address=address,
            has_initial_password=bool(user.is_initial),
        )

    def log_in(self, name: str, password: str, code: str | None, facts: Facts) -> str:
        """The secret of a new session; the one that the browser had ends.

        Raises Unauthenticated, NeedsCode when a second factor is missing, RateLimited.
        """
        with self._attempts.trying(name, facts.address):
            user = self._check_password(name, password, facts, "login")
            if self._second_factor.has(user):
                self._check_code(user, code, facts, "login")
            self._attempts.succeed(name, facts.address)
        return self.begin_session(user, facts, "password and code" if code else "password")

    def begin_session(self, user: UserRow, facts: Facts, how: str) -> str:
        """The session of somebody who proved who they are; for `log_in` and passkeys."""
        secret = self._sessions.begin(
            user.name,
            address=facts.address,
            browser=facts.browser,
            replaces=facts.cookie,
            # The one moment to set up a second factor without having one.
            confirmed_for=AFTER_PROOF if user.is_initial else AFTER_PROOF * 0,
        )
        self._file.users.change(user.name, last_login_s=self._clock.now().timestamp())
        self._audit.note(user.name, "login", detail=how, address=facts.address)
        return secret

    def log_out(self, facts: Facts) -> None:
        """End the session of the request, if it has one."""
        if facts.cookie:
            row = self._sessions.find(facts.cookie)
            self._sessions.end(facts.cookie)
            if row is not None:
                self._audit.note(row.user, "logout", address=facts.address)

    def confirm(self, password: str, code: str | None, facts: Facts) -> str:
        """Confirm who one is, for destructive actions; gives the session's new secret.

        It takes the second factor, or where there is none a code that `holdfast users presence`
        shows at the box: a stolen password alone must not delete. Raises as `log_in` does.
        """
        caller = self.admit(replace(facts, authorization=None))
        if caller.role == SETUP or not facts.cookie:
            raise Forbidden("only somebody who is logged in can confirm")
        with self._attempts.trying(caller.name, facts.address):
            user = self._check_password(caller.name, password, facts, "confirm")
            self._check_code(user, code, facts, "confirm")
            self._attempts.succeed(user.name, facts.address)
        secret = self._sessions.confirm(facts.cookie)
        self._audit.note(user.name, "confirm", address=facts.address)
        return secret

    def require_confirmed(self, caller: Caller) -> None:
        """Raises NeedsConfirmation unless the caller has just confirmed; Forbidden for tokens."""
        if not caller.session and not caller.is_present:
            raise Forbidden("a token cannot do this: somebody who is logged in has to")
        if caller.confirmed_until is None or caller.confirmed_until <= self._clock.now():
            raise NeedsConfirmation("confirm who you are: this cannot be undone")

    def show_presence_code(self, user: str) -> str:
        """A code for `user` that proves that somebody is at the box, for ten minutes."""
        return self._codes.make(PRESENCE, user, lifetime=AFTER_PROOF / 6)

    def _check_password(self, name: str, password: str, facts: Facts, action: str) -> UserRow:
        user = self._file.users.get(name)
        stored = None if user is None or user.is_disabled else user.password
        if not self._passwords.matches(stored, password) or user is None:
            raise self._fail(name, user, facts, action)
        if self._passwords.is_outdated(user.password):
            fresh = self._passwords.hash(password, user.name)
            self._file.users.change(user.name, password=fresh)
        return user

    def _check_code(self, user: UserRow, code: str | None, facts: Facts, action: str) -> None:
        if not code:
            has = self._second_factor.has(user)
            how = "of the authenticator" if has else "that 'holdfast users presence' shows"
            raise NeedsCode(f"type the code {how}" + ("" if has else " at the box"))
        is_right = self._second_factor.has(user) and self._second_factor.check(user, code)
        if not is_right and action == "confirm":
            is_right = self._codes.use(PRESENCE, user.name, code)
        if not is_right:
            raise self._fail(user.name, user, facts, action)

    def _fail(self, name: str, user: UserRow | None, facts: Facts, action: str) -> Unauthenticated:
        is_blocked = self._attempts.fail(name, facts.address)
        # What is no user's name may be a password in the wrong field: it is not written down.
        who = name if user is not None else ""
        self._refuse(who, action, facts.address, "blocked for a while" if is_blocked else "wrong")
        return Unauthenticated("the name, the password or the code is wrong", code="wrong-login")

    def _refuse(self, who: str, action: str, address: str, why: str) -> None:
        self._audit.note(who, action, outcome=REFUSED, detail=why, address=address)

    def keep(self) -> None:
        """Write down what was used when; the daemon calls this every minute and at its end."""
        self._sessions.keep()
        self._tokens.keep()
