"""A disk is slow when its siblings are not, for long enough, and by enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.health.latency_rules import DiskWork, judge_latency, latency_ms, parse_stat

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
STAT = "  100 5 2000 150 50 2 900 350 0 400 500 0 0 0 0 0 0\n"


def looks(*latencies: float, others: float = 5.0) -> list[tuple[datetime, dict[str, float]]]:
    return [
        (
            NOON + timedelta(minutes=number),
            {"disk A": others, "disk B": others + 1, "disk C": others, "disk D": value},
        )
        for number, value in enumerate(latencies)
    ]


def test_the_counters_of_the_kernel_become_milliseconds() -> None:
    before = parse_stat(STAT)
    assert before == DiskWork(150, 500)
    assert latency_ms(before, DiskWork(350, 2500)) == 10
    assert latency_ms(before, DiskWork(160, 2500)) is None
    assert latency_ms(before, DiskWork(350, 3)) is None


@pytest.mark.parametrize("text", ["", "1 2 3", "a " * 17, "-1 " * 17])
def test_what_are_no_counters_is_ignored(text: str) -> None:
    assert parse_stat(text) is None


def test_a_disk_much_slower_than_its_siblings_is_found() -> None:
    (finding,) = judge_latency(looks(60, 70, 80))
    assert (finding.subject, finding.rule) == ("disk D", "disk.slow")
    assert finding.evidence[0].values[-1][1] == 80


@pytest.mark.parametrize("latencies", [(5, 5, 80), (60, 80, 5), (60, 70), (14, 14, 14)], ids=str)
def test_a_moment_or_a_little_is_no_finding(latencies: tuple[float, ...]) -> None:
    assert list(judge_latency(looks(*latencies))) == []


def test_when_all_are_slow_nobody_is() -> None:
    assert list(judge_latency(looks(100, 100, 100, others=90))) == []


def test_two_disks_do_not_say_which_of_them_is_slow() -> None:
    pair = [(when, {"disk A": 5.0, "disk B": 90.0}) for when, _ in looks(1, 2, 3)]
    assert list(judge_latency(pair)) == []
