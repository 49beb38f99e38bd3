"""/vaults: the off-site copies, as the box remembers them."""

from __future__ import annotations

from asyncio import to_thread
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from appliance.api.route import Ask, Count, Known, Page, Reply, Route, Time
from appliance.base.errors import NotFoundError
from appliance.formats.names import format_time
from appliance.vault.line_history import recall_line

HOURS_MAX = 31 * 24
_VAULTS = ("vault status", "vaults")


class VaultMachine(msgspec.Struct, kw_only=True):
    """A machine in a vault. `newest` is its newest point here, `newest_there` in the vault."""

    machine: str
    newest: Time
    newest_there: Time | None
    behind_s: float | None
    rpo_s: float
    within_target: bool
    waiting_bytes: Count
    within_at: Time | None
    points_there: Count
    immutable_until: Time | None


class Vault(msgspec.Struct, kw_only=True):
    """A vault. `traffic` is by day (UTC); `windows` as `vault limit --window` takes them."""

    name: str
    url: str
    vault: str
    lock_days: Count
    limit_bytes_per_s: Count
    share_percent: Count
    budget_bytes_per_day: Count
    rpo_s: Count
    machine_rpo_s: dict[str, Count]
    windows: list[str]
    retention: dict[str, Any] | None
    cost_today_usd: float
    storage_usd_per_month: float
    owner: bool
    epoch: Count
    counter: Count
    objects: Count
    stored_bytes: Count
    machines: list[VaultMachine]
    traffic: dict[str, Any]
    last_sync: dict[str, Any]
    lock_proven_at: Time | None


async def list_vaults(ask: Ask) -> Reply:
    """All vaults of the box."""
    return Reply(ask.parts.snapshots.known(*_VAULTS))


class Rate(msgspec.Struct, kw_only=True):
    """How fast something went out from then until the next rate; 0 while nothing did."""

    time: Time
    bytes_per_s: float


class LineQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far back."""

    hours: Annotated[int, msgspec.Meta(ge=1, le=HOURS_MAX)] = 24


async def list_rates(ask: Ask) -> Reply:
    """Of the line to one vault, oldest first."""
    name, query = ask.name("vault"), ask.query
    if not any(one["name"] == name for one in ask.parts.snapshots.known(*_VAULTS)["items"]):
        raise NotFoundError(
            "there is no such vault: 'holdfast vault status' lists them", code="no-vault"
        )
    since = ask.parts.clock.now() - timedelta(hours=query.hours)
    values = await to_thread(recall_line, ask.parts.state, name, since)
    items = [
        Rate(time=format_time(time.replace(microsecond=0)), bytes_per_s=value)
        for time, value in values
    ]
    return Reply(Page(items=items))


ROUTES = (
    Route(
        *("GET", "/vaults", "The off-site copies", list_vaults, "viewer"),
        answer=Known[Vault],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/vaults/{vault}/line", "How fast the line was, oldest first", list_rates),
        "viewer",
        query=LineQuery,
        answer=Page[Rate],
        also=frozenset({"console"}),
    ),
)
