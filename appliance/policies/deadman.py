"""A machine that falls behind its target is a finding, and the further behind, the louder.

Owns the rule and its steps. Pure: who knows the newest points asks it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from appliance.base.text import duration
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.formats.names import parse_time
from appliance.formats.protection import MachineRecord, Protection, State
from appliance.policies.slots import longest_gap

CRITICAL_AT = 3.0
"""From so many times the target on it is critical; it is told anew whenever the age has doubled."""
PAUSE_MAX = timedelta(days=14)
"""A machine that is paused for longer was probably forgotten."""
FUTURE = timedelta(days=1)
"""A point dated further ahead was made by a wrong clock and proves nothing."""
_SLACK = 1.25


@dataclass(frozen=True)
class Standing:
    """How a machine is doing.

    Attributes:
        newest: its newest good point, None without any.
        since: since when it should have had one: added, resumed, or promised something.
        rpo_s: its target; None where nothing is promised.
    """

    machine: str
    state: State
    newest: datetime | None
    since: datetime
    rpo_s: float | None

    def age_s(self, now: datetime) -> float:
        """How much would be lost now: the age of the newest good point, or all since `since`."""
        return max(0.0, (now - (self.newest or self.since)).total_seconds())

    def is_late(self, now: datetime) -> bool:
        """Whether it is beyond its target although it should not be."""
        return self.state == "active" and self.rpo_s is not None and self.age_s(now) > self.rpo_s


def target_s(protection: Protection, now: datetime, zone: tzinfo) -> float | None:
    """The target that was set, else the longest pause of the schedule and a quarter more."""
    if protection.rpo_s is not None:
        return float(protection.rpo_s)
    gap = longest_gap(protection.schedule, now, zone)
    return None if gap is None else gap.total_seconds() * _SLACK + protection.jitter_s


def judge(standing: Standing, now: datetime) -> Iterator[Finding]:
    """What should be known about a machine."""
    if standing.is_late(now):
        yield _late(standing, now)
    if standing.state == "paused" and now - standing.since > PAUSE_MAX:
        days = (now - standing.since).days
        yield Finding(
            subject=f"machine {standing.machine}",
            rule="machine.paused",
            severity="warning",
            summary=f"it has been paused for {days} days",
            evidence=(Evidence("days paused", ((now, float(days)),), "d", f"{PAUSE_MAX.days}"),),
            consequence="Nothing of it is backed up, and its newest point grows old.",
            action=f"'holdfast machines resume \"{standing.machine}\"', or retire it.",
            measure=float(int(math.log2(max(days / PAUSE_MAX.days, 1.0)))),
        )


def judge_offsite(
    machine: str,
    vault: str,
    there: datetime | None,
    now: datetime,
    *,
    behind_s: float,
    target_s: float,
) -> Iterator[Finding]:
    """What should be known of a machine whose newest point is not in a vault.

    `there` is its newest one in the vault, `behind_s` how much would be lost with the box.
    """
    if behind_s <= target_s:
        return
    what = "nothing of it is" if there is None else "only an old point of it is"
    yield Finding(
        subject=f"machine {machine}",
        rule=f"machine.offsite.{vault}",
        severity=_severity(behind_s / target_s),
        summary=f"{what} in vault '{vault}': {duration(behind_s)} behind, promised "
        f"{duration(target_s)}",
        evidence=(_evidence("behind in the vault", behind_s, target_s, now),),
        consequence=f"If the box were lost now, {duration(behind_s)} of its work would be lost.",
        action="'holdfast vault status' says what waits and how fast it goes.",
        measure=_measure(behind_s / target_s),
    )


@dataclass(frozen=True)
class Rehearsal:
    """How the newest drill of a machine went; `rto_s` is missing if it did not recover."""

    drill: str
    began: datetime
    rto_s: float | None


def judge_rehearsal(
    machine: str, rehearsal: Rehearsal, rto_target_s: float | None
) -> Iterator[Finding]:
    """What should be known of a machine whose recovery was rehearsed."""
    began, took_s = rehearsal.began, rehearsal.rto_s
    see = f"'holdfast drill show {rehearsal.drill}' says where it stood or how the time went"
    if took_s is None:
        yield Finding(
            subject=f"machine {machine}",
            rule="machine.drill-failed",
            severity="critical",
            summary="it did not recover when that was rehearsed last",
            evidence=(Evidence("drill", ((began, "failed"),)),),
            consequence="If it were lost now, nobody knows that it comes back.",
            action=f"{see}; then rehearse it again: 'holdfast drill run \"{machine}\"'.",
        )
    elif rto_target_s is not None and took_s > rto_target_s:
        times = took_s / rto_target_s
        evidence = ((began, round(took_s / 60, 1)),)
        yield Finding(
            subject=f"machine {machine}",
            rule="machine.rto",
            severity=_severity(times),
            summary=f"its recovery took {duration(took_s)} when that was rehearsed last, promised "
            f"{duration(rto_target_s)}",
            evidence=(Evidence("time to recover", evidence, "min", f"{rto_target_s / 60:g} min"),),
            consequence=f"If it were lost now, it would be away for {duration(took_s)}.",
            action=f"{see}; give it more memory, a faster disk, or another target.",
            measure=_measure(times),
        )


def _late(standing: Standing, now: datetime) -> Finding:
    assert standing.rpo_s is not None
    age_s = standing.age_s(now)
    what = "it has no good point yet" if standing.newest is None else "its newest good point is old"
    of_what = "age of the newest good point" if standing.newest else "time without a good point"
    return Finding(
        subject=f"machine {standing.machine}",
        rule="machine.late",
        severity=_severity(age_s / standing.rpo_s),
        summary=f"{what}: {duration(age_s)}, promised {duration(standing.rpo_s)}",
        evidence=(_evidence(of_what, age_s, standing.rpo_s, now),),
        consequence=f"If it were lost now, {duration(age_s)} of its work would be lost with it.",
        action="See why its backups fail or do not begin: 'holdfast machines show "
        f'"{standing.machine}"\'; then back it up, pause or retire it.',
        measure=_measure(age_s / standing.rpo_s),
    )


def _severity(times: float) -> Severity:
    return "critical" if times >= CRITICAL_AT else "warning"


def _measure(times: float) -> float:
    """Grows by one whenever the age has doubled: then it is told anew."""
    return float(int(math.log2(times)))


def _evidence(what: str, age_s: float, target_s: float, now: datetime) -> Evidence:
    return Evidence(what, ((now, round(age_s / 3600, 1)),), "h", f"{target_s / 3600:g} h")


def promised_since(machine: MachineRecord | None, protection: Protection) -> datetime:
    """Since when a machine should have points: since it was added and something was promised."""
    texts = [protection.since] + ([] if machine is None else [machine.since])
    return max(time for text in texts if (time := parse_time(text)) is not None)
