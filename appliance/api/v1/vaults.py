"""/vaults: the off-site copies, as the box remembers them."""

from __future__ import annotations

from typing import Any

import msgspec

from appliance.api.route import Ask, Count, Known, Reply, Route, Time


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
    return Reply(ask.parts.snapshots.known("vault status", "vaults"))


ROUTES = (
    Route(
        *("GET", "/vaults", "The off-site copies", list_vaults, "viewer"),
        answer=Known[Vault],
        also=frozenset({"console"}),
    ),
)
