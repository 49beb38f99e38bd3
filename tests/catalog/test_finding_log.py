"""A finding is told once, may be acknowledged, and comes back when it worsens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.errors import NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.formats.finding import Evidence, Finding

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FINDING = Finding(
    "disk A",
    "disk.pending-sectors",
    "warning",
    "8 sectors wait",
    (Evidence("attribute 197", ((NOON, 8.0),)),),
    "lost",
    "replace it",
    8,
)
WORSE = replace(FINDING, measure=9)
CRITICAL = replace(FINDING, severity="critical", measure=0)


def hour(number: int) -> datetime:
    return NOON + timedelta(hours=number)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FindingLog]:
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield FindingLog(catalog)


def test_a_finding_is_told_once(log: FindingLog) -> None:
    assert log.observe([FINDING], hour(0)).new == (FINDING,)
    assert log.observe([FINDING], hour(1)).is_quiet
    assert log.list_standing()[0].since == hour(0)


@pytest.mark.parametrize("worse", [WORSE, CRITICAL])
def test_an_acknowledged_finding_comes_back_when_it_worsens(
    log: FindingLog, worse: Finding
) -> None:
    log.observe([FINDING], hour(0))
    log.acknowledge(FINDING.key, hour(1))
    assert log.acknowledged_keys() == {FINDING.key}
    assert log.observe([FINDING], hour(2)).is_quiet
    assert log.acknowledged_keys() == {FINDING.key}
    assert log.observe([worse], hour(3)).worse == (worse,)
    assert log.acknowledged_keys() == frozenset()
    standing = log.list_standing()[0]
    assert (standing.since, standing.worsened) == (hour(0), hour(3))


def test_a_finding_that_gets_better_and_worse_again_is_quiet(log: FindingLog) -> None:
    log.observe([WORSE], hour(0))
    assert log.observe([FINDING], hour(1)).is_quiet
    assert log.observe([WORSE], hour(2)).is_quiet


def test_what_is_gone_is_told_and_not_new_again_within_a_week(log: FindingLog) -> None:
    log.observe([FINDING], hour(0))
    log.acknowledge(FINDING.key, hour(0))
    assert log.observe([], hour(1)).gone == (FINDING,)
    assert log.list_standing() == []
    assert log.observe([], hour(2)).is_quiet
    assert log.observe([FINDING], hour(3)).is_quiet
    assert log.acknowledged_keys() == {FINDING.key}


def test_what_was_gone_for_long_is_new(log: FindingLog) -> None:
    log.observe([FINDING], hour(0))
    log.observe([], hour(1))
    log.observe([], hour(24 * 8 + 2))
    assert log.observe([FINDING], hour(24 * 8 + 3)).new == (FINDING,)


def test_what_nobody_looked_at_still_stands(log: FindingLog) -> None:
    log.observe([FINDING], hour(0))
    assert log.observe([], hour(1), looked_at=lambda subject: subject != "disk A").is_quiet
    assert [item.finding for item in log.list_standing()] == [FINDING]


def test_only_what_stands_can_be_acknowledged(log: FindingLog) -> None:
    with pytest.raises(NotFoundError, match="holdfast health"):
        log.acknowledge("disk A: disk.pending-sectors", NOON)


def test_spoiled_rows_are_told_once_more(tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.db") as catalog:
        log = FindingLog(catalog)
        log.observe([FINDING], hour(0))
        for text in ("{", "[]", '{"finding": {}}'):
            catalog.do(
                lambda database, text=text: database.execute(  # type: ignore[misc]
                    "update findings set standing = ?", (text,)
                )
            )
            assert log.observe([FINDING], hour(1)).new == (FINDING,)
