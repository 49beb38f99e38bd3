"""When a filesystem will be full.

Owns the trend of used bytes and the rule about it. Past values come in; nothing is kept here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.base.text import size
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.health.mounts import Mount

Samples = Sequence[tuple[datetime, float]]
"""(when, used bytes), oldest first."""

HISTORY = timedelta(days=60)
_DAY_S = 86400.0
# A trend of less than a day is one job; with fewer values it is one step.
_SPAN_MIN = timedelta(days=1)
_SAMPLES_MIN = 3
_CRITICAL_DAYS = 3.0
_WARNING_DAYS = 30.0
_NOTICE_DAYS = 90.0
_CRITICAL_PERCENT = 97.0
_WARNING_PERCENT = 90.0
_INODES_PERCENT = 95.0
_EVIDENCE_MAX = 8


@dataclass(frozen=True)
class Fill:
    """How full one filesystem is."""

    target: str
    size_bytes: int
    used_bytes: int
    free_bytes: int
    inodes_used_percent: float

    @property
    def used_percent(self) -> float:
        """As `df` counts: what is reserved for root counts as used."""
        usable = self.used_bytes + self.free_bytes
        return 100.0 * self.used_bytes / usable if usable else 100.0


def list_fills(mounts: Sequence[Mount]) -> list[Fill]:
    """Every writable filesystem on a block device once; one that cannot be asked is left out."""
    fills: dict[str, Fill] = {}
    for mount in mounts:
        on_disk = mount.source.startswith("/dev/") or mount.kind in ("zfs", "btrfs")
        if not on_disk or "ro" in mount.options or mount.device in fills:
            continue
        try:
            found = os.statvfs(mount.target)
        except OSError:
            continue
        unit = found.f_frsize
        fills[mount.device] = Fill(
            target=mount.target,
            size_bytes=found.f_blocks * unit,
            used_bytes=(found.f_blocks - found.f_bfree) * unit,
            free_bytes=found.f_bavail * unit,
            inodes_used_percent=(
                100.0 * (found.f_files - found.f_ffree) / found.f_files if found.f_files else 0.0
            ),
        )
    return list(fills.values())


def forecast_full(samples: Samples, usable_bytes: float) -> float | None:
    """Days from the last sample until `usable_bytes` are used, by the line of least squares.

    None where nothing grows, or where the samples say too little.

    >>> day = datetime(2026, 1, 1)
    >>> forecast_full([(day + timedelta(days=n), 10.0 * n) for n in range(5)], 100.0)
    6.0
    """
    if len(samples) < _SAMPLES_MIN or samples[-1][0] - samples[0][0] < _SPAN_MIN:
        return None
    days = [(when - samples[-1][0]).total_seconds() / _DAY_S for when, _ in samples]
    middle = sum(days) / len(days)
    level = sum(used for _, used in samples) / len(samples)
    spread = sum((day - middle) ** 2 for day in days)
    pairs = zip(days, samples, strict=True)
    slope = sum((day - middle) * (used - level) for day, (_, used) in pairs) / spread
    if slope <= 0:
        return None
    return max((usable_bytes - samples[-1][1]) / slope, 0.0)


def judge_fill(fill: Fill, samples: Samples, now: datetime) -> Iterator[Finding]:
    """Every finding about one filesystem; `samples` end with the present value."""
    days = forecast_full(samples, fill.used_bytes + fill.free_bytes)
    severity = rate_fill(fill.used_percent, days)
    if severity is not None:
        yield Finding(
            subject=f"filesystem {fill.target}",
            rule="space.full",
            severity=severity,
            summary=f"{fill.target} is {fill.used_percent:.0f} % full, {size(fill.free_bytes)} "
            f"free{describe_end(days, now)}",
            evidence=(
                Evidence(
                    "used",
                    tuple((at, float(used)) for at, used in thin_out(samples)),
                    "bytes",
                    f"{fill.used_bytes + fill.free_bytes} bytes usable",
                ),
            ),
            consequence="On a full disk no backup can be made.",
            action="Keep fewer points ('holdfast policy', 'holdfast prune', 'holdfast collect'), "
            "or grow the array with larger disks ('holdfast array grow').",
            # Days to go count down, a measure counts up. Steps of ten: each day is no news.
            measure=fill.used_percent // 1 if days is None else -(days // 10),
        )
    if fill.inodes_used_percent >= _INODES_PERCENT:
        yield Finding(
            subject=f"filesystem {fill.target}",
            rule="space.inodes",
            severity="warning",
            summary=f"{fill.target} has used {fill.inodes_used_percent:.0f} % of its inodes",
            evidence=(
                Evidence("inodes used", ((now, round(fill.inodes_used_percent, 1)),), "%", "95"),
            ),
            consequence="No file can be made, although bytes are free.",
            action="Remove what makes so many files there.",
            measure=fill.inodes_used_percent // 1,
        )


def describe_end(days: float | None, now: datetime) -> str:
    """When it is full, as the end of a sentence; nothing when nobody knows."""
    if days is None:
        return ""
    date = (now + timedelta(days=days)).date().isoformat()
    return f", full in {days:.0f} days ({date})" if days >= 1 else ", full within a day"


def rate_fill(used_percent: float, days: float | None) -> Severity | None:
    """How bad it is to be so full, and full in so many days; None for not at all."""
    soon = float("inf") if days is None else days
    if used_percent >= _CRITICAL_PERCENT or soon < _CRITICAL_DAYS:
        return "critical"
    if used_percent >= _WARNING_PERCENT or soon < _WARNING_DAYS:
        return "warning"
    return "notice" if soon < _NOTICE_DAYS else None


def thin_out(samples: Samples) -> list[tuple[datetime, float]]:
    """At most a few of the samples, the first and the last among them."""
    if len(samples) <= _EVIDENCE_MAX:
        return list(samples)
    step = (len(samples) - 1) / (_EVIDENCE_MAX - 1)
    return [samples[round(number * step)] for number in range(_EVIDENCE_MAX)]
