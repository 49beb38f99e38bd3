"""What the rules of a policy mean: pure functions from points to verdicts.

All times are UTC, so that a point's hour, day and week are the ones in its name. The rules:

- *last N*: the N newest points.
- *hourly, daily, weekly, monthly, yearly N*: the newest point of each of the N newest hours, days,
  ISO weeks (from Monday), months or years that have a point at all.
- *days N*: every point less than N days older than the machine's newest one. It counts from that
  point and not from now: a machine whose backups stopped loses nothing by waiting.
- A point stays if any rule keeps it. Rules count complete points only: incomplete and damaged ones
  fill nobody's place. The newest complete point of a machine always stays.
- Incomplete: stays until the machine has a newer complete point, then it goes.
- Damaged: stays. The next backup may heal it, and a person decides about the rest.
- Dated more than a day in the future: stays and counts for nothing; its clock was wrong.
- Of a retired machine no new points come: what a rule keeps goes when the rule's time has passed
  since it was made (days N, N hours, days, weeks, months, years), the newest point too. *last N*
  and *for ever* keep it.
- Shielded (held, or in use): stays whatever the rules say; complete, it counts like any other.

From this follows: more or larger rules never remove more, and pruning twice is pruning once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from appliance.formats.names import PointName
from appliance.formats.policy import COUNT_RULES, Policy

# A taken second moves a point on by seconds, a corrected clock by hours.
FUTURE = timedelta(days=1)
State = Literal["complete", "incomplete", "damaged"]


@dataclass(frozen=True)
class Candidate:
    """A point to judge. `shields` say what keeps it whatever the rules say."""

    name: PointName
    state: State
    shields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Whether a point goes, and why."""

    name: PointName
    goes: bool
    reasons: tuple[str, ...]


def _week(time: datetime) -> str:
    year, week, _ = time.isocalendar()
    return f"{year}-W{week:02}"


_BUCKETS: dict[str, Callable[[datetime], str]] = {
    "hourly": lambda time: f"{time:%Y-%m-%dT%H}",
    "daily": lambda time: f"{time:%Y-%m-%d}",
    "weekly": _week,
    "monthly": lambda time: f"{time:%Y-%m}",
    "yearly": lambda time: f"{time:%Y}",
}


_PERIODS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "yearly": timedelta(days=366),
}


def judge_machine(
    candidates: Sequence[Candidate], policy: Policy, now: datetime, *, is_retired: bool = False
) -> tuple[Verdict, ...]:
    """A verdict for each point of one machine, oldest first."""
    past = [found for found in candidates if found.name.time <= now + FUTURE]
    complete = sorted(
        (found.name for found in past if found.state == "complete"), key=_time, reverse=True
    )
    newest = complete[0] if complete else None
    kept = _apply_rules(complete, policy)
    if is_retired:
        kept = {
            name: [rule for rule in rules if _holds(rule, policy, now - name.time)]
            for name, rules in kept.items()
        }
    return tuple(
        _judge(found, policy, now, newest, kept)
        for found in sorted(candidates, key=lambda found: found.name.time)
    )


def newest_complete(verdicts: Sequence[Verdict]) -> PointName | None:
    """The point whose verdict says that it is the machine's newest complete one."""
    return next((found.name for found in verdicts if NEWEST in found.reasons), None)


NEWEST = "newest complete point"


def _time(name: PointName) -> datetime:
    return name.time


def _apply_rules(complete: Sequence[PointName], policy: Policy) -> dict[PointName, list[str]]:
    """Why the rules keep which of the complete points, newest first."""
    kept: dict[PointName, list[str]] = {name: [] for name in complete}
    for name in complete[:1]:
        kept[name].append(NEWEST)
    for name in complete[: policy.keep_last]:
        kept[name].append("last")
    for rule in COUNT_RULES[1:]:
        buckets: dict[str, PointName] = {}
        for name in complete:
            buckets.setdefault(_BUCKETS[rule](name.time), name)
        for bucket, name in list(buckets.items())[: policy.count(rule)]:
            kept[name].append(f"{rule} {bucket}")
    for name in complete:
        if complete[0].time - name.time < timedelta(days=policy.keep_days):
            kept[name].append(f"within {policy.keep_days} days")
    return kept


def _holds(reason: str, policy: Policy, age: timedelta) -> bool:
    """Whether a rule still keeps a point of a retired machine."""
    rule = reason.split(maxsplit=1)[0]
    if rule == "last":
        return True
    if rule == "within":
        return age < timedelta(days=policy.keep_days)
    return rule in _PERIODS and age < _PERIODS[rule] * policy.count(rule)


def _judge(
    found: Candidate,
    policy: Policy,
    now: datetime,
    newest: PointName | None,
    kept: dict[PointName, list[str]],
) -> Verdict:
    reasons = list(found.shields)
    why_it_goes = "no rule keeps it"
    if policy.keep_forever:
        reasons.append("for ever")
    if found.name.time > now + FUTURE:
        reasons.append("dated in the future")
    elif found.state == "damaged":
        reasons.append("damaged: a backup may heal it, 'holdfast forget' removes it")
    elif found.state == "incomplete":
        if newest is None or newest.time < found.name.time:
            reasons.append("incomplete, but nothing newer is complete")
        why_it_goes = "incomplete, and a newer point is complete"
    else:
        reasons += kept[found.name]
    if reasons:
        return Verdict(found.name, goes=False, reasons=tuple(reasons))
    return Verdict(found.name, goes=True, reasons=(why_it_goes,))
