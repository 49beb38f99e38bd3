"""A second person agrees before what cannot be undone, where the box is told so.

Owns requests: each is bound to one verb with exactly its arguments and to who asked, is decided by
another administrator, and is used once, within a day. At the box nobody else is asked.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta

from appliance.access.audit import REFUSED, Audit
from appliance.access.callers import ADMIN, Caller, Forbidden, NeedsApproval
from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError, UsageError
from appliance.catalog.access_file import AccessFile, ApprovalRow
from appliance.formats.redaction import hide_secrets

LIFETIME = timedelta(days=1)
_SETTING = "second_person"
_SHOWN_MAX = 4000


class Approvals:
    """The requests of one box. Any thread may ask."""

    def __init__(self, file: AccessFile, clock: Clock, audit: Audit) -> None:
        self._file = file
        self._clock = clock
        self._audit = audit

    @property
    def is_required(self) -> bool:
        """Whether destructive actions need a second administrator."""
        return self._file.setting(_SETTING) == "yes"

    def require_from_now_on(self, caller: Caller, is_required: bool) -> None:
        """Turn it on or off, durably. Raises UsageError if there is no second administrator.

        To turn it off is destructive itself: the caller's route asks `check` with it first.
        """
        if is_required and len(self._file.users.where(role=ADMIN, is_disabled=0)) < 2:
            raise UsageError(
                "make a second administrator first: nobody could agree", code="needs-second-admin"
            )
        self._file.set_setting(_SETTING, "yes" if is_required else "")
        self._audit.note(
            caller.name,
            "second person",
            detail="on" if is_required else "off",
            address=caller.address,
        )

    def check(self, caller: Caller, verb: str, arguments: Mapping[str, object]) -> None:
        """Take the approval for exactly this, if one is needed; it is used up, durably.

        Raises NeedsApproval, which names the request that now waits for a second person; UsageError
        for what is too long to be shown to them.
        """
        if caller.is_present or not self.is_required:
            return
        digest = digest_request(caller.name, verb, arguments)
        with self._file.transaction():
            living = [
                row for row in self._file.approvals.where(digest=digest) if self._is_open(row)
            ]
            for row in living:
                if row.is_approved:
                    self._file.approvals.change(row.id, used_s=self._now_s())
                    self._audit.note(
                        caller.name, f"approved {verb}", target=row.id, detail=row.decided_by
                    )
                    return
            request = living[0].id if living else self._ask(caller, verb, arguments, digest)
        raise NeedsApproval("a second administrator has to agree first", request)

    def _ask(self, caller: Caller, verb: str, arguments: Mapping[str, object], digest: str) -> str:
        shown = hide_secrets(arguments)
        if len(shown) > _SHOWN_MAX:
            raise UsageError("this is too long to be shown to whoever has to agree")
        now_s = self._now_s()
        self._file.approvals.remove_below("expires_s", now_s - LIFETIME.total_seconds())
        row = ApprovalRow(
            secrets.token_hex(8),
            digest,
            verb,
            shown,
            caller.name,
            now_s,
            now_s + LIFETIME.total_seconds(),
        )
        self._file.approvals.add(row)
        self._audit.note(caller.name, f"ask for {verb}", target=row.id, address=caller.address)
        return row.id

    def decide(self, caller: Caller, request: str, *, is_approved: bool) -> ApprovalRow:
        """Agree, or refuse, durably. The route asks for an administrator who just confirmed.

        Raises NotFoundError for a request that is not open, Forbidden for one's own.
        """
        caller.require(ADMIN)
        with self._file.transaction():
            row = self._file.approvals.get(request)
            if row is None or row.decided_s or not self._is_open(row):
                raise NotFoundError(f"no request '{request}' waits for a decision")
            if not caller.session and not caller.is_present:
                raise Forbidden("a token cannot agree: somebody who is logged in has to")
            if row.asked_by == caller.name:
                raise Forbidden("somebody else has to agree", code="own-request")
            self._file.approvals.change(
                request,
                decided_by=caller.name,
                decided_s=self._now_s(),
                is_approved=int(is_approved),
            )
            self._audit.note(
                caller.name,
                f"agree to {row.verb}",
                target=request,
                outcome="done" if is_approved else REFUSED,
                address=caller.address,
            )
        decided = self._file.approvals.get(request)
        assert decided is not None
        return decided

    def list(self) -> list[ApprovalRow]:
        """Requests that wait for a decision, or for being used; oldest first."""
        rows = [row for row in self._file.approvals.where() if self._is_open(row)]
        return sorted(rows, key=lambda row: row.asked_s)

    def _is_open(self, row: ApprovalRow) -> bool:
        is_refused = row.decided_s and not row.is_approved
        return not row.used_s and not is_refused and row.expires_s > self._now_s()

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def digest_request(who: str, verb: str, arguments: Mapping[str, object]) -> str:
    """Equal for the same person, verb and arguments only."""
    text = json.dumps([who, verb, dict(arguments)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
