"""A clock that tests set: the wall and the monotonic clock move together or apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class HandClock:
    """Time as the test says."""

    def __init__(self, time: datetime = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)) -> None:
        self.time = time
        self.passed_s = 100.0

    def now(self) -> datetime:
        """The time that was set."""
        return self.time

    def monotonic_s(self) -> float:
        """The seconds that really passed."""
        return self.passed_s

    def sleep_s(self, seconds: float) -> None:
        """Let time go by."""
        self.go_by(timedelta(seconds=seconds))

    def go_by(self, span: timedelta) -> None:
        """Both clocks move on: nothing is wrong."""
        self.time += span
        self.passed_s += span.total_seconds()

    def jump(self, span: timedelta) -> None:
        """Only the wall clock moves: it was set."""
        self.time += span
