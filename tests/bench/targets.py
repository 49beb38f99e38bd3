"""What the bench is to reach, and whether it did.

Owns: the targets. Never does: measure. `left` must be reached, `aim` is where we want to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.bench import disk_rows, reads, stream_rows

Value = float | None


class Target(NamedTuple):
    """One line: what, the two bounds, whether more is better, and how it is found."""

    what: str
    left: float | None
    aim: float | None
    more_is_better: bool
    find: Callable[[dict[str, Any]], Value]


def judge(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target with what was reached; `value` is None where it was not measured."""
    judged = []
    for target in TARGETS:
        value = target.find(report)
        judged.append(
            {
                "what": target.what,
                "value": value,
                "left": target.left,
                "left_reached": _reaches(target, value, target.left),
                "aim": target.aim,
                "aim_reached": _reaches(target, value, target.aim),
            }
        )
    return judged


def _reaches(target: Target, value: Value, bound: float | None) -> bool | None:
    if value is None or bound is None:
        return None
    return value >= bound if target.more_is_better else value <= bound


def _ratio(row: str, *peers: str) -> Callable[[dict[str, Any]], Value]:
    """How many times better than the best of `peers` in `row`."""

    def find(report: dict[str, Any]) -> Value:
        found = [ratio for peer in peers if (ratio := report["ratios"].get(row, {}).get(peer))]
        return min(found, default=None)

    return find


def _bytes(column: str, ours: str, *peers: str) -> Callable[[dict[str, Any]], Value]:
    """Our stored bytes over those of the best of `peers`."""

    def find(report: dict[str, Any]) -> Value:
        stored = report["bytes"]
        best = min((stored[peer][column] for peer in peers if peer in stored), default=0)
        return stored[ours][column] / best if best and ours in stored else None

    return find


def _rate(row: str, quiet: str, figure: str) -> Callable[[dict[str, Any]], Value]:
    """Our figure in `row` over that in the row `quiet`."""

    def find(report: dict[str, Any]) -> Value:
        rows = report["rows"]
        if row not in rows or quiet not in rows:
            return None
        return float(rows[row]["holdfast"][figure] / rows[quiet]["holdfast"][figure])

    return find


_PEERS = ("restic", "borg")
TARGETS = (
    Target("first full: times restic's speed", 3, 4, True, _ratio(disk_rows.FIRST, "restic")),
    Target(
        "both generations at once: restic's bytes x",
        1.05, None, False, _bytes("both", "holdfast", "restic"),
    ),
    Target(
        "both generations after the idle pass: restic's bytes x",
        1.0, None, False, _bytes("both", "holdfast, idle", "restic"),
    ),
    Target(
        "8 backups at once: one backup's speed x",
        1.0, None, True, _rate(stream_rows.EIGHT, stream_rows.ONE, stream_rows.RATE),
    ),
    Target(
        "second, full scan: times restic's speed",
        5, 8, True, _ratio(disk_rows.SECOND, "restic"),
    ),
    Target(
        "second, changed list: times restic's speed",
        20, None, True, _ratio(disk_rows.CHANGED, "restic"),
    ),
    Target(
        "growth at once: best peer's x",
        0.6, 0.35, False, _bytes("second", "holdfast", *_PEERS),
    ),
    Target(
        "growth after the idle pass: best peer's x",
        0.6, 0.35, False, _bytes("second", "holdfast, idle", *_PEERS),
    ),
    Target("restore: times restic's speed", 4, 6, True, _ratio(disk_rows.RESTORE, "restic")),
    Target("4 KiB reads, cold: times the best peer's", 10, None, True, _ratio(reads.COLD, *_PEERS)),
    Target("4 KiB reads, cold: raw file by FUSE x", None, 0.5, True, _ratio(reads.COLD, reads.RAW)),
    Target("4 KiB reads, warm: times the best peer's", 10, None, True, _ratio(reads.WARM, *_PEERS)),
    Target("4 KiB reads, warm: raw file by FUSE x", None, 0.5, True, _ratio(reads.WARM, reads.RAW)),
    Target(
        "backup beside collection: quiet speed x",
        0.8, 0.9, True, _rate(stream_rows.BESIDE, stream_rows.QUIET, stream_rows.RATE),
    ),
)  # fmt: skip
