"""Everything about who gets in, built once over one file.

Owns how the parts are put together. `daemon` and `cli` ask for parts by name; the API admits
through `gate` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.access.accounts import Accounts
from appliance.access.approvals import Approvals
from appliance.access.attempts import Attempts
from appliance.access.audit import Audit, SealedRecords
from appliance.access.codes import Codes
from appliance.access.gate import Gate
from appliance.access.passwords import Passwords
from appliance.access.second_factor import SecondFactor
from appliance.access.sessions import SessionLimits, Sessions
from appliance.access.setup_steps import SetupSteps
from appliance.access.setup_window import BEGUN_ANEW, SetupWindow
from appliance.access.tickets import Tickets
from appliance.access.tokens import Tokens
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import AccessError, HoldfastError, NotFoundError
from appliance.catalog.access_file import AccessFile, UserRow
from appliance.formats.audit import MARK_PLACE
from appliance.formats.recovery_key import parse_recovery_key
from appliance.keys import keyring
from appliance.store.layout import Layout
from appliance.store.records import Records

if TYPE_CHECKING:
    from appliance.access.passkeys import Passkeys


class Access:
    """Who gets into one box. Close it when done; call `keep` every minute."""

    def __init__(
        self,
        state: Path,
        clock: Clock | None = None,
        *,
        passwords: Passwords | None = None,
        limits: SessionLimits | None = None,
        opens_store: Callable[[str], bool] | None = None,
    ) -> None:
        self._state = state
        self._opens_store = opens_store or (lambda text: opens(state, text))
        self.clock = clock or SystemClock()
        self.file = AccessFile(state)
        self.passwords = passwords or Passwords()
        self.audit = Audit(self.file, self.clock)
        self.approvals = Approvals(self.file, self.clock, self.audit)
        self.attempts = Attempts(self.file, self.clock)
        self.codes = Codes(self.file, self.clock)
        self.sessions = Sessions(self.file, self.clock, limits)
        self.tokens = Tokens(self.file, self.clock)
        self.tickets = Tickets(self.clock)
        self.second_factor = SecondFactor(self.file, self.clock, self.codes)
        self.accounts = Accounts(
            self.file,
            self.clock,
            passwords=self.passwords,
            sessions=self.sessions,
            second_factor=self.second_factor,
            attempts=self.attempts,
        )
        self.setup = SetupWindow(
            self.file,
            codes=self.codes,
            accounts=self.accounts,
            sessions=self.sessions,
            attempts=self.attempts,
            audit=self.audit,
            had_admin=lambda: self._had_admin(state / "store"),
            opens_store=self._opens_store,
        )
        self.gate = Gate(
            self.file,
            self.clock,
            passwords=self.passwords,
            sessions=self.sessions,
            tokens=self.tokens,
            attempts=self.attempts,
            second_factor=self.second_factor,
            codes=self.codes,
            audit=self.audit,
        )

    @cached_property
    def passkeys(self) -> Passkeys:
        """WebAuthn; made when it is first asked for, because its library loads slowly."""
        from appliance.access.passkeys import Passkeys  # noqa: PLC0415

        return Passkeys(
            self.file,
            self.clock,
            gate=self.gate,
            sessions=self.sessions,
            attempts=self.attempts,
            tickets=self.tickets,
            audit=self.audit,
        )

    def steps(self, has_notices: Callable[[], bool] = lambda: False) -> SetupSteps:
        """How far setup is; `has_notices` says whether anybody hears of findings."""
        from appliance.access.host_abilities import find_facts  # noqa: PLC0415

        return SetupSteps(
            self.file,
            find_facts(self._state, self.accounts.has_admin, has_notices),
            store_id=self._store_id,
            proves=self._opens_store,
        )

    def _store_id(self) -> str | None:
        try:
            return keyring.read_descriptor(self._state).store_id
        except NotFoundError:
            return None

    def find_user(self, name: str) -> UserRow | None:
        """The user of this name; a token has none."""
        return self.file.users.get(name)

    def _had_admin(self, store: Path) -> bool:
        """Whether the users were there and are lost; before there is a store nothing is."""
        is_damaged = self.file.was_damaged and (store / "store.json").exists()
        return is_damaged or (store / MARK_PLACE).exists()

    def seal(self, records: SealedRecords) -> None:
        """Seal that there is an administrator and how far the audit log is, durably.

        Where users were lost and the recovery key was shown, the log that began then is taken for
        the right one, once.
        """
        if not self.accounts.has_admin():
            return
        if self.file.setting(BEGUN_ANEW):
            self.audit.reseal(records)
            self.file.set_setting(BEGUN_ANEW, "")
        else:
            self.audit.seal(records)

    def keep(self) -> None:
        """Write down what was used when, and seal the audit log if the store is unlocked.

        The daemon calls this every minute.
        """
        self.gate.keep()
        with suppress(AccessError, NotFoundError):
            master = keyring.load_master_key(self._state, None)
            self.seal(Records(Layout(self._state), master))

    def close(self) -> None:
        """Write down what was used when, and let go of the file."""
        self.gate.keep()
        self.file.close()

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def opens(state: Path, text: str) -> bool:
    """Whether `text` is a recovery key of the store in `state`."""
    try:
        keyring.open_with_recovery_key(state, parse_recovery_key(text))
    except HoldfastError:
        return False
    return True
