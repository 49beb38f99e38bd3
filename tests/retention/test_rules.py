"""The rules of retention: cases by hand, and what must hold for all points and policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.formats.names import PointName, parse_time
from appliance.formats.policy import COUNT_RULES, KEEP_ALL, RULE_MAX, Policy
from appliance.retention.rules import Candidate, State, judge_machine, newest_complete

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def at(text: str, state: State = "complete", *shields: str) -> Candidate:
    """A point whose time is `2026-11-21T09:30` or, at noon, `2026-11-21`."""
    time = parse_time(f"{text}:00Z" if "T" in text else f"{text}T12:00:00Z")
    assert time is not None
    return Candidate(PointName("m", time), state, shields)


def staying(candidates: list[Candidate], policy: Policy, now: datetime = NOW) -> list[str]:
    return [
        verdict.name.directory_time[:16].removesuffix("T12:00")
        for verdict in judge_machine(candidates, policy, now)
        if not verdict.goes
    ]


DAYS = [at(f"2026-11-{day:02}") for day in range(1, 22)]
HOURS = [at(f"2026-11-20T{hour:02}:{minute}") for hour in (8, 9, 11) for minute in (10, 50)]


@pytest.mark.parametrize(
    ("candidates", "policy", "stay"),
    [
        (DAYS, Policy(keep_last=2), ["2026-11-20", "2026-11-21"]),
        (DAYS, Policy(keep_last=RULE_MAX), [f"2026-11-{day:02}" for day in range(1, 22)]),
        (DAYS, KEEP_ALL, [f"2026-11-{day:02}" for day in range(1, 22)]),
        # the newest of each hour; 10 o'clock has none and takes no place
        (HOURS, Policy(keep_hourly=2), ["2026-11-20T09:50", "2026-11-20T11:50"]),
        (HOURS, Policy(keep_daily=5), ["2026-11-20T11:50"]),
        # a day begins at 00:00 UTC
        (
            [at("2026-11-19T23:59"), at("2026-11-20T00:00"), at("2026-11-20T00:01")],
            Policy(keep_daily=2),
            ["2026-11-19T23:59", "2026-11-20T00:01"],
        ),
        # a week begins on Monday: the 15th was a Sunday
        (DAYS, Policy(keep_weekly=3), ["2026-11-08", "2026-11-15", "2026-11-21"]),
        # 2027-01-01 lies in week 53 of 2026
        (
            [at("2026-12-31"), at("2027-01-01"), at("2027-01-04")],
            Policy(keep_weekly=2),
            ["2027-01-01", "2027-01-04"],
        ),
        (
            [at("2024-12-31"), at("2025-12-30"), at("2026-01-01"), at("2026-11-20")],
            Policy(keep_yearly=2),
            ["2025-12-30", "2026-11-20"],
        ),
        (
            [at("2026-01-05"), at("2026-01-31"), at("2026-11-01"), at("2026-11-02")],
            Policy(keep_monthly=2),
            ["2026-01-31", "2026-11-02"],
        ),
        # less than so many days older than the newest: not the one of the same hour
        (DAYS, Policy(keep_days=2), ["2026-11-20", "2026-11-21"]),
        # they count from the newest point, so an idle machine loses nothing by waiting
        ([at("2020-01-01"), at("2020-01-05")], Policy(keep_days=9), ["2020-01-01", "2020-01-05"]),
        # rules add up
        (
            DAYS,
            Policy(keep_last=1, keep_weekly=2, keep_yearly=1),
            ["2026-11-15", "2026-11-21"],
        ),
    ],
)
def test_what_stays(candidates: list[Candidate], policy: Policy, stay: list[str]) -> None:
    if candidates[-1].name.time > NOW:
        assert staying(candidates, policy, NOW + timedelta(days=365)) == stay
    else:
        assert staying(candidates, policy) == stay


def test_incomplete_and_damaged_points_fill_nobodys_place() -> None:
    points = [
        at("2026-11-10"),
        at("2026-11-11", "incomplete"),
        at("2026-11-12"),
        at("2026-11-13", "damaged"),
        at("2026-11-14", "incomplete"),
    ]
    verdicts = judge_machine(points, Policy(keep_last=1), NOW)
    assert [verdict.goes for verdict in verdicts] == [True, True, False, False, False]
    assert verdicts[1].reasons == ("incomplete, and a newer point is complete",)
    assert verdicts[2].reasons == ("newest complete point", "last")
    assert verdicts[3].reasons[0].startswith("damaged")
    assert verdicts[4].reasons == ("incomplete, but nothing newer is complete",)


def test_a_shielded_point_stays_and_counts() -> None:
    points = [at("2026-11-10", "complete", "held"), at("2026-11-11", "incomplete", "held")]
    points += [at("2026-11-12"), at("2026-11-13")]
    verdicts = judge_machine(points, Policy(keep_last=1), NOW)
    assert [verdict.goes for verdict in verdicts] == [False, False, True, False]
    assert verdicts[0].reasons == ("held",)


def test_a_point_of_a_wrong_clock_stays_and_counts_for_nothing() -> None:
    points = [at("2026-11-10"), at("2026-11-11"), at("2099-01-01")]
    verdicts = judge_machine(points, Policy(keep_last=1, keep_days=1), NOW)
    assert [verdict.goes for verdict in verdicts] == [True, False, False]
    assert verdicts[2].reasons == ("dated in the future",)


def test_a_point_of_the_next_seconds_is_no_point_of_a_wrong_clock() -> None:
    points = [at("2026-11-21T11:59"), at("2026-11-21T12:01")]
    assert staying(points, Policy(keep_last=1)) == ["2026-11-21T12:01"]


def test_no_points_need_no_verdicts() -> None:
    assert judge_machine([], Policy(keep_last=1), NOW) == ()
    assert newest_complete(()) is None


# ---- for all points and policies ----------------------------------------------------------------

counts = st.sampled_from([0, 0, 1, 2, 3, 7, RULE_MAX])


@st.composite
def point_lists(draw: st.DrawFn) -> list[Candidate]:
    hours = draw(st.lists(st.integers(-60, 24 * 800), unique=True, max_size=40))
    return [
        Candidate(
            PointName("m", NOW - timedelta(hours=hour)),
            draw(st.sampled_from(["complete", "complete", "complete", "incomplete", "damaged"])),
            draw(st.sampled_from([(), (), (), ("held",)])),
        )
        for hour in hours
    ]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    numbers = [draw(counts) for _ in COUNT_RULES] + [draw(counts)]
    if not any(numbers):
        numbers[0] = 1
    last, hourly, daily, weekly, monthly, yearly, days = numbers
    return Policy(last, hourly, daily, weekly, monthly, yearly, days)


@given(point_lists(), policies())
def test_pruning_twice_is_pruning_once(points: list[Candidate], policy: Policy) -> None:
    stay = {verdict.name for verdict in judge_machine(points, policy, NOW) if not verdict.goes}
    left = [point for point in points if point.name in stay]
    assert not any(verdict.goes for verdict in judge_machine(left, policy, NOW))


@given(point_lists(), policies(), st.sampled_from([*COUNT_RULES, "days", "forever"]), counts)
def test_more_rules_never_remove_more(
    points: list[Candidate], policy: Policy, rule: str, more: int
) -> None:
    larger = replace(policy, keep_forever=True)
    if rule != "forever":
        name = f"keep_{rule}"
        number = max(getattr(policy, name), more)
        larger = Policy(**{**policy.__dict__, name: number})
    goes = {verdict.name for verdict in judge_machine(points, policy, NOW) if verdict.goes}
    goes_still = {verdict.name for verdict in judge_machine(points, larger, NOW) if verdict.goes}
    assert goes_still <= goes


@given(point_lists(), policies())
def test_what_always_stays_and_that_every_verdict_has_a_reason(
    points: list[Candidate], policy: Policy
) -> None:
    verdicts = {verdict.name: verdict for verdict in judge_machine(points, policy, NOW)}
    assert len(verdicts) == len(points)
    assert all(verdict.reasons for verdict in verdicts.values())
    complete = [
        point.name
        for point in points
        if point.state == "complete" and point.name.time <= NOW + timedelta(days=1)
    ]
    if complete:
        newest = max(complete, key=lambda name: name.time)
        assert not verdicts[newest].goes
        assert newest_complete(tuple(verdicts.values())) == newest
    for point in points:
        if point.shields or point.state == "damaged":
            assert not verdicts[point.name].goes
    shuffled = judge_machine(list(reversed(points)), policy, NOW)
    assert {verdict.name: verdict for verdict in shuffled} == verdicts
