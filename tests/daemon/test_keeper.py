"""The box by itself: it backs up when a slot has come, tells, and stops for an empty UPS."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.base.clock import SystemClock, local_zone
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.catalog.schedule_log import ScheduleLog
from appliance.daemon import keeper as keeper_module
from appliance.daemon.keeper import Keeper
from appliance.formats.finding import Finding
from appliance.formats.notice_channel import WebhookChannel
from appliance.formats.protection import Times
from appliance.health.power import Power, Ups
from appliance.keys.keyring import load_master_key
from appliance.notices.channels import Channels
from appliance.policies.book import Book
from appliance.store.store import Store
from tests.command import Holdfast
from tests.daemon.conftest import poll
from tests.notices.servers import HookServer
from tests.store.stores import make_store


def test_a_slot_that_was_missed_makes_one_backup_without_anybody_asking(
    holdfast: Holdfast, tmp_path: Path
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    source = tmp_path / "disk.raw"
    source.write_bytes(b"x" * 300_000)
    holdfast("machines", "add", "web1", source, "--preset", "archive", expect=0)
    holdfast("machines", "add", "web2", source, "--preset", "archive", expect=0)
    holdfast("machines", "pause", "web2", expect=0)
    backdate(holdfast.state, "web1")
    box = holdfast.start("serve", "--listen", "127.0.0.1", "--port", "0")

    def has_point() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = holdfast("points", "--json", expect=0).json()["points"]
        return found

    (point,) = poll(has_point, "a backup by the schedule")
    assert point["machine"] == "web1"
    jobs = holdfast("jobs", "list", "--verb", "backup", "--json", expect=0).json()
    assert [job["asked_by"] for job in jobs["items"]] == ["schedule"]
    box.terminate()
    assert box.wait(60) == 0


def backdate(state: Path, name: str) -> None:
    """Let the machine have been added, and promised a backup each day, long ago."""
    book = Book(Store(state, load_master_key(state, None)).points)
    record = book.find(name)
    assert record is not None
    book.put(msgspec.structs.replace(record, since="2026-01-01T00:00:00Z"))
    # No other slot comes while this runs.
    far = f"{SystemClock().now().astimezone(local_zone()) + timedelta(hours=12):%H}:00"
    nightly = msgspec.structs.replace(book.of(name), schedule=(Times(at=(far,)),), jitter_s=0)
    book.set(nightly, datetime(2026, 1, 1, tzinfo=UTC))


class Waits:
    """A schedule for which nothing is ever due."""

    async def keep(self) -> None:
        await asyncio.Event().wait()


def test_what_is_critical_is_told_without_waiting_for_the_next_turn(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_TELL_EVERY_S", 3600.0)
    store = make_store(state)
    (state / "run").mkdir()  # as the daemon does
    box = Keeper(state, None, SystemClock(), lambda _: None)  # type: ignore[arg-type]
    box._opened = keeper_module._Opened(store, Waits(), ScheduleLog(state))  # type: ignore[arg-type]
    found = Finding("array md0", "array.degraded", "critical", "one is gone", (), "", "")
    with HookServer(None) as hook:
        url = f"http://127.0.0.1:{hook.port}/"
        Channels(store.points.records).put(
            WebhookChannel(name="hook", url=url, secret="0123456789abcdef", allow_private=True)
        )

        async def live() -> None:
            await box.start()
            with Catalog(state / "catalog.db") as catalog:
                FindingLog(catalog).observe([found], SystemClock().now())
            box.tell_at_once()
            async with asyncio.timeout(60):
                while not hook.hits:
                    await asyncio.sleep(0.01)
            await box.stop()

        asyncio.run(live())
    assert [one["rule"] for one in hook.hits[0].json()["came"]] == ["array.degraded"]


@pytest.mark.parametrize(("lows", "stops"), [([True] * 5, 1), ([True, True, False] * 3, 0)])
def test_an_empty_ups_stops_the_box_once_and_a_moment_of_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lows: list[bool], stops: int
) -> None:
    asked = iter(lows)
    looked: list[bool] = []
    stopped: list[bool] = []

    def look(_: object) -> Power:
        looked.append(next(asked, False))
        return Power([Ups("rack", "kernel", True, looked[-1], 5)])

    monkeypatch.setattr(keeper_module, "_POWER_EVERY_S", 0.01)
    monkeypatch.setattr(keeper_module, "look_at_power", look)

    async def live() -> None:
        box = Keeper(
            tmp_path,
            None,  # type: ignore[arg-type]
            SystemClock(),
            lambda _: None,
            power_off=lambda: stopped.append(True),
        )
        await box.start()
        async with asyncio.timeout(60):
            while len(looked) < len(lows) + 1:
                await asyncio.sleep(0.01)
        await box.stop()

    asyncio.run(live())
    assert len(stopped) == stops
