"""/findings: what a person should know of, and their word that they do."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from appliance.api.route import Ask, Known, Reply, Route, Time
from appliance.api.v1.jobs import Job


class EvidenceValue(msgspec.Struct, kw_only=True):
    """One value at one time."""

    time: Time
    value: Any


class Evidence(msgspec.Struct, kw_only=True):
    """Why a finding is said. `limit` is empty where there is none."""

    what: str
    values: list[EvidenceValue]
    unit: str
    limit: Any


class Finding(msgspec.Struct, kw_only=True):
    """A verdict. `name` is the word by which it is acknowledged, the same tomorrow."""

    name: str
    subject: str
    rule: str
    severity: Literal["critical", "warning", "notice"]
    summary: str
    evidence: list[Evidence]
    consequence: str
    action: str
    measure: float
    acknowledged: bool


async def list_findings(ask: Ask) -> Reply:
    """Worst first."""
    return Reply(ask.parts.snapshots.known("health", "findings"))


async def acknowledge_finding(ask: Ask) -> Reply:
    """Be quiet about it until it becomes worse."""
    return await ask.submit("acknowledge", {"finding": ask.name("finding")}, wait_s=30.0)


ROUTES = (
    Route(
        *("GET", "/findings", "What needs somebody, worst first", list_findings, "viewer"),
        answer=Known[Finding],
        also=frozenset({"console"}),
    ),
    Route(
        "POST",
        "/findings/{finding}/acknowledge",
        "Somebody knows of it",
        acknowledge_finding,
        "operator",
        status=202,
        answer=Job,
    ),
)
