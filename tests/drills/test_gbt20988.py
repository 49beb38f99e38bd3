"""The judgement by GB/T 20988-2007: each column alone can keep a machine from a level."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.drills.gbt20988 import LEVEL_MAX, WINDOW, Facts, judge, judge_transfer, longest_gap_s

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
BEST = Facts(
    copy_gap_s=0.0, off_site_gap_s=0.0, replication="synchronous", drill_passed=True, rto_s=60.0
)


def level(**facts: object) -> int:
    return judge(replace(BEST, **facts)).level  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, 5),  # a cluster that takes over by itself is what no drill of ours shows
        ({"off_site_gap_s": None}, 0),
        ({"copy_gap_s": None}, 0),
        ({"copy_gap_s": 8 * DAY_S}, 0),
        ({"copy_gap_s": 2 * DAY_S}, 2),
        ({"off_site_gap_s": 8 * DAY_S}, 0),
        ({"off_site_gap_s": 7 * DAY_S}, 2),
        ({"off_site_gap_s": DAY_S + HOUR_S / 2}, 4),
        ({"off_site_gap_s": HOUR_S / 2}, 5),
        ({"replication": "none"}, 2),
        ({"replication": "batches"}, 4),
        ({"replication": "continuous"}, 5),
        ({"drill_passed": None}, 2),
        ({"drill_passed": False, "rto_s": None}, 2),
        ({"rto_s": 3 * DAY_S}, 3),
        ({"rto_s": 2 * DAY_S}, 5),
        ({"rto_s": None}, 3),
    ],
)
def test_the_level_is_the_lowest_of_all_columns(facts: dict[str, object], wanted: int) -> None:
    assert level(**facts) == wanted


def test_without_an_off_site_copy_that_is_the_first_thing_named() -> None:
    judgement = judge(replace(BEST, off_site_gap_s=None))
    assert judgement.level == 0
    assert judgement.obstacle is not None
    assert judgement.obstacle.name == "Off-site copy"
    assert judgement.obstacle.needs == "an off-site copy every week"


def test_the_obstacle_says_what_the_next_level_needs() -> None:
    daily = Facts(DAY_S, DAY_S, "batches", None, None)
    assert judge(daily).obstacle is not None
    assert judge(daily).level == 2
    assert judge(daily).obstacle.name == "Standby equipment"  # type: ignore[union-attr]
    drilled = replace(daily, drill_passed=True, rto_s=35.0)
    assert judge(drilled).level == 4
    assert judge(drilled).obstacle.needs == (  # type: ignore[union-attr]
        "replication over the line in real time"
    )


numbers = st.none() | st.floats(0, 100 * DAY_S)
facts = st.builds(
    Facts,
    copy_gap_s=numbers,
    off_site_gap_s=numbers,
    replication=st.sampled_from(["none", "batches", "continuous", "synchronous"]),
    drill_passed=st.sampled_from([None, True, False]),
    rto_s=numbers,
)


@given(facts)
def test_every_judgement_names_one_obstacle_and_what_is_needed(found: Facts) -> None:
    judgement = judge(found)
    assert 0 <= judgement.level <= LEVEL_MAX
    assert judgement.obstacle is not None
    assert judgement.obstacle.needs
    assert judgement.obstacle.needs != "nothing"
    if found.off_site_gap_s is None:
        assert judgement.level == 0


@given(facts, st.floats(0, 1))
def test_better_facts_never_lower_the_level(found: Facts, share: float) -> None:
    def less(value: float | None) -> float | None:
        return None if value is None else value * share

    better = replace(
        found,
        copy_gap_s=less(found.copy_gap_s),
        off_site_gap_s=less(found.off_site_gap_s),
        rto_s=less(found.rto_s),
        drill_passed=True,
    )
    assert judge(better).level >= judge(found).level


def test_the_longest_gap_counts_up_to_now_and_from_the_window_on() -> None:
    def ago(**span: float) -> datetime:
        return NOW - timedelta(**span)

    assert longest_gap_s([], NOW) is None
    assert longest_gap_s([ago(hours=3)], NOW) == 3 * HOUR_S
    assert longest_gap_s([ago(hours=1), ago(hours=9)], NOW) == 8 * HOUR_S
    assert longest_gap_s([ago(days=400)], NOW) == WINDOW.total_seconds()
    assert longest_gap_s([ago(days=31), ago(days=29)], NOW) == 29 * DAY_S
    assert longest_gap_s([NOW + timedelta(hours=1)], NOW) is None


def test_several_times_a_day_is_twice() -> None:
    assert judge_transfer(None) == judge_transfer(DAY_S) == "none"
    assert judge_transfer(12 * HOUR_S) == judge_transfer(60.0) == "batches"
