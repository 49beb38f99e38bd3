"""Many machines, small increments, day after day: what a vault holds and is asked stays bounded."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.formats.vault_names import KINDS
from appliance.vault.merging import MergeRule
from tests.vault.yard import RULE, Yard

PER_DAY = 2
KEEP = 3


@dataclass(frozen=True)
class Day:
    """The vault after the pruning of a day, and what was asked of it on that day."""

    number: int
    objects: Counter[str]
    requests: Counter[str]

    def __str__(self) -> str:
        kinds = " ".join(f"{kind} {self.objects[kind]}" for kind in ("heads", *KINDS))
        asked = " ".join(f"{kind} {count}" for kind, count in sorted(self.requests.items()))
        return (
            f"day {self.number:2}: {self.objects.total():5} objects ({kinds}), "
            f"{self.requests.total():6} requests ({asked})"
        )


@pytest.fixture
def yard(tmp_path: Path, seed: int) -> Iterator[Yard]:
    found = Yard(tmp_path, seed)
    yield found
    found.close()


def live(yard: Yard, machines: int, days: int, rule: MergeRule) -> list[Day]:
    """Every machine is backed up and uploaded some times a day; the vault is pruned daily."""
    curve = []
    for number in range(days):
        before = yard.requests.copy()
        for _ in range(PER_DAY):
            yard.work(machines)
            yard.upload(is_all=False)
        yard.prune(rule, keep=KEEP)
        for name in list(yard.images)[: -machines * KEEP]:
            del yard.images[name]
        kinds = ("heads", *KINDS)
        objects = Counter({kind: len(yard.objects(kind)) for kind in kinds})
        curve.append(Day(number, objects, yard.requests - before))
        print(curve[-1], flush=True)
    return curve


def check(yard: Yard, curve: list[Day]) -> None:
    """The last third of the days is like the second, but for what chance does."""
    third = len(curve) // 3
    for what in ("objects", "requests"):
        middle, last = (
            statistics.fmean(getattr(day, what).total() for day in part)
            for part in (curve[third : 2 * third], curve[2 * third :])
        )
        assert last < 1.15 * middle, f"{what} grow: {middle:.0f} a day, then {last:.0f}"
    assert not yard.verify().damages
    other = yard.open("other")
    for name in random.Random(yard.seed).sample(sorted(yard.images), 3):
        assert other("restore", name, "-", expect=0).stdout == yard.images[name], name


def test_a_vault_of_a_few_machines_stays_as_it_is_week_after_week(yard: Yard) -> None:
    curve = live(yard, machines=7, days=6, rule=RULE)
    assert max(day.objects["containers"] for day in curve) < 2 * RULE.least
    check(yard, curve)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_vault_of_a_hundred_machines_stays_as_it_is(yard: Yard) -> None:
    curve = live(yard, machines=100, days=15, rule=MergeRule())
    # 200 small containers come each day.
    assert max(day.objects["containers"] for day in curve) < 300
    check(yard, curve)
