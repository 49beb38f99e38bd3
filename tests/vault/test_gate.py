"""Windows, budgets, rates and shares, with a clock of the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.base.errors import UsageError
from appliance.formats.vault_settings import VaultSettings
from appliance.formats.window import Window, next_opening
from appliance.vault.gate import Gate, NotNowError
from tests.clocks import HandClock

SATURDAY = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
BASE = VaultSettings("v", "file:///v", bytes(16), share_percent=100)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandClock:
    made = HandClock(SATURDAY)

    async def sleep(seconds: float) -> None:
        made.sleep_s(seconds)

    monkeypatch.setattr("appliance.vault.gate.asyncio.sleep", sleep)
    return made


def send(gate: Gate, clock: HandClock, total: int, piece: int = 100_000) -> float:
    """Seconds that so many bytes take."""

    async def run() -> None:
        for _ in range(total // piece):
            await gate.spend(piece)

    began_s = clock.monotonic_s()
    asyncio.run(run())
    return clock.monotonic_s() - began_s


@pytest.mark.parametrize(
    ("text", "moment", "is_open"),
    [
        ("22:00-06:00", "2026-11-21T23:00", True),
        ("22:00-06:00", "2026-11-21T05:59", True),
        ("22:00-06:00", "2026-11-21T06:00", False),
        ("mon-fri 19:00-07:00", "2026-11-21T06:59", True),  # Friday's night
        ("mon-fri 19:00-07:00", "2026-11-21T19:00", False),
        ("mon-fri 19:00-07:00", "2026-11-23T06:59", False),  # Sunday has none
        ("sat-sun 00:00-24:00", "2026-11-22T12:00", True),
        ("fri-mon 08:00-09:00", "2026-11-23T08:30", True),
        ("wed 08:00-09:00", "2026-11-23T08:30", False),
    ],
)
def test_a_window_is_open_when_it_says(text: str, moment: str, is_open: bool) -> None:
    assert Window.parse(text).is_open(datetime.fromisoformat(moment)) == is_open


@pytest.mark.parametrize("text", ["", "now", "25:00-26:00", "xyz 08:00-09:00", "8-9", "mon-fri"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no window"):
        Window.parse(text)


def test_the_next_opening_is_found() -> None:
    windows = [Window.parse("mon-fri 19:00-07:00")]
    moment = datetime(2026, 11, 21, 9, 30)
    assert next_opening(windows, moment) == datetime(2026, 11, 23, 19, 0)


def test_a_closed_window_says_when_it_opens(clock: HandClock) -> None:
    settings = replace(BASE, windows=("mon-sun 00:00-00:00",))
    gate = Gate(lambda: settings, clock, lambda: 0, is_local=False)
    gate.check(1)
    local = SATURDAY.astimezone()
    minutes = f"{local + timedelta(minutes=1):%H:%M}-{local + timedelta(minutes=2):%H:%M}"
    settings = replace(BASE, windows=(minutes,))
    clock.sleep_s(2)
    with pytest.raises(NotNowError, match="allowed again") as refusal:
        gate.check(1)
    assert refusal.value.until - local < timedelta(minutes=1, seconds=1)


def test_a_used_up_budget_says_when_it_goes_on(clock: HandClock) -> None:
    settings = replace(BASE, budget_bytes_per_day=1000)
    gate = Gate(lambda: settings, clock, lambda: 900, is_local=False)
    gate.check(100)
    with pytest.raises(NotNowError) as refusal:
        gate.check(101)
    assert refusal.value.until == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_rate_is_kept_and_a_new_one_counts_at_once(clock: HandClock) -> None:
    settings = replace(BASE, limit_bytes_per_s=1_000_000)
    gate = Gate(lambda: settings, clock, lambda: 0, is_local=False)
    assert 9 <= send(gate, clock, 10_000_000) <= 11
    settings = replace(BASE, limit_bytes_per_s=10_000_000)
    clock.sleep_s(1)
    assert send(gate, clock, 10_000_000) <= 1.5
    settings = replace(BASE, limit_bytes_per_s=0)
    clock.sleep_s(1)
    assert send(gate, clock, 100_000_000) == 0


def test_a_share_of_the_line_is_left_to_others(clock: HandClock) -> None:
    settings = replace(BASE, share_percent=50)
    gate = Gate(lambda: settings, clock, lambda: 0, is_local=False)

    async def run() -> int:
        sent = 0
        for _ in range(3000):  # a line of 10 MB/s: each piece takes 10 ms
            await gate.spend(100_000)
            clock.sleep_s(0.01)
            sent += 100_000
        return sent

    began_s = clock.monotonic_s()
    sent = asyncio.run(run())
    rate = sent / (clock.monotonic_s() - began_s)
    assert 4_500_000 < rate < 7_500_000


def test_a_directory_needs_no_share(clock: HandClock) -> None:
    gate = Gate(lambda: replace(BASE, share_percent=50), clock, lambda: 0, is_local=True)
    assert send(gate, clock, 1_000_000_000, 10_000_000) == 0
