"""Roles, scopes, and the caller that comes out of admission.

A role is a name for a set of scopes; a route asks for a role, and a caller may take it when its
scopes cover what that role stands for. Owns the refusals too, each with the HTTP status that it
becomes. Decides nothing about passwords, sessions or tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from appliance.base.errors import AccessError, UsageError

VIEWER, OPERATOR, ADMIN, AGENT, CONSOLE = "viewer", "operator", "admin", "agent", "console"
SETUP = "setup"
REMOTE = "remote"
"""What a console needs to ask for something: no role, as `console` is what may read figures."""
ROLES = (VIEWER, OPERATOR, ADMIN, AGENT, CONSOLE)
PEOPLE = (VIEWER, OPERATOR, ADMIN)
"""Roles that a person may have; agent and console are for tokens only."""

# What each role may do. `add`: put data of its own machine there, see and change nothing else.
# `telemetry`: read figures, never data. `request`: ask for what is on the list for consoles.
SCOPES: dict[str, frozenset[str]] = {
    VIEWER: frozenset({"read", "telemetry"}),
    OPERATOR: frozenset({"read", "telemetry", "operate"}),
    ADMIN: frozenset({"read", "telemetry", "operate", "administer"}),
    AGENT: frozenset({"add"}),
    CONSOLE: frozenset({"telemetry", "request"}),
    SETUP: frozenset({"setup"}),
}
_NEEDED = {
    VIEWER: "read",
    OPERATOR: "operate",
    ADMIN: "administer",
    AGENT: "add",
    CONSOLE: "telemetry",
    SETUP: "setup",
    REMOTE: "request",
}


class Unauthenticated(AccessError):
    """Nobody we know: HTTP 401."""

    status = 401


class Forbidden(AccessError):
    """Known, and not allowed: HTTP 403."""

    status = 403


class NeedsConfirmation(Forbidden):
    """Allowed after the person confirmed who they are, just now: HTTP 403, `/session/confirm`."""


class NeedsApproval(Forbidden):
    """Allowed after a second administrator has agreed: HTTP 403; `approval` names the request."""

    def __init__(self, text: str, approval: str) -> None:
        super().__init__(text)
        self.approval = approval


class NeedsCode(Unauthenticated):
    """The password was right, and a second factor is needed: HTTP 401, ask for the code."""


class RateLimited(AccessError):
    """Too many attempts: HTTP 429 with Retry-After."""

    status = 429

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of a user, or `token:NAME`.
        machine: the only one that an agent may touch; None: not bound.
        confirmed_until: destructive actions are allowed until then; None: not at all.
        session: the digest of the session; empty for tokens and peers at the box.
        is_present: whether it acts at the box itself, over the local socket.
        address: where from, for the audit log.
        has_initial_password: may only choose a password of its own.
    """

    name: str
    role: str
    scopes: frozenset[str]
    machine: str | None = None
    confirmed_until: datetime | None = None
    session: str = ""
    is_present: bool = False
    address: str = ""
    has_initial_password: bool = False

    def may(self, role: str) -> bool:
        """Whether this caller may do what needs `role`."""
        return _NEEDED[role] in self.scopes

    def require(self, role: str) -> None:
        """Raises Forbidden unless this caller may do what needs `role`."""
        if self.has_initial_password:
            raise Forbidden("choose a password of your own first", code="initial-password")
        if not self.may(role):
            raise Forbidden(f"{self.name} is {self.role}, and this needs {role}")

    def require_machine(self, machine: str) -> None:
        """Raises Forbidden if this caller is bound to another machine than `machine`."""
        if self.machine is not None and self.machine != machine:
            raise Forbidden(f"{self.name} may act for the machine '{self.machine}' only")


def parse_role(text: str, allowed: Iterable[str] = ROLES) -> str:
    """A role by its name. Raises UsageError."""
    allowed = tuple(allowed)
    if text not in allowed:
        raise UsageError(f"'{text}' is no role: choose one of {', '.join(allowed)}")
    return text


def parse_scopes(role: str, scopes: Iterable[str]) -> frozenset[str]:
    """Scopes for a token of `role`; without any, all that the role has. Raises UsageError."""
    wanted = frozenset(scopes)
    if not wanted:
        return SCOPES[role]
    strange = wanted - SCOPES[role]
    if strange:
        offered = ", ".join(sorted(SCOPES[role]))
        raise UsageError(f"a token of {role} has no scope '{min(strange)}': it has {offered}")
    return wanted
