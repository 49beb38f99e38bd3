"""/policies and /notices: what is promised, and who hears of findings.

They are changed by verbs: `policy set`, `machines pause`, `notices add`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from appliance.api.route import Ask, Known, Reply, Route, Time


class PolicyShown(msgspec.Struct, kw_only=True):
    """What is promised to a machine, or (null) to all that have nothing of their own.

    `policy` says which points stay, `kept` the same in words; `sentence` is all that is promised.
    """

    machine: str | None
    policy: dict[str, Any]
    kept: str
    protection: dict[str, Any]
    schedule: list[str]
    drill: list[str]
    sentence: str
    next_slots: list[Time]


async def list_policies(ask: Ask) -> Reply:
    """The default first."""
    return Reply(ask.parts.snapshots.known("policy show", "policies"))


async def list_presets(ask: Ask) -> Reply:
    """What a branch office begins with."""
    return Reply(ask.parts.snapshots.known("policy presets", "presets"))


async def list_channels(ask: Ask) -> Reply:
    """Mail and webhooks."""
    return Reply(ask.parts.snapshots.known("notices list", "channels"))


async def list_told(ask: Ask) -> Reply:
    """What was told to whom, and what failed."""
    return Reply(ask.parts.snapshots.known("notices log", "messages"))


ROUTES = (
    Route(
        *("GET", "/policies", "What is promised", list_policies, "viewer"),
        answer=Known[PolicyShown],
    ),
    Route(
        *("GET", "/policies/presets", "Policies to begin with", list_presets, "viewer"),
        answer=Known[dict[str, Any]],
    ),
    Route(
        *("GET", "/notices", "Who hears of findings", list_channels, "viewer"),
        answer=Known[dict[str, Any]],
    ),
    Route(
        *("GET", "/notices/log", "What was told to whom", list_told, "viewer"),
        answer=Known[dict[str, Any]],
    ),
)
