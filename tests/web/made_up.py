"""Answers of a box with more than a test's machine has: bays, sick disks, a vault, many points."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
POINTS = 5000
DRILL = "20261121T093000Z"
HOSTILE = "<img src=x onerror=alert(1)> 备份"


def said(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def ago(**span: float) -> str:
    return said(NOW - timedelta(**span))


def point(number: int) -> dict[str, Any]:
    """The points of `web1`, the newest first."""
    time = ago(hours=2 * number)
    return {
        "name": f"web1@{time}",
        "machine": "web1",
        "time": time,
        "state": "damaged" if number == 40 else "complete",
        "disks": [{"number": 0, "size_bytes": 2 << 30}, {"number": 1, "size_bytes": 64 << 30}],
        **{"new_bytes": 5 << 20, "stored_bytes": 1 << 20, "read_bytes": 1 << 30, "seconds": 4.0},
        "where": [*(["box"] if number < 3000 else []), *(["vault:office"] if number > 3 else [])],
        "is_held": number % 37 == 5,
        "is_inconsistent": False,
        "is_doubtful": number == 20,
        "immutable_until": ago(days=-20) if number > 3 else None,
        "drilled_at": ago(hours=1) if number % 50 == 2 else None,
    }


def disk(name: str, verdict: str, bay: str, *uses: str) -> dict[str, Any]:
    return {
        **{"name": name, "path": f"/dev/{name}", "model": "ST4000NM0035", "serial": f"Z{name}"},
        **{"firmware": "TN04", "wwn": "", "size_bytes": 4 * 10**12, "is_rotating": True},
        **{"rotation_rpm": 7200, "transport": "sata", "bay": bay, "bus_path": "pci-0"},
        **{"partitions": [], "subject": f"disk Z{name}", "verdict": verdict, "hidden": None},
        "uses": [{"kind": "array", "name": use, "device": use} for use in uses],
    }


DISKS = [
    disk("sda", "good", "Slot 01", "md0"),
    disk("sdb", "warning", "Slot 02", "md0"),
    disk("sdc", "critical", "Slot 03", "md0"),
    disk("sdd", "good", "Slot 04"),
]
BAYS = [
    {
        **{"name": f"Slot {number:02}", "enclosure": "6:0:0:0", "has_light": True},
        "disk": next((one["name"] for one in DISKS if one["bay"].endswith(str(number))), None),
        "is_lit": number == 3,
    }
    for number in range(1, 7)
]
DETAIL = {
    **{"disk": {}, "verdict": "critical", "smart": {}, "as_of": ago(minutes=2), "trouble": None},
    "findings": [
        {
            **{"subject": "disk Zsdc", "rule": "disk.pending-sectors", "severity": "critical"},
            **{"summary": HOSTILE, "consequence": "It is lost.", "action": "Replace it."},
            **{"evidence": [], "measure": 16.0},
        }
    ],
    "at_stake": [
        {
            **{"disk": "disk Zsdc", "name": "sdc", "arrays": ["md0 raid6"], "redundancy": 1},
            **{"holds_store": True, "points": ["web1@x"]},
        }
    ],
    "trends": {"pending": [{"time": ago(days=9 - day), "value": day * 2} for day in range(9)]},
}
ARRAY = {
    **{"name": "md0", "level": "raid6", "uuid": "", "state": "active", "slots": 4, "missing": 1},
    **{"redundancy": 1, "mismatches": 0, "last_action": "", "bitmap": "", "metadata": "1.2"},
    **{"size_bytes": 8 * 10**12, "component_bytes": 4 * 10**12},
    "members": [
        {"name": "sda", "slot": 0, "states": ["in_sync"], "errors": 0, "size_bytes": 4 * 10**12}
    ],
    "activity": {
        **{"action": "recover", "done": 0.43, "speed_bytes_per_s": 120 << 20, "eta_s": 7200.0}
    },
}
VAULT = {
    **{"name": "office", "url": "s3://office?endpoint=https://s3.example", "vault": "ab"},
    **{"lock_days": 30, "limit_bytes_per_s": 5 << 20, "share_percent": 80},
    **{"budget_bytes_per_day": 0, "rpo_s": 86400, "machine_rpo_s": {}, "retention": None},
    **{"windows": ["22:00-06:00"], "cost_today_usd": 0.02, "storage_usd_per_month": 3.41},
    **{"owner": True, "epoch": 1, "counter": 88, "objects": 15210, "stored_bytes": 480 << 30},
    "machines": [
        {
            **{"machine": "web1", "newest": ago(hours=0), "newest_there": ago(hours=8)},
            **{"behind_s": 28800.0, "rpo_s": 14400.0, "within_target": False},
            **{"waiting_bytes": 3 << 30, "within_at": ago(hours=-2), "points_there": 300},
            "immutable_until": ago(days=-21),
        }
    ],
    "traffic": {
        f"2026-11-{day:02}": {"sent_bytes": day << 28, "requests": {"PUT": 300, "GET": 12}}
        for day in range(1, 21)
    },
    "last_sync": {"ended": ago(hours=1), "outcome": "complete", "findings": []},
    "lock_proven_at": ago(days=2),
}
RECORD = {
    **{"id": DRILL, "plan": "office", "plan_sha256": "", "network": "isolated", "log": None},
    **{"format": 1, "began": ago(hours=2), "ended": ago(hours=1), "verdict": "passed"},
    **{"program": "", "rto_s": 61.0, "kind": "drill"},
    "machines": [
        {
            **{"name": "web1", "point": f"web1@{ago(hours=2)}", "order": 0, "memory_mib": 1024},
            **{"verdict": "passed", "began_s": 0.0, "rpo_s": 3600.0, "rto_s": 41.2, "error": ""},
            **{"accelerator": "tcg", "read_bytes": 1, "reads": 1},
            "phases": [{"name": "started", "at_s": 1.2}, {"name": "login prompt", "at_s": 40.0}],
            "checks": [
                {
                    **{
                        "kind": "login",
                        "title": "'login:' on the console",
                        "passed": True,
                        "at_s": 41.0,
                    },
                    **{"tries": 3, "detail": HOSTILE},
                }
            ],
            "evidence": [],
        }
    ],
}
DRILLS = [
    {
        **{"id": DRILL, "plan": "office", "began": ago(days=70 - 7 * week), "verdict": "passed"},
        "rto_s": 60.0 + week,
        "machines": [
            {
                **{"name": "web1", "point": f"web1@{ago(days=70 - 7 * week)}", "rpo_s": 3600.0},
                **{"verdict": "passed", "rto_s": 40.0 + week},
            }
        ],
    }
    for week in range(10)
]
PLAN = {
    **{"title": "Replace sdc by sdd in md0", "warnings": ["md0 stays as it is meanwhile"]},
    "steps": [{"text": "add sdd to md0", "command": ["mdadm"]}],
    **{"refusals": [], "done": False, "arrays": ["md0"]},
}


def known(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"items": items, "next": None, "as_of": ago(minutes=2), "trouble": None}


def job(number: int, verb: str, result: Any) -> dict[str, Any]:
    """One that went well."""
    return {
        **{"id": number, "verb": verb, "arguments": {}, "machine": None, "state": "done"},
        **{
            "exit_code": 0,
            "error": None,
            "error_code": None,
            "asked_by": "maria",
            "asked_at": ago(minutes=1),
        },
        **{
            "started_at": ago(minutes=1),
            "ended_at": ago(minutes=1),
            "priority": 50,
            "phase": "",
            "about": "",
        },
        **{"done": 0, "total": None, "unit": "items", "rate_per_s": 0.0, "eta_s": None},
        **{"bottleneck": None, "result": result, "retry_of": None, "retried_as": None},
    }


def answers() -> dict[str, Any]:
    """By path below /api/v1; the rest is the box's own."""
    return {
        "/disks": known(DISKS),
        "/bays": known(BAYS),
        "/disks/sdc": DETAIL,
        "/arrays": known([ARRAY]),
        "/vaults": known([VAULT]),
        "/vaults/office/line": {
            "items": [
                {"time": ago(minutes=90 - 10 * turn), "bytes_per_s": float(turn % 3 << 20)}
                for turn in range(9)
            ],
            "next": None,
        },
        "/drills": known(DRILLS),
        f"/drills/{DRILL}": RECORD,
        "/run/disks/replace": job(999, "disks replace", PLAN),
    }


def make_up(page: Page, found: dict[str, Any] | None = None) -> list[Any]:
    """Answer in the box's place from now on; gives the bodies of what is asked to be run."""
    found, run = found or answers(), []

    def answer(route: Route) -> None:
        parts = urlsplit(route.request.url)
        path = parts.path.removeprefix("/api/v1")
        if path in found and path.startswith("/run/"):
            run.append(json.loads(route.request.post_data or "null"))
        value = list_points(parts.query) if path == "/machines/web1/points" else found.get(path)
        if value is None:
            route.fallback()
        else:
            route.fulfill(json=value)

    page.route(re.compile("/api/v1/"), answer)
    return run


def list_points(query: str) -> dict[str, Any]:
    asked = parse_qs(query)
    start, limit = int(asked.get("after", ["0"])[0]), int(asked["limit"][0])
    end = min(start + limit, POINTS)
    items = [point(number) for number in range(start, end)]
    return {"items": items, "next": str(end) if end < POINTS else None}
