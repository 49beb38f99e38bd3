"""The way in before there is anybody: a code that only somebody at the box can read.

Owns when the window is open. It closes with the first administrator, after an hour, and after ten
wrong codes; only the box itself opens it again. Where an administrator existed before and the
users are lost, the code is not enough: the recovery key has to be shown as well.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

from appliance.access.accounts import Accounts
from appliance.access.attempts import Attempts
from appliance.access.audit import REFUSED, Audit
from appliance.access.callers import ADMIN, SETUP, Caller, Forbidden, Unauthenticated
from appliance.access.codes import Codes
from appliance.access.sessions import AFTER_PROOF, Sessions
from appliance.base.errors import UsageError
from appliance.catalog.access_file import AccessFile

WINDOW = timedelta(hours=1)
_NOBODY = "setup"
BEGUN_ANEW = "begun_anew"
"""Setting: the users were lost and somebody showed the recovery key; see `Access.seal`."""
State = Literal["done", "open", "closed"]


class SetupWindow:
    """Makes the first administrator, once."""

    def __init__(
        self,
        file: AccessFile,
        *,
        codes: Codes,
        accounts: Accounts,
        sessions: Sessions,
        attempts: Attempts,
        audit: Audit,
        had_admin: Callable[[], bool],
        opens_store: Callable[[str], bool],
    ) -> None:
        """`had_admin`: whether the store says so. `opens_store`: whether a recovery key does."""
        self._file = file
        self._codes = codes
        self._accounts = accounts
        self._sessions = sessions
        self._attempts = attempts
        self._audit = audit
        self._had_admin = had_admin
        self._opens_store = opens_store

    @property
    def state(self) -> State:
        """Whether there is an administrator; if not, whether a code would be taken now."""
        if self._accounts.has_admin():
            return "done"
        return "open" if self._codes.is_open(SETUP) else "closed"

    @property
    def needs_recovery_key(self) -> bool:
        """Whether the users were lost: a code alone makes no administrator then."""
        return not self._accounts.has_admin() and self._had_admin()

    def open(self) -> str | None:
        """Open the window and give the code to show at the box; None if there is an admin.

        Only `serve` at its start and the command line at the box call this.
        """
        if self._accounts.has_admin():
            return None
        return self._codes.make(SETUP, lifetime=WINDOW)

    def enter(self, code: str, address: str, browser: str = "") -> str:
        """The secret of a session that can set up.

        Raises Unauthenticated for a wrong code, Forbidden when the window is closed, RateLimited.
        """
        self._attempts.check(SETUP, address)
        if self.state == "done":
            raise Forbidden("this box is set up: log in", code="set-up")
        if self.state == "closed":
            raise Forbidden(
                "the setup window is closed: restart the box, or run 'holdfast setup code' there",
                code="setup-closed",
            )
        if not self._codes.use(SETUP, "", code, stays=True):
            self._attempts.fail(SETUP, address)
            self._audit.note("", "setup", outcome=REFUSED, detail="wrong", address=address)
            raise Unauthenticated(
                "this is not the code that the box shows", code="wrong-setup-code"
            )
        self._audit.note(SETUP, "setup", address=address)
        return self._sessions.begin(_NOBODY, address=address, browser=browser)

    def make_admin(
        self, caller: Caller, name: str, password: str, *, recovery_key: str | None = None
    ) -> str:
        """Make the first administrator; gives the secret of its session. The window is closed.

        Raises Forbidden if the caller did not come by the code, if somebody else was first, or if
        the recovery key is needed and not given or wrong; RateLimited for one who guesses it.
        """
        if not caller.is_present:
            caller.require(SETUP)
        self.prove_owner(caller, recovery_key)
        with self._file.transaction():
            if self._accounts.has_admin():
                raise Forbidden("this box is set up: log in", code="set-up")
            if self._file.users.get(name) is not None:
                raise UsageError(f"there is a user '{name}' already", code="user-exists")
            self._accounts.add(name, ADMIN, password)
            self._codes.close(SETUP)
            self._sessions.end_all(_NOBODY)
            self._audit.note(name, "setup admin", target=name, address=caller.address)
            return self._sessions.begin(name, address=caller.address, confirmed_for=AFTER_PROOF)

    def prove_owner(self, caller: Caller, recovery_key: str | None) -> None:
        """Where users were lost, an administrator is made with the recovery key only.

        Raises Forbidden without the right one, RateLimited for one who guesses it.
        """
        if not self.needs_recovery_key:
            return
        if recovery_key:
            self._attempts.check(SETUP, caller.address)
            if self._opens_store(recovery_key):
                self._file.set_setting(BEGUN_ANEW, "yes")
                self._audit.note(caller.name, "setup", detail="recovery key: the log begins anew")
                return
            self._attempts.fail(SETUP, caller.address)
            self._refuse(caller, "with a wrong recovery key")
            raise Forbidden(
                "this is not the recovery key of this box: compare it with the paper",
                code="wrong-recovery-key",
            )
        self._refuse(caller, "without the recovery key")
        raise Forbidden(
            "this box had an administrator before: its recovery key is needed to make one",
            code="needs-recovery-key",
        )

    def _refuse(self, caller: Caller, why: str) -> None:
        self._audit.note(
            caller.name, "setup admin", outcome=REFUSED, detail=why, address=caller.address
        )
