"""A machine that falls behind grows louder, and is told again whenever its age has doubled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.formats.protection import NOTHING, Hourly, State
from appliance.policies.deadman import (
    PAUSE_MAX,
    Rehearsal,
    Standing,
    judge,
    judge_offsite,
    judge_rehearsal,
    target_s,
)

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def standing(
    age: timedelta | None, state: State = "active", rpo_s: float | None = 7200
) -> Standing:
    return Standing("web1", state, None if age is None else NOW - age, NOW - 100 * HOUR, rpo_s)


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (1 * HOUR, None),
        (2 * HOUR, None),
        (2.1 * HOUR, "warning"),
        (5.9 * HOUR, "warning"),
        (6 * HOUR, "critical"),
        (None, "critical"),
    ],
)
def test_severity_grows_with_age(age: timedelta | None, severity: str | None) -> None:
    found = list(judge(standing(age), NOW))
    assert [item.severity for item in found] == ([] if severity is None else [severity])


def test_it_is_told_when_it_begins_at_each_step_and_when_it_is_over(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        log = FindingLog(catalog)
        told = []
        for hours in range(1, 40):
            one = Standing("web1", "active", NOW, NOW, 7200)
            now = NOW + hours * HOUR
            if not log.observe(list(judge(one, now)), now).is_quiet:
                told.append(hours)
        assert told == [3, 4, 6, 8, 16, 32]
        fresh = Standing("web1", "active", NOW + 39 * HOUR, NOW, 7200)
        assert len(log.observe(list(judge(fresh, NOW + 40 * HOUR)), NOW + 40 * HOUR).gone) == 1


def test_nobody_waits_for_a_retired_machine_or_one_without_promise() -> None:
    assert not list(judge(standing(None, "retired"), NOW))
    assert not list(judge(standing(None, rpo_s=None), NOW))
    assert not list(judge(standing(900 * HOUR, "paused"), NOW - 50 * HOUR))


def test_a_long_pause_is_reminded_of() -> None:
    long = Standing("web1", "paused", NOW, NOW - PAUSE_MAX - HOUR, 7200)
    assert [item.rule for item in judge(long, NOW)] == ["machine.paused"]


def test_the_target_is_what_was_set_or_what_the_schedule_comes_to() -> None:
    hourly = msgspec.structs.replace(NOTHING, schedule=(Hourly(),), jitter_s=60)
    assert target_s(hourly, NOW, UTC) == 3600 * 1.25 + 60
    assert target_s(msgspec.structs.replace(hourly, rpo_s=86400), NOW, UTC) == 86400
    assert target_s(NOTHING, NOW, UTC) is None


@pytest.mark.parametrize(
    ("took_s", "target_s", "found"),
    [
        (3600.0, 3600.0, None),
        (3601.0, 3600.0, ("machine.rto", "warning")),
        (3 * 3600.0, 3600.0, ("machine.rto", "critical")),
        (9e9, None, None),
        (None, None, ("machine.drill-failed", "critical")),
        (None, 3600.0, ("machine.drill-failed", "critical")),
    ],
)
def test_a_recovery_that_failed_or_took_longer_than_promised_is_said(
    took_s: float | None, target_s: float | None, found: tuple[str, str] | None
) -> None:
    rehearsal = Rehearsal("20261121T091500Z", NOW, took_s)
    said = [(one.rule, one.severity) for one in judge_rehearsal("web1", rehearsal, target_s)]
    assert said == ([] if found is None else [found])


def test_a_vault_that_falls_behind_grows_louder_too() -> None:
    def severities(hours: float) -> list[str]:
        found = judge_offsite("web1", "file1", None, NOW, behind_s=hours * 3600, target_s=7200)
        return [item.severity for item in found]

    assert [severities(hours) for hours in (1, 2, 2.5, 6)] == [[], [], ["warning"], ["critical"]]
