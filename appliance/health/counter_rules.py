"""Verdicts by counters of errors: how many, and how fast they grow.

Owns the thresholds. A few old errors are a remark; errors that come are a reason to act. The
counters 5, 187, 188, 197 and 198 are those that failing disks have in common in published
statistics of large fleets; their growth tells more than their height.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from appliance.formats.finding import Finding, Severity
from appliance.health.disk_exam import Exam
from appliance.health.trends import grew_within, rate_a_day

RECENT = timedelta(days=30)
_WEEK = timedelta(days=7)
_LINK_RATE_MIN = 1.0
_TIMEOUTS_NOTICE = 50
_TIMEOUT_RATE = 5.0
_REPLACE = "Order a replacement, then 'holdfast disks replace'."


@dataclass(frozen=True)
class CounterRule:
    """How one counter of lost or spare sectors is judged.

    Attributes:
        many: from this count on it is a warning even if it does not grow.
        too_many: from this count on it is critical.
        fast: growth within a week from which on it is critical.
        is_loss: whether each count is data that could not be read: never only a notice.
    """

    key: str
    rule: str
    summary: str
    consequence: str
    action: str
    many: float
    too_many: float
    fast: float
    is_loss: bool = False


RULES = (
    CounterRule(
        "reallocated",
        "reallocated-sectors",
        "{count} bad sectors were replaced by spare ones",
        "Its surface is failing: disks that replace sectors fail several times as often.",
        f"Watch it; if the number grows: {_REPLACE}",
        many=10,
        too_many=1000,
        fast=50,
    ),
    CounterRule(
        "grown-defects",
        "grown-defects",
        "{count} defects have grown on it since it was made",
        "Its surface is failing: the list of spare sectors is finite.",
        f"Watch it; if the number grows: {_REPLACE}",
        many=50,
        too_many=1000,
        fast=50,
    ),
    CounterRule(
        "pending",
        "pending-sectors",
        "{count} sectors cannot be read at present",
        "What lies there is lost unless an array or the vault has it too.",
        f"Let a scrub of the array rewrite them; if the number stays or grows: {_REPLACE}",
        many=1,
        too_many=50,
        fast=10,
        is_loss=True,
    ),
    CounterRule(
        "uncorrectable",
        "uncorrectable-sectors",
        "{count} sectors could not be corrected by its own scan",
        "What lies there is lost unless an array or the vault has it too.",
        f"Run a long self-test; if it fails or the number grows: {_REPLACE}",
        many=1,
        too_many=50,
        fast=10,
        is_loss=True,
    ),
    CounterRule(
        "reported-errors",
        "reported-errors",
        "{count} reads or writes failed for good",
        "Something that was asked of it was lost: an array had to help out, or nobody could.",
        f"Run a long self-test; if the number grows: {_REPLACE}",
        many=1,
        too_many=100,
        fast=5,
        is_loss=True,
    ),
    CounterRule(
        "media-errors",
        "media-errors",
        "{count} reads gave data that did not check",
        "Its flash loses what was written.",
        f"Let a scrub of the array rewrite it; if the number grows: {_REPLACE}",
        many=1,
        too_many=100,
        fast=5,
        is_loss=True,
    ),
    CounterRule(
        "scan-errors",
        "scan-errors",
        "its background scan met {count} sectors that cannot be read",
        "What lies there is lost unless an array or the vault has it too.",
        f"Let a scrub of the array rewrite them; if the number grows: {_REPLACE}",
        many=1,
        too_many=50,
        fast=10,
        is_loss=True,
    ),
)


def judge_counters(exam: Exam) -> Iterator[Finding]:
    """Every counter that is not zero."""
    for rule in RULES:
        count = exam.value(rule.key)
        if count:
            yield _judge_counter(exam, rule, count)
    yield from _judge_link(exam)
    yield from _judge_timeouts(exam)


def _judge_counter(exam: Exam, rule: CounterRule, count: float) -> Finding:
    series = exam.series(rule.key)
    grown = grew_within(series, RECENT)
    severity: Severity = "warning" if rule.is_loss or count >= rule.many or grown else "notice"
    if count >= rule.too_many or grew_within(series, _WEEK) >= rule.fast:
        severity = "critical"
    pace = f", {grown:g} of them within {RECENT.days} days" if grown else ""
    return exam.finding(
        rule.rule,
        severity,
        rule.summary.format(count=f"{count:g}") + pace,
        (exam.evidence(rule.key, "0"),),
        consequence=rule.consequence,
        action=rule.action,
        measure=count,
    )


def _judge_link(exam: Exam) -> Iterator[Finding]:
    """Errors on the wire are no fault of the disk, and old ones never go away."""
    count = exam.value("link-errors")
    if not count:
        return
    series = exam.series("link-errors")
    rate = rate_a_day(series, _WEEK)
    is_new = grew_within(series, _WEEK) > 0
    if not is_new and series[-1][0] - series[0][0] > RECENT:
        return  # what was, was: whoever changed the cable wants to hear no more of it
    yield exam.finding(
        "link-errors",
        "warning" if rate >= _LINK_RATE_MIN else "notice",
        f"{count:g} transfers between it and the controller were spoiled"
        + (f", {rate:.1f} a day" if rate else ""),
        (exam.evidence("link-errors"),),
        consequence="Spoiled transfers are repeated, which costs time; the disk itself may be fine."
        " A worse link makes an array throw a good disk out.",
        action="Reseat or change the cable, then the slot of the backplane; not the disk.",
        # In powers of two: a trickle that goes on is not worse every day.
        measure=math.floor(math.log2(count)) if count >= 1 else 0,
    )


def _judge_timeouts(exam: Exam) -> Iterator[Finding]:
    count = exam.value("command-timeouts")
    if not count:
        return
    series = exam.series("command-timeouts")
    rate = rate_a_day(series, _WEEK)
    if rate < _TIMEOUT_RATE and (count < _TIMEOUTS_NOTICE or len(series) > 1):
        return  # a few are made by every restart with spinning disks
    yield exam.finding(
        "command-timeouts",
        "warning" if rate >= _TIMEOUT_RATE else "notice",
        f"{count:g} commands were not answered in time" + (f", {rate:.1f} a day" if rate else ""),
        (exam.evidence("command-timeouts"),),
        consequence="Everything that waits for the disk waits; an array may throw it out.",
        action="Check its power and its cable; if the number grows with both changed: " + _REPLACE,
        measure=math.floor(math.log2(count)),
    )
