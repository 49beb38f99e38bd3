"""A pytest plug-in for `make test-slow`: a share of the tests, and none that has passed before.

SHARD=i/n selects every n-th test, beginning with the i-th (1 <= i <= n), in the order of their
names. HOLDFAST_TEST_PASSES names a file of passed tests, one a line, that is read at the start
and grows as tests pass: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest


def parse_shard(text: str) -> tuple[int, int]:
    """`i/n` as two numbers, (1, 1) for nothing. Raises ValueError if it is something else."""
    first, _, count = (text or "1/1").partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise ValueError(f"SHARD={text}: expected i/n with 1 <= i <= n, as in 2/8")
    return int(first), int(count)


def select_shard(names: Iterable[str], first: int, count: int) -> set[str]:
    """Every `count`-th of the sorted `names`, from the `first`-th on."""
    return set(sorted(names)[first - 1 :: count])


def _passes() -> Path | None:
    name = os.environ.get("HOLDFAST_TEST_PASSES")
    return Path(name) if name else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep this shard's tests that have not passed."""
    try:
        first, count = parse_shard(os.environ.get("SHARD", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    passes = _passes()
    passed = set(passes.read_text().splitlines()) if passes and passes.exists() else set()
    slow = [item for item in items if item.get_closest_marker("slow")]
    wanted = select_shard((item.nodeid for item in slow), first, count) - passed
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
    items[:] = [item for item in items if item.nodeid in wanted]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember a pass at once: the next moment may be a power cut."""
    passes = _passes()
    if passes and report.when == "call" and report.passed:
        with passes.open("a") as file:
            file.write(f"{report.nodeid}\n")
