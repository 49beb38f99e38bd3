"""A box's doors with a clock that is set by hand and passwords that cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from appliance.access.access import Access
from appliance.access.callers import ADMIN, Caller
from appliance.access.gate import Facts
from appliance.access.passwords import Passwords

PASSWORD = "correct horse battery"


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic_s(self) -> float:
        return self.time.timestamp()

    def sleep_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def cheap_passwords() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def access(tmp_path: Path, clock: HandClock) -> Iterator[Access]:
    with Access(tmp_path, clock, passwords=cheap_passwords()) as opened:
        yield opened


@pytest.fixture
def admin(access: Access) -> Caller:
    """The administrator `ann`, logged in with a password and nothing else."""
    access.accounts.add("ann", ADMIN, PASSWORD)
    return access.gate.admit(log_in(access, "ann"))


def facts(address: str = "192.0.2.7", **more: Any) -> Facts:
    return Facts(address=address, **more)


def log_in(access: Access, name: str, password: str = PASSWORD, code: str | None = None) -> Facts:
    """The facts of the next request of somebody who has just logged in."""
    return facts(cookie=access.gate.log_in(name, password, code, facts()))
