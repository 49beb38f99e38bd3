"""Tokens of programs: `hf_ID_SECRET`, kept by the hash of the secret.

Owns who may make which. A token never does more than its owner may at the moment it is used, and
never anything destructive: nobody can be asked to confirm.
"""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from appliance.access.callers import (
    ADMIN,
    AGENT,
    PEOPLE,
    SCOPES,
    Caller,
    parse_role,
    parse_scopes,
)
from appliance.access.sessions import digest_secret
from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError, UsageError
from appliance.catalog.access_file import AccessFile, TokenRow
from appliance.formats.names import parse_machine_name

PREFIX = "hf_"
BOX = "box"
"""Owner of what was made at the box itself."""
LIFETIME = timedelta(days=365)
_TOKEN = re.compile(r"hf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


@dataclass(frozen=True)
class NewToken:
    """A token that was just made; `secret` is shown once and is nowhere afterwards."""

    row: TokenRow
    secret: str


class Tokens:
    """The tokens of one box. Any thread may ask."""

    def __init__(self, file: AccessFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def make(
        self,
        name: str,
        owner: str,
        role: str,
        *,
        scopes: Iterable[str] = (),
        machine: str | None = None,
        lifetime: timedelta | None = LIFETIME,
    ) -> NewToken:
        """A new token, durable on return; without `lifetime` it does not expire.

        Raises UsageError for a wish that makes no sense, or one beyond the owner's own role.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                "a token's name has 1 to 64 letters, digits, spaces, '.', '_' or '-'",
                code="bad-token-name",
            )
        parse_role(role)
        if (role == AGENT) != (machine is not None):
            raise UsageError("a token of an agent names its machine, and no other does")
        if role not in self._roles_of(owner):
            raise UsageError(f"{owner} cannot make a token of {role}")
        now_s = self._now_s()
        public, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = TokenRow(
            public,
            name,
            digest_secret(secret),
            owner,
            role,
            " ".join(sorted(parse_scopes(role, scopes))),
            "" if machine is None else parse_machine_name(machine),
            now_s,
            0.0 if lifetime is None else now_s + lifetime.total_seconds(),
        )
        self._file.tokens.add(row)
        return NewToken(row, f"{PREFIX}{public}_{secret}")

    def find(self, text: str, address: str) -> Caller | None:
        """The caller of a living token, which is now seen."""
        parts = _TOKEN.fullmatch(text)
        row = self._file.tokens.get(parts[1]) if parts else None
        if parts is None or row is None:
            return None
        is_same = hmac.compare_digest(row.digest, digest_secret(parts[2]))
        now_s = self._now_s()
        if not is_same or row.revoked_s or (row.expires_s and now_s > row.expires_s):
            return None
        allowed = self._roles_of(row.owner)
        if row.role not in allowed and row.role not in PEOPLE:
            return None
        scopes = frozenset(row.scopes.split())
        if row.role in PEOPLE:  # whoever was given a lesser role takes his tokens along
            scopes &= frozenset().union(*(SCOPES[role] for role in allowed if role in PEOPLE))
        if not scopes:
            return None
        with self._lock:
            self._seen[row.id] = now_s
        return Caller(
            f"token:{row.name}", row.role, scopes, machine=row.machine or None, address=address
        )

    def _roles_of(self, owner: str) -> tuple[str, ...]:
        """What `owner` may make tokens for: its own role and lesser ones; an admin all."""
        if owner == BOX:
            return tuple(SCOPES)
        user = self._file.users.get(owner)
        if user is None or user.is_disabled:
            return ()
        if user.role == ADMIN:
            return tuple(SCOPES)
        return PEOPLE[: PEOPLE.index(user.role) + 1]

    def get(self, key: str) -> TokenRow:
        """A token by its id. Raises NotFoundError."""
        row = self._file.tokens.get(key)
        if row is None:
            raise NotFoundError(f"no token '{key}': 'holdfast tokens list' shows them")
        return row

    def list(self) -> list[TokenRow]:
        """All tokens, revoked ones too, oldest first."""
        return sorted(self._file.tokens.where(), key=lambda row: row.created_s)

    def revoke(self, key: str) -> TokenRow:
        """End a token, durably. Raises NotFoundError."""
        row = self.get(key)
        if not row.revoked_s:
            self._file.tokens.change(key, revoked_s=self._now_s())
        return self.get(key)

    def keep(self) -> None:
        """Write down which tokens were used since the last time, durably."""
        with self._lock:
            seen, self._seen = self._seen, {}
        if seen:
            with self._file.transaction():
                for key, seen_s in seen.items():
                    self._file.tokens.change(key, seen_s=seen_s)

    def _now_s(self) -> float:
        return self._clock.now().timestamp()
