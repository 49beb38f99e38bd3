"""Damage of the store as commands show it: what is hurt, and where."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.text import counted, size
from appliance.store.findings import Finding
from appliance.store.points import PointFile
from appliance.store.store import Store


def finding_json(store: Store, finding: Finding) -> dict[str, Any]:
    """A finding about the store, with the names of the points that it hurts."""
    return {
        "severity": finding.severity,
        "what": finding.what,
        "evidence": finding.evidence,
        "noticed": finding.noticed,
        "quarantined": finding.is_quarantined,
        "repaired": finding.repaired,
        "hurt_points": finding.hurt_points,
        "hurts": [
            {"name": _name_of(store, hurt.key), **lost_json(hurt.hurt_bytes, hurt.ranges)}
            for hurt in finding.hurts
        ],
        "advice": finding.advice,
    }


def _name_of(store: Store, key: str) -> str:
    try:
        return str(store.points.read(PointFile.parse(key)).name)
    except (IntegrityError, NotFoundError):
        return key


def describe_hurts(finding: dict[str, Any]) -> list[str]:
    """Lines about the points that a finding hurts, as `finding_json` gave it."""
    lines = [
        f"  hurts {hurt['name']}: {size(hurt['hurt_bytes'])} at {name_ranges(hurt['ranges'])}"
        for hurt in finding["hurts"]
    ]
    more = finding["hurt_points"] - len(finding["hurts"])
    return lines + ([f"  and {counted(more, 'more point')}"] if more > 0 else [])


def name_ranges(ranges: list[dict[str, int]]) -> str:
    """Ranges of disks: `disk0 OFFSET+LENGTH`."""
    return ", ".join(f"disk{one['disk']} {one['offset']}+{one['length']}" for one in ranges)


def lost_json(hurt_bytes: int, ranges: Iterable[tuple[int, int, int]]) -> dict[str, Any]:
    """What is lost: bytes, and the first of the ranges."""
    return {
        "hurt_bytes": hurt_bytes,
        "ranges": [
            {"disk": disk, "offset": offset, "length": length} for disk, offset, length in ranges
        ],
    }
