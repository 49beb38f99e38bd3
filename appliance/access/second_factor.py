"""The second factor of a person: codes of an authenticator (TOTP), and recovery codes on paper.

Owns enrolment and that no code is taken twice. The secret is kept readable: a box must check codes
before anybody has unlocked it, so the file is all that protects it (mode 0600).
"""

from __future__ import annotations

import hmac
import io
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyotp
import segno

from appliance.access.codes import Codes
from appliance.base.clock import Clock
from appliance.base.errors import UsageError
from appliance.catalog.access_file import AccessFile, UserRow

RECOVERY_CODES = 10
_RECOVERY = "recovery"
_FOR_EVER = timedelta(days=36500)
_STEP_S = 30
_DRIFT_STEPS = 1
"""RFC 6238, section 5.2: one step for the network's delay; phones keep time."""
_DIGITS = 6


@dataclass(frozen=True)
class Enrolment:
    """What is shown once while a second factor is set up."""

    secret: str
    uri: str
    qr_svg: str


class SecondFactor:
    """TOTP of all users. Any thread may ask."""

    def __init__(self, file: AccessFile, clock: Clock, codes: Codes) -> None:
        self._file = file
        self._clock = clock
        self._codes = codes

    def has(self, user: UserRow) -> bool:
        """Whether an authenticator is set up."""
        return bool(user.totp_secret)

    def begin(self, user: UserRow, box: str) -> Enrolment:
        """A new secret, which counts only after `finish`; what was set up before still does."""
        secret = pyotp.random_base32()
        self._file.users.change(user.name, totp_pending=secret)
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.name, issuer_name=f"Holdfast {box}")
        picture = io.BytesIO()
        segno.make(uri, micro=False).save(
            picture, kind="svg", scale=4, xmldecl=False, svgns=True, dark="#000", light="#fff"
        )
        return Enrolment(secret, uri, picture.getvalue().decode())

    def finish(self, user: UserRow, code: str) -> list[str]:
        """The first right code makes it count; gives the recovery codes, shown only now.

        Raises UsageError if nothing was begun or the code is wrong.
        """
        with self._file.transaction():
            row = self._file.users.get(user.name)
            if row is None or not row.totp_pending:
                raise UsageError("begin with a new code for the authenticator first")
            step = self._matching_step(row.totp_pending, code)
            if step is None:
                raise UsageError(
                    "the code is wrong: is the time of the phone and the box right?",
                    code="wrong-code",
                )
            self._file.users.change(
                user.name, totp_secret=row.totp_pending, totp_pending="", totp_step=step
            )
            self._codes.close(_RECOVERY, user.name)
            return [
                self._codes.make(_RECOVERY, user.name, lifetime=_FOR_EVER, is_only=False)
                for _ in range(RECOVERY_CODES)
            ]

    def check(self, user: UserRow, code: str) -> bool:
        """Whether `code` is right now, and was not used before; a recovery code is used up."""
        plain = "".join(code.split())
        if len(plain) != _DIGITS:
            return self._codes.use(_RECOVERY, user.name, code)
        with self._file.transaction():
            row = self._file.users.get(user.name)
            if row is None or not row.totp_secret:
                return False
            step = self._matching_step(row.totp_secret, plain)
            if step is None or step <= row.totp_step:
                return False
            self._file.users.change(user.name, totp_step=step)
            return True

    def recovery_codes_left(self, user: UserRow) -> int:
        """How many recovery codes were not used yet."""
        return self._codes.count(_RECOVERY, user.name)

    def remove(self, user: str) -> None:
        """Take the second factor away, with its recovery codes."""
        with self._file.transaction():
            self._file.users.change(user, totp_secret="", totp_pending="", totp_step=0)
            self._codes.close(_RECOVERY, user)

    def _matching_step(self, secret: str, code: str) -> int | None:
        now = self._clock.now()
        found = None
        for drift in range(-_DRIFT_STEPS, _DRIFT_STEPS + 1):  # all, however early one matches
            time = now + timedelta(seconds=drift * _STEP_S)
            if hmac.compare_digest(_code_at(secret, time).encode(), code.encode()):
                found = int(time.timestamp()) // _STEP_S
        return found


def _code_at(secret: str, time: datetime) -> str:
    return pyotp.TOTP(secret).at(time)
