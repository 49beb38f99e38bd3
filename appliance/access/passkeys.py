"""Passkeys (WebAuthn): a device that proves itself and who holds it, both factors at once.

Owns challenges, which are good for some minutes and once, and what is kept of a passkey. Offered
only to who opened the page by a name: a passkey belongs to the name it was made under. Whether the
certificate is trusted the browser sees to: it refuses otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from appliance.access.attempts import Attempts
from appliance.access.audit import REFUSED, Audit
from appliance.access.browser_rules import is_host_of_passkeys, split_host
from appliance.access.callers import Caller, Forbidden, Unauthenticated
from appliance.access.gate import Facts, Gate
from appliance.access.sessions import Sessions
from appliance.access.tickets import Tickets
from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError, UsageError
from appliance.catalog.access_file import AccessFile, PasskeyRow, UserRow

_PASSKEYS_MAX = 20
_LABEL_MAX = 64
_PASSKEY = "passkey"
_HOST = "@"
# What parsers of foreign bytes raise beside the library's own error.
_MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError)


@dataclass(frozen=True)
class _Challenge:
    ticket: str
    host: str  # as the browser says it, with its port
    challenge: bytes


class Passkeys:
    """The passkeys of one box. Any thread may ask."""

    def __init__(
        self,
        file: AccessFile,
        clock: Clock,
        *,
        gate: Gate,
        sessions: Sessions,
        attempts: Attempts,
        tickets: Tickets,
        audit: Audit,
    ) -> None:
        self._file = file
        self._clock = clock
        self._gate = gate
        self._sessions = sessions
        self._attempts = attempts
        self._audit = audit
        self._tickets = tickets

    def list(self, user: str) -> list[PasskeyRow]:
        """The passkeys of a user."""
        return self._file.passkeys.where(user=user)

    def remove(self, user: str, key: str) -> None:
        """Take one away, durably. Raises NotFoundError."""
        if not self._file.passkeys.remove(id=key, user=user):
            raise NotFoundError(f"{user} has no such passkey")

    def begin_making(self, user: UserRow, host: str) -> tuple[str, str]:
        """A ticket, and the options for `navigator.credentials.create` as JSON."""
        name = self._name_of(host)
        known = self.list(user.name)
        if len(known) >= _PASSKEYS_MAX:
            raise UsageError(f"{user.name} has {_PASSKEYS_MAX} passkeys: remove one first")
        ticket, challenge = self._challenge(user.name, host)
        options = webauthn.generate_registration_options(
            rp_id=name,
            rp_name="Holdfast",
            user_name=user.name,
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(base64url_to_bytes(row.id)) for row in known
            ],
        )
        return ticket, webauthn.options_to_json(options)

    def finish_making(
        self, user: UserRow, ticket: str, response: Mapping[str, Any], label: str
    ) -> PasskeyRow:
        """Keep the new passkey, durably. Raises UsageError if the answer is not one to the ticket.

        The route asks for a confirmation first: a passkey confirms later on.
        """
        asked = self._recall(ticket, user.name)
        try:
            made = webauthn.verify_registration_response(
                credential=dict(response),
                expected_challenge=asked.challenge,
                expected_rp_id=self._name_of(asked.host),
                expected_origin=f"https://{asked.host}",
                require_user_verification=True,
            )
        except _MALFORMED as error:
            raise UsageError(
                "the device's answer does not fit: begin again", code="passkey-misfit"
            ) from error
        self._tickets.use(asked.ticket)
        row = PasskeyRow(
            bytes_to_base64url(made.credential_id),
            user.name,
            bytes_to_base64url(made.credential_public_key),
            made.sign_count,
            label[:_LABEL_MAX],
            self._clock.now().timestamp(),
        )
        if not self._file.passkeys.add(row):
            raise UsageError("this passkey is known already", code="passkey-known")
        self._audit.note(user.name, "passkey add", detail=row.label)
        return row

    def begin_asking(self, host: str, caller: Caller | None = None) -> tuple[str, str]:
        """A ticket, and the options for `navigator.credentials.get` as JSON.

        Without `caller` to log in: the device knows who it belongs to, so no name is asked for, and
        none told. With one to confirm.
        """
        ticket, challenge = self._challenge("" if caller is None else caller.name, host)
        options = webauthn.generate_authentication_options(
            rp_id=self._name_of(host),
            challenge=challenge,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return ticket, webauthn.options_to_json(options)

    def log_in(self, ticket: str, response: Mapping[str, Any], facts: Facts) -> str:
        """The secret of a new session. Raises Unauthenticated, RateLimited."""
        self._attempts.check(_PASSKEY, facts.address)
        user = self._verify(self._recall(ticket, ""), response, facts, "login")
        self._attempts.succeed(_PASSKEY, facts.address)
        return self._gate.begin_session(user, facts, _PASSKEY)

    def confirm(self, ticket: str, response: Mapping[str, Any], facts: Facts) -> str:
        """As `Gate.confirm`, by the device: the session's new secret."""
        caller = self._gate.admit(Facts(facts.address, facts.cookie))
        self._attempts.check(_PASSKEY, facts.address)
        user = self._verify(self._recall(ticket, caller.name), response, facts, "confirm")
        if user.name != caller.name or not facts.cookie:
            raise Forbidden("this passkey is somebody else's")
        secret = self._sessions.confirm(facts.cookie)
        self._audit.note(user.name, "confirm", detail=_PASSKEY, address=facts.address)
        return secret

    def _verify(
        self, asked: _Challenge, response: Mapping[str, Any], facts: Facts, action: str
    ) -> UserRow:
        key = response.get("id")
        row = self._file.passkeys.get(key) if isinstance(key, str) else None
        user = None if row is None else self._file.users.get(row.user)
        try:
            if row is None or user is None or user.is_disabled or user.is_initial:
                raise ValueError("no such passkey")
            proof = webauthn.verify_authentication_response(
                credential=dict(response),
                expected_challenge=asked.challenge,
                expected_rp_id=self._name_of(asked.host),
                expected_origin=f"https://{asked.host}",
                credential_public_key=base64url_to_bytes(row.public_key),
                credential_current_sign_count=row.sign_count,
                require_user_verification=True,
            )
        except _MALFORMED as error:
            self._attempts.fail(_PASSKEY, facts.address)
            who = "" if user is None else user.name
            self._audit.note(who, action, outcome=REFUSED, detail=_PASSKEY, address=facts.address)
            raise Unauthenticated("this passkey does not open this box") from error
        self._tickets.use(asked.ticket)
        self._file.passkeys.change(row.id, sign_count=proof.new_sign_count)
        return user

    def _name_of(self, host: str) -> str:
        parts = split_host(host)
        if parts is None or not is_host_of_passkeys(parts[0]):
            raise UsageError(
                "passkeys work by name only: open this page by a name of the box",
                code="passkey-by-name",
            )
        return parts[0]

    def _challenge(self, user: str, host: str) -> tuple[str, bytes]:
        """A ticket that names the host, and the challenge that belongs to it, the user and it."""
        self._name_of(host)
        host = host.lower()
        ticket, challenge = self._tickets.issue(_purpose(user, host))
        return f"{ticket}{_HOST}{host}", challenge

    def _recall(self, ticket: str, user: str) -> _Challenge:
        ticket, _, host = ticket.partition(_HOST)
        return _Challenge(ticket, host, self._tickets.recall(ticket, _purpose(user, host)))


def _purpose(user: str, host: str) -> str:
    return f"{_PASSKEY} {user} {host}"
