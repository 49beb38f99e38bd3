"""What scenarios run on: something with disks, on which commands run and faults can be made.

Owns the words that scenarios use. `hwtests.guest` is one such bench, `hwtests.physical` another.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

PATIENCE_S = 300.0
"""Long enough for anything on a busy machine that emulates; what must be quick is measured."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Said:
    """What a finished command left behind."""

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output; anything else fails the scenario."""
        try:
            value = json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"no JSON: {self.out[:300]} {self.err[:600]}") from error
        assert isinstance(value, dict), self.out[:300]
        return value


class Bench(Protocol):
    """A machine under test."""

    @property
    def can(self) -> frozenset[str]:
        """What it offers beyond its disks: `qemu`, `modules`, `clock`."""

    def run(self, *argv: str, stdin: str = "", timeout_s: float = PATIENCE_S) -> Said:
        """Run a program there."""

    def holdfast(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Said:
        """Run the product there."""

    def start(self, *arguments: str) -> int:
        """Start the product there and leave it running; gives a number for `output` and `end`."""

    def output(self, number: int) -> str:
        """What it has printed so far."""

    def time_until(
        self, number: int, text: str, *argv: str, timeout_s: float = PATIENCE_S
    ) -> float:
        """Run a program there; gives the seconds until the started product says `text`."""

    def end(self, number: int) -> None:
        """End it, and wait until it is gone."""

    def end_all(self) -> None:
        """End whatever was started and still runs: the next scenario begins alone."""

    def offers(self, role: str) -> int:
        """How many disks it has for `role`."""

    def disks(self, role: str, count: int) -> list[str]:
        """Kernel names of `count` disks that may be overwritten. Raises AssertionError if fewer."""


def succeed(said: Said) -> Said:
    """The same, if it ended well."""
    assert said.code == 0, f"exit {said.code}: {said.err.strip()[-800:]} {said.out.strip()[-400:]}"
    return said


def await_true(look: Callable[[], _T | None], what: str, *, timeout_s: float = PATIENCE_S) -> _T:
    """Look until there is something to see. Raises AssertionError after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.1)


def findings(said: Said, rule: str = "", subject: str = "") -> list[dict[str, Any]]:
    """Findings in an answer of `health`, of this rule and subject (beginnings of both)."""
    return [
        item
        for item in said.json()["findings"]
        if item["rule"].startswith(rule) and item["subject"].startswith(subject)
    ]


def one(items: Sequence[_T], what: str) -> _T:
    """The only item."""
    assert len(items) == 1, f"{what}: {len(items)} instead of one: {items}"
    return items[0]
