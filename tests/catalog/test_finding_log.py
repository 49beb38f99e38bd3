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
from appliance.catalog.finding_standing import RETURNS_TOLD
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
CABLE = replace(FINDING, rule="disk.link-errors")


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


def test_what_is_gone_is_told_once(log: FindingLog) -> None:
    log.observe([FINDING], hour(0))
    assert log.observe([], hour(1)).gone == (FINDING,)
    assert log.list_standing() == []
    assert log.observe([], hour(2)).is_quiet


@pytest.mark.parametrize("again", [FINDING, CRITICAL])
def test_what_comes_back_is_told_also_if_somebody_knew_of_it_before(
    log: FindingLog, again: Finding
) -> None:
    """An array that was rebuilt and fails again minutes later: that is another failure."""
    log.observe([again], hour(0))
    log.acknowledge(again.key, hour(0))
    log.observe([], hour(1))
    assert log.observe([again], hour(1)).new == (again,)
    assert log.acknowledged_keys() == frozenset()
    assert log.list_standing()[0].since == hour(0)
    assert log.observe([again], hour(2)).is_quiet


def test_a_notice_may_come_back_without_a_word(log: FindingLog) -> None:
    notice = replace(FINDING, severity="notice")
    log.observe([notice], hour(0))
    log.acknowledge(notice.key, hour(0))
    assert log.observe([], hour(1)).gone == (notice,)
    assert log.observe([notice], hour(2)).is_quiet
    assert log.acknowledged_keys() == {notice.key}
    assert log.observe([], hour(3)).is_quiet


def test_what_flaps_is_told_a_few_times_a_day_and_whenever_it_worsens(log: FindingLog) -> None:
    told = 0
    for number in range(20):
        told += bool(log.observe([FINDING], NOON + timedelta(minutes=number)).new)
        log.observe([], NOON + timedelta(minutes=number, seconds=30))
    assert told == 1 + RETURNS_TOLD
    assert log.observe([WORSE], hour(1)).worse == (WORSE,)
    log.observe([], hour(2))
    assert log.observe([WORSE], hour(25)).new == (WORSE,)


def test_every_listener_hears_everything_whoever_looked(tmp_path: Path) -> None:
    """'holdfast health' by hand, while the watch runs, took its news from it."""
    with Catalog(tmp_path / "catalog.db") as mine, Catalog(tmp_path / "catalog.db") as other:
        watch, hand = FindingLog(mine), FindingLog(other)
        before = watch.observe([FINDING], hour(0)).number
        assert hand.observe([FINDING, CABLE], hour(1)).new == (CABLE,)
        assert watch.observe([FINDING, CABLE], hour(1)).is_quiet
        news = watch.news_since(before)
        assert (news.new, news.worse, news.gone) == ((CABLE,), (), ())
        assert watch.news_since(news.number).is_quiet
        hand.observe([WORSE], hour(2))
        later = watch.news_since(news.number)
        assert (later.new, later.worse, later.gone) == ((), (WORSE,), (CABLE,))
        assert hand.news_since(0).new == (FINDING, CABLE)


def test_a_look_that_took_long_takes_nothing_back_that_was_noticed_meanwhile(
    log: FindingLog,
) -> None:
    log.observe([CABLE], hour(0))
    began = log.newest()
    log.observe([FINDING], hour(1))
    assert log.observe([CABLE], hour(1), began=began).is_quiet
    assert [item.finding for item in log.list_standing()] == [FINDING]
    assert log.observe([CABLE], hour(2), began=log.newest()).gone == (FINDING,)


def test_news_of_a_catalog_that_was_lost_begin_anew(log: FindingLog) -> None:
    log.observe([FINDING], hour(0))
    assert log.news_since(1_000_000).new == (FINDING,)


def test_old_news_are_dropped(log: FindingLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.catalog.finding_log.NEWS_MAX", 3)
    for number in range(5):
        log.observe([replace(FINDING, subject=f"disk {number}")], hour(number))
    news = log.news_since(0)
    assert len(news.new) + len(news.gone) == 3
    assert news.number == 9


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
