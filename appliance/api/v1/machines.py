"""/machines: what is protected, and since when."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from appliance.api.route import Ask, Count, Page, PageQuery, Reply, Route, Time

State = Literal["protected", "late", "failed", "new", "paused", "retired"]


class MachineVault(msgspec.Struct, kw_only=True):
    """How far a vault is behind the box."""

    name: str
    behind_s: float | None
    will_be_within_target_at: Time | None


class MachineDrill(msgspec.Struct, kw_only=True):
    """The newest drill of a machine."""

    id: str
    at: Time
    verdict: str
    rto_s: float | None


class Machine(msgspec.Struct, kw_only=True):
    """A machine. `rpo_s` is the age of its newest complete point, `size_bytes` that of its disks.

    `policy` names the policy that holds for it, null for none.
    """

    name: str
    state: State
    newest_point: str | None
    newest_at: Time | None
    oldest_at: Time | None
    points: Count
    damaged_points: Count
    size_bytes: Count
    policy: str | None
    next_run_at: Time | None
    rpo_s: float | None
    rpo_target_s: float | None
    vaults: list[MachineVault]
    last_drill: MachineDrill | None


class MachinesQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Which machines: `search` is part of a name."""

    state: State | None = None
    search: Annotated[str, msgspec.Meta(max_length=64)] | None = None


async def list_machines(ask: Ask) -> Reply:
    """By name."""
    query: MachinesQuery = ask.query
    return Reply(await ask.parts.machines.page(query.after, query.limit, query.state, query.search))


async def get_machine(ask: Ask) -> Reply:
    """One machine."""
    return Reply(await ask.parts.machines.get(ask.name("machine")))


ROUTES = (
    Route(
        *("GET", "/machines", "Machines, by name", list_machines, "viewer"),
        query=MachinesQuery,
        answer=Page[Machine],
        also=frozenset({"console"}),
    ),
    Route(
        *("GET", "/machines/{machine}", "One machine", get_machine, "viewer"),
        answer=Machine,
        also=frozenset({"console"}),
    ),
)
