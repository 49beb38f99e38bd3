"""The rate of the line is remembered by the minute, and a page asks for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.catalog import measurements
from appliance.catalog.catalog import Catalog
from appliance.catalog.measurements import Measurements
from appliance.formats.vault_settings import VaultSettings
from appliance.vault.gate import Gate
from appliance.vault.line_history import LineHistory, recall_line
from tests.clocks import HandClock

BEGIN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SETTINGS = VaultSettings("v", "file:///v", bytes(16), share_percent=100)


def send(state: Path, clock: HandClock, minutes: int, bytes_per_s: int) -> None:
    """Send for so long, through the gate, a piece each second."""
    with Catalog(state / "catalog.db") as catalog:
        line = LineHistory(Measurements(catalog), "v", clock)
        gate = Gate(lambda: SETTINGS, clock, lambda: 0, is_local=False, tell=line.note_sent)

        async def run() -> None:
            for _ in range(minutes * 60):
                await gate.spend(bytes_per_s)
                clock.sleep_s(1)

        asyncio.run(run())
        line.close()


def test_what_went_out_is_known_by_the_minute_with_the_pause_between(tmp_path: Path) -> None:
    clock = HandClock(BEGIN)
    send(tmp_path, clock, 3, 1_000_000)
    clock.sleep_s(7200)
    send(tmp_path, clock, 2, 500_000)
    values = recall_line(tmp_path, "v", BEGIN)
    seen = [((time - BEGIN).total_seconds(), rate) for time, rate in values]
    assert seen == [(0, 1_000_000.0), (180, 0.0), (7380, 500_000.0), (7500, 0.0)]
    late = recall_line(tmp_path, "v", BEGIN + timedelta(seconds=7400))
    assert [(time - BEGIN).total_seconds() for time, _ in late] == [7400, 7500]
    assert [rate for _, rate in late] == [500_000.0, 0.0]
    assert not recall_line(tmp_path, "other", BEGIN)


def test_a_line_that_is_never_idle_takes_no_room_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "ROWS_MAX", 20)
    clock = HandClock(BEGIN)
    with Catalog(tmp_path / "catalog.db") as catalog:
        line = LineHistory(Measurements(catalog), "v", clock)
        for number in range(60):
            line.note_sent(1000 + 60 * number)
            clock.sleep_s(60)
        line.close()
    assert len(recall_line(tmp_path, "v", BEGIN)) <= 21
