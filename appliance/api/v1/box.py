"""/box: the first thing a page asks: one sentence, and the cards below it."""

from __future__ import annotations

from typing import Any

import msgspec

from appliance.api.route import Ask, Count, Reply, Route, Time


class Sentence(msgspec.Struct, kw_only=True):
    """How things stand. The page has the words; `code` says which, `args` fills them.

    Codes: `not_set_up`, `locked`, `no_machines`, `failed`, `late`, `waiting` (new machines without
    a point yet), `protected`. Args: `machines`, `failed`, `late`, `new` (counts), `newest_point`,
    `vault`, `vault_behind_s`, `vault_behind_machine` (where a vault is behind its target).
    """

    code: str
    args: dict[str, Any]


class SpaceCard(msgspec.Struct, kw_only=True):
    """The filesystem of the store. `full_at`: when it will be full as things go."""

    total_bytes: Count | None = None
    free_bytes: Count | None = None
    stored_bytes: Count | None = None
    full_at: Time | None = None


class VaultCard(msgspec.Struct, kw_only=True):
    """The vault that is furthest behind."""

    vaults: Count = 0
    name: str | None = None
    machine: str | None = None
    behind_s: float | None = None
    is_within_target: bool | None = None
    waiting_bytes: Count = 0


class DisksCard(msgspec.Struct, kw_only=True):
    """Disks by verdict."""

    good: Count = 0
    notice: Count = 0
    warning: Count = 0
    critical: Count = 0


class DrillCard(msgspec.Struct, kw_only=True):
    """The newest drill."""

    id: str
    verdict: str
    began: Time
    rto_s: float | None


class AddressTrial(msgspec.Struct, kw_only=True):
    """Other addresses that a port has until then, unless `box keep` is run."""

    port: str
    ends_at: Time


class Box(msgspec.Struct, kw_only=True):
    """The box. Counts of `machines` are by state, of `findings` by severity, of `jobs` by state."""

    name: str
    version: str
    time: Time
    is_set_up: bool
    is_unlocked: bool
    sentence: Sentence
    machines: dict[str, Count]
    space: SpaceCard
    vault: VaultCard
    disks: DisksCard
    findings: dict[str, Count]
    jobs: dict[str, Count]
    last_drill: DrillCard | None
    address_trial: AddressTrial | None
    as_of: Time | None


async def get_box(ask: Ask) -> Reply:
    """What is known now; nothing is looked up."""
    return Reply(await ask.parts.box())


ROUTES = (
    Route(
        *("GET", "/box", "How the box stands", get_box, "viewer"),
        answer=Box,
        also=frozenset({"console"}),
    ),
)
