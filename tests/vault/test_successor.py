"""A box that takes a vault over goes on as the old one: the same machines by the same schedule."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.catalog.schedule_log import ScheduleLog
from appliance.jobs.schedule import Schedule
from appliance.jobs.vault_upkeep import find_change
from appliance.keys.keyring import load_master_key
from appliance.policies.book import Book
from appliance.store.layout import Layout
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.command import Holdfast
from tests.images import mixed_image, write_image
from tests.jobs.test_schedule import FakeQueue
from tests.vault.office import Office

SECRET = "a secret of 24 characters"
DAEMON = "heavy_jobs = 3\n"


class OldBox(Office):
    """A box with a machine that it backs up by itself, a channel, and settings of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.source = write_image(folder / "source.raw", mixed_image(seed, 2))
        self.box("machines", "add", "shop", self.source, expect=0)
        self.box("policy", "set", "--machine", "shop", "--at", "hourly", expect=0)
        secret = folder / "secret"
        secret.write_text(SECRET)
        hook = ("--url", "https://hook.example/x", "--secret-file", secret)
        self.box("notices", "add", "hook", *hook, expect=0)
        (self.box.state / "daemon.toml").write_text(DAEMON)
        self.box("backup", "--machine", "shop", expect=0)
        self.add_vault()
        self.box("vault", "limit", "--rate", "9", expect=0)
        self.sync()

    def vanish(self) -> None:
        shutil.rmtree(self.box.state)


@pytest.fixture
def office(tmp_path: Path, seed: int) -> Iterator[OldBox]:
    found = OldBox(tmp_path, seed)
    yield found
    found.close()


def machines(box: Holdfast) -> list[tuple[str, list[str]]]:
    found = box("machines", "list", "--json", expect=0).json()["machines"]
    return [(one["name"], one["sources"]) for one in found]


def channels(box: Holdfast) -> list[str]:
    return [one["name"] for one in box("notices", "list", "--json", expect=0).json()["channels"]]


def run_due(box: Holdfast, span: timedelta) -> list[dict[str, Any]]:
    """Let the schedule of a box look after `span`; the arguments of the backups that it begins."""
    store = Store(box.state, load_master_key(box.state, None))
    queue, log, clock = FakeQueue(), ScheduleLog(box.state), HandClock(datetime.now(UTC) + span)
    try:
        schedule = Schedule(Book(store.points), log, queue, clock)
        asyncio.run(schedule.look())
    finally:
        log.close()
    return [dict(job.arguments) for job in queue.jobs if job.verb == "backup"]


def test_an_empty_box_becomes_the_old_one_and_its_schedule_goes_on(office: OldBox) -> None:
    travelled = b"".join(path.read_bytes() for path in office.objects("settings"))
    for secret in (SECRET, "hook.example", "source.raw", "heavy_jobs"):
        assert secret.encode() not in travelled
    office.vanish()
    new = office.open("new", "--take-over")
    assert SECRET.encode() not in (new.state / "store/notices/hook.channel").read_bytes()
    assert machines(new) == [("shop", [str(office.source)])]
    assert channels(new) == ["hook"]
    assert (new.state / "daemon.toml").read_text() == DAEMON
    (vault,) = new("vault", "status", "--json", expect=0).json()["vaults"]
    assert (vault["owner"], vault["limit_bytes_per_s"]) == (True, 9 << 20)
    changed = bytes(mixed_image(office.seed + 1, 2))
    office.source.write_bytes(changed)
    (asked,) = run_due(new, timedelta(hours=1, minutes=1))
    assert asked == {"sources": [str(office.source)], "machine": "shop"}
    new("backup", *asked["sources"], "--machine", asked["machine"], expect=0)
    assert new("restore", "shop@latest", "-", expect=0).stdout == changed
    (name,) = new("vault", "sync", "--json", expect=0).json()["points"]
    assert name.startswith("shop@")


def test_a_box_that_only_looks_backs_up_nothing_until_it_takes_over(office: OldBox) -> None:
    new = office.open("new")
    assert machines(new) == [("shop", [])]
    assert channels(new) == []
    assert not (new.state / "daemon.toml").exists()
    assert run_due(new, timedelta(days=1)) == []
    new("vault", "remove", "vault", expect=0)
    new("vault", "add", office.url, "--take-over", expect=0)
    assert machines(new) == [("shop", [str(office.source)])]
    assert channels(new) == ["hook"]
    new("vault", "sync", expect=0)
    # What it keeps in the vault from now on has the machines again.
    newest = office.open("newest", "--take-over")
    assert machines(newest) == [("shop", [str(office.source)])]


def test_a_change_of_a_setting_is_sent_and_nothing_else(office: OldBox) -> None:
    layout = Layout(office.box.state)
    before = find_change(layout)
    office.box("machines", "add", "file1", office.source, expect=0)
    assert find_change(layout) > before, "the schedule sends it soon"
    assert office.sync()["points"] == []
    office.vanish()
    assert [name for name, _ in machines(office.open("new", "--take-over"))] == ["file1", "shop"]
