"""One thing that is tried on a bench, and the table of what came of it.

Owns the isolation (a failed scenario does not end the run, and nothing that it started runs on
beside the next one) and the table.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hwtests.bench import Bench

Lane = Literal["disks", "arrays"]
Play = Callable[[Any], str]
"""Does it on a bench and gives what was seen; AssertionError says what was seen instead."""

_COMPARED = re.compile(r"(\d+) fields compared, (\d+) different")


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: what happens, in a few words.
        expected: what the product should say or do.
        play: does it.
        needs: what the bench must be able to do (`Bench.can`).
        roles: disks that it overwrites: role -> how many.
        is_core: whether `make test` plays it too.
        lane: in which guest it is played; those of one lane are played one after the other.
    """

    name: str
    expected: str
    play: Play
    needs: frozenset[str] = frozenset()
    roles: dict[str, int] = field(default_factory=dict)
    is_core: bool = False
    lane: Lane = "disks"


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario. `passed` is None where the bench cannot play it."""

    scenario: Scenario
    passed: bool | None
    seen: str
    seconds: float


def play(scenario: Scenario, bench: Bench) -> Outcome:
    """Play one scenario."""
    began_s = time.monotonic()
    missing = sorted(scenario.needs - bench.can)
    missing += [
        f"{count} disks for {role}"
        for role, count in scenario.roles.items()
        if bench.offers(role) < count
    ]
    if missing:
        return Outcome(scenario, None, f"this bench has no {', '.join(missing)}", 0.0)
    try:
        seen, passed = scenario.play(bench), True
    except Exception as error:
        seen, passed = f"{type(error).__name__}: {error}", False
    try:
        bench.end_all()
    except Exception as error:
        seen, passed = f"{seen}; afterwards {type(error).__name__}: {error}", False
    return Outcome(scenario, passed, seen, time.monotonic() - began_s)


def describe(outcomes: Sequence[Outcome]) -> str:
    """The table scenario / expected / seen / seconds, and the counts."""
    words = {True: "ok", False: "FAILED", None: "left out"}
    rows = [("SCENARIO", "EXPECTED", "SEEN", "SECONDS", "")]
    rows += [
        (
            outcome.scenario.name,
            outcome.scenario.expected,
            " ".join(outcome.seen.split())[:400],
            f"{outcome.seconds:.1f}",
            words[outcome.passed],
        )
        for outcome in outcomes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [
        f"{name.ljust(widths[0])}  {expected.ljust(widths[1])}  {seconds:>7}  {word:<8}  {seen}"
        for name, expected, seen, seconds, word in rows
    ]
    lines += _count_fields(outcomes)
    passed = sum(outcome.passed is True for outcome in outcomes)
    failed = sum(outcome.passed is False for outcome in outcomes)
    left_out = len(outcomes) - passed - failed
    lines.append(
        f"{passed} passed, {failed} failed" + (f", {left_out} left out" if left_out else "")
    )
    return "\n".join(lines)


def _count_fields(outcomes: Sequence[Outcome]) -> list[str]:
    """All comparisons with another program together."""
    pairs = [_COMPARED.findall(outcome.seen) for outcome in outcomes]
    compared, different = ([int(pair[at]) for found in pairs for pair in found] for at in (0, 1))
    if not compared:
        return []
    return [f"{sum(compared)} fields compared with other programs, {sum(different)} different"]
