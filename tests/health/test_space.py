"""When a filesystem will be full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.health.mounts import Mount
from appliance.health.space import Fill, forecast_full, judge_fill, list_fills

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GIB = 1 << 30


def fill(used_gib: float, size_gib: float = 100.0, inodes: float = 1.0) -> Fill:
    used = int(used_gib * GIB)
    return Fill("/srv", int(size_gib * GIB), used, int(size_gib * GIB) - used, inodes)


def growth(per_day_gib: float, used_gib: float, days: int) -> list[tuple[datetime, float]]:
    return [
        (NOW - timedelta(days=ago), (used_gib - per_day_gib * ago) * GIB)
        for ago in range(days, -1, -1)
    ]


def test_a_steady_growth_says_the_day() -> None:
    samples = growth(1.0, 77.0, 10)
    (finding,) = judge_fill(fill(77), samples, NOW)
    assert "full in 23 days (2026-12-14)" in finding.summary
    assert finding.severity == "warning"
    assert finding.evidence[0].values[-1][1] == 77.0 * GIB


def test_three_days_are_critical_and_a_hundred_are_no_news() -> None:
    (finding,) = judge_fill(fill(77), growth(10.0, 77.0, 5), NOW)
    assert finding.severity == "critical"
    assert not list(judge_fill(fill(77), growth(0.2, 77.0, 10), NOW))


def test_a_full_disk_is_critical_without_any_history() -> None:
    (finding,) = judge_fill(fill(98), [(NOW, 98.0 * GIB)], NOW)
    assert finding.severity == "critical"


def test_one_large_job_is_no_trend() -> None:
    samples = [(NOW - timedelta(hours=3 - hour), 10.0 * hour * GIB) for hour in range(4)]
    assert forecast_full(samples, 100.0 * GIB) is None


def test_what_shrinks_is_never_full() -> None:
    assert forecast_full(growth(-1.0, 50.0, 10), 100.0 * GIB) is None


def test_it_does_not_become_worse_each_day_of_the_same_trend() -> None:
    (first,) = judge_fill(fill(77), growth(1.0, 77.0, 10), NOW)
    (second,) = judge_fill(fill(76), growth(1.0, 76.0, 10), NOW)
    assert first.measure == second.measure
    (later,) = judge_fill(fill(90), growth(1.0, 90.0, 10), NOW)
    assert later.is_worse_than(first.severity, first.measure)


def test_inodes_run_out_too() -> None:
    (finding,) = judge_fill(fill(10, inodes=97.0), [], NOW)
    assert finding.rule == "space.inodes"


def test_each_filesystem_is_asked_once_and_only_writable_ones() -> None:
    mounts = [
        Mount("8:1", "/dev/sda1", "/", "ext4", ("rw",)),
        Mount("8:1", "/dev/sda1", "/tmp", "ext4", ("rw",)),
        Mount("8:2", "/dev/sda2", "/proc", "ext4", ("ro",)),
        Mount("0:5", "tmpfs", "/", "tmpfs", ("rw",)),
        Mount("8:3", "/dev/sda3", "/nowhere/at/all", "ext4", ("rw",)),
    ]
    assert [found.target for found in list_fills(mounts)] == ["/"]
