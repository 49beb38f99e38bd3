"""/users and /tokens: people and programs that may come in, and what they may do."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from appliance.access.callers import ADMIN
from appliance.api.route import Ask, Page, Reply, Route, Time
from appliance.formats.names import format_time

UserRole = Literal["viewer", "operator", "admin"]
UserName = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class User(msgspec.Struct, kw_only=True):
    """A person. `has_initial_password`: has yet to choose one."""

    name: str
    role: UserRole
    is_disabled: bool
    has_initial_password: bool
    has_second_factor: bool
    created_at: Time
    last_login_at: Time | None


class NewUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A person to be let in; gets an initial password to choose one's own with."""

    name: UserName
    role: UserRole


class UserChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is not given stays."""

    role: UserRole | None = None
    is_disabled: bool | None = None


class InitialPassword(msgspec.Struct, kw_only=True):
    """To be handed over; shown once."""

    name: str
    initial_password: str


class Token(msgspec.Struct, kw_only=True):
    """A program that may come in."""

    id: str
    name: str
    owner: str
    role: str
    scopes: list[str]
    machine: str | None
    created_at: Time
    expires_at: Time | None
    seen_at: Time | None
    revoked_at: Time | None


class NewToken(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A token to make. Without `scopes` all of the role; `days` 0 never expires."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    role: Literal["viewer", "operator", "admin", "agent", "console"]
    scopes: list[str] = []
    machine: str | None = None
    days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 365


class MadeToken(msgspec.Struct, kw_only=True):
    """The secret is shown once."""

    token: Token
    secret: str


def time_of(seconds: float) -> str | None:
    """A time that is kept as seconds; 0 is never."""
    return format_time(datetime.fromtimestamp(int(seconds), UTC)) if seconds else None


def show_user(row: Any) -> User:
    """A row of the table as it is shown."""
    return User(
        name=row.name,
        role=row.role,
        is_disabled=bool(row.is_disabled),
        has_initial_password=bool(row.is_initial),
        has_second_factor=bool(row.totp_secret),
        created_at=time_of(row.created_s) or "",
        last_login_at=time_of(row.last_login_s),
    )


def show_token(row: Any) -> Token:
    """A row of the table as it is shown."""
    return Token(
        id=row.id,
        name=row.name,
        owner=row.owner,
        role=row.role,
        scopes=row.scopes.split(),
        machine=row.machine or None,
        created_at=time_of(row.created_s) or "",
        expires_at=time_of(row.expires_s),
        seen_at=time_of(row.seen_s),
        revoked_at=time_of(row.revoked_s),
    )


async def _agree(ask: Ask, what: str, arguments: Mapping[str, object]) -> None:
    """Raises NeedsApproval: whoever made an administrator alone would agree with himself."""
    await to_thread(ask.parts.access.approvals.check, ask.caller, what, arguments)


async def list_users(ask: Ask) -> Reply:
    """All users, by name."""
    rows = await to_thread(ask.parts.access.accounts.list)
    return Reply(Page(items=[show_user(row) for row in rows]))


async def add_user(ask: Ask) -> Reply:
    """Let somebody in."""
    body: NewUser = ask.body
    if body.role == ADMIN:
        await _agree(ask, "users add", {"name": body.name, "role": body.role})
    initial = await to_thread(ask.parts.access.accounts.add, body.name, body.role)
    made = InitialPassword(name=body.name, initial_password=initial or "")
    return Reply(made, status=201, headers={"Location": f"/api/v1/users/{body.name}"})


async def change_user(ask: Ask) -> Reply:
    """Another role, or out."""
    body: UserChange = ask.body
    accounts, name = ask.parts.access.accounts, ask.name("user")
    before = await to_thread(accounts.get, name)
    if (body.role or before.role) == ADMIN and not body.is_disabled:
        await _agree(ask, "users change", {"name": name, **msgspec.to_builtins(body)})
    if body.role is not None:
        await to_thread(accounts.set_role, name, body.role)
    if body.is_disabled is not None:
        await to_thread(accounts.disable if body.is_disabled else accounts.enable, name)
    return Reply(show_user(await to_thread(accounts.get, name)))


async def reset_password(ask: Ask) -> Reply:
    """A new initial password; the second factor goes too."""
    accounts, name = ask.parts.access.accounts, ask.name("user")
    if name != ask.caller.name and (await to_thread(accounts.get, name)).role == ADMIN:
        await _agree(ask, "users reset-password", {"name": name})
    initial = await to_thread(accounts.reset_password, name)
    return Reply(InitialPassword(name=name, initial_password=initial))


async def list_tokens(ask: Ask) -> Reply:
    """All tokens, oldest first."""
    rows = await to_thread(ask.parts.access.tokens.list)
    return Reply(Page(items=[show_token(row) for row in rows]))


async def make_token(ask: Ask) -> Reply:
    """A token of the caller's."""
    body: NewToken = ask.body

    def make() -> Any:
        return ask.parts.access.tokens.make(
            body.name,
            ask.caller.name,
            body.role,
            scopes=body.scopes,
            machine=body.machine,
            lifetime=timedelta(days=body.days) if body.days else None,
        )

    made = await to_thread(make)
    answer = MadeToken(token=show_token(made.row), secret=made.secret)
    return Reply(answer, status=201, headers={"Location": f"/api/v1/tokens/{made.row.id}"})


async def revoke_token(ask: Ask) -> Reply:
    """End a token."""
    return Reply(show_token(await to_thread(ask.parts.access.tokens.revoke, ask.name("token"))))


ROUTES = (
    Route(*("GET", "/users", "People who may log in", list_users, "admin"), answer=Page[User]),
    Route(
        *("POST", "/users", "Let somebody in", add_user, "admin"),
        body=NewUser,
        answer=InitialPassword,
        status=201,
        is_secret=True,
        is_destructive=True,
    ),
    Route(
        *("PUT", "/users/{user}", "Change what somebody may do", change_user, "admin"),
        body=UserChange,
        answer=User,
        is_destructive=True,
    ),
    Route(
        *("POST", "/users/{user}/password", "A new initial password", reset_password, "admin"),
        answer=InitialPassword,
        is_secret=True,
        is_destructive=True,
    ),
    Route(*("GET", "/tokens", "Tokens of programs", list_tokens, "admin"), answer=Page[Token]),
    Route(
        *("POST", "/tokens", "Make a token", make_token, "admin"),
        body=NewToken,
        answer=MadeToken,
        status=201,
        is_secret=True,
        is_destructive=True,
    ),
    Route(
        *("DELETE", "/tokens/{token}", "Revoke a token", revoke_token, "admin"),
        answer=Token,
    ),
)
