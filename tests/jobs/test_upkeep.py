"""Upkeep goes around the backups, spread, never two heavy things at once, never forgotten."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.catalog.schedule_log import Answer
from appliance.formats.vault_settings import VaultSettings
from appliance.health.inventory import Disk
from appliance.health.schedule import EVERY
from appliance.jobs.schedule import Scene, Task
from appliance.jobs.upkeep import PATIENCE, Chores, Hardware
from appliance.jobs.vault_upkeep import SETTLE, VaultSyncs, name_prune
from appliance.store.layout import Layout
from tests.store.stores import make_store

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def disk(name: str, transport: str = "sata") -> Disk:
    return Disk(
        name, f"/dev/{name}", "M", f"S-{name}", "1", "", 4 << 40, True, 7200, transport,
        "", "", (), (),
    )  # fmt: skip


HARDWARE = Hardware([disk("sda"), disk("sdb"), disk("vda", "virtio")])


def scene(
    answers: Mapping[str, Answer],
    states: Mapping[str, str] | None = None,
    backups: Sequence[datetime] = (),
    *,
    is_busy: bool = False,
) -> Scene:
    return Scene(answers, dict.fromkeys(answers, "") | dict(states or {}), backups, is_busy)


def learned(chores: Chores, now: datetime = NOW) -> dict[str, Answer]:
    return {answer.subject: answer for answer in chores.list_new(now, {})}


def overdue(chores: Chores, *subjects: str) -> dict[str, Answer]:
    """Everything was done just now, but for what is named."""
    answers = {name: replace(one, answered=NOW) for name, one in learned(chores).items()}
    for subject in subjects:
        kind = subject.split()[0]
        answers[subject] = Answer(subject, NOW - EVERY[kind] - HOUR)  # type: ignore[index]
    return answers


@pytest.fixture
def chores() -> Chores:
    return Chores(lambda: HARDWARE)


def test_over_two_months_everything_is_done_as_often_as_it_should_be(chores: Chores) -> None:
    answers = learned(chores)
    counts: dict[str, int] = {}
    now = NOW
    while now < NOW + 60 * DAY:
        tasks = list(chores.list_due(now, scene(answers, backups=[now + 6 * HOUR])))
        heavy = [task for task in tasks if task.verb in ("scrub", "collect", "recompress")]
        assert len(heavy) <= 1
        for task in tasks:
            counts[task.subject] = counts.get(task.subject, 0) + 1
            answers[task.subject] = Answer(task.subject, now, 1)
        now += timedelta(minutes=20)
    assert not any("vda" in subject for subject in counts)
    assert 55 <= counts["scrub the store"] <= 61
    assert 55 <= counts["prune the store"] <= 61
    for name in ("sda", "sdb"):
        assert 8 <= counts[f"short-test S-{name}"] <= 9
        assert 1 <= counts[f"long-test S-{name}"] <= 3


def test_nothing_begins_while_a_backup_waits_or_would_begin_before_it_is_done(
    chores: Chores,
) -> None:
    answers = overdue(chores, "collect the store", "prune the store")
    assert not list(chores.list_due(NOW, scene(answers, is_busy=True)))
    soon = list(chores.list_due(NOW, scene(answers, backups=[NOW + timedelta(minutes=10)])))
    assert [task.verb for task in soon] == ["prune"]
    later = list(chores.list_due(NOW, scene(answers, backups=[NOW + HOUR])))
    assert sorted(task.verb for task in later) == ["collect", "prune"]


def test_what_never_finds_a_gap_is_done_all_the_same_in_the_end(chores: Chores) -> None:
    answers = overdue(chores, "scrub the store")
    busy = [NOW + timedelta(minutes=10)]
    assert not list(chores.list_due(NOW, scene(answers, backups=busy)))
    late = NOW + PATIENCE
    answers["scrub the store"] = Answer("scrub the store", NOW - EVERY["scrub"] - HOUR)
    others = {name: replace(one, answered=late) for name, one in answers.items()}
    others["scrub the store"] = answers["scrub the store"]
    (task,) = chores.list_due(late, scene(others, backups=[late + timedelta(minutes=10)]))
    assert task.arguments == {"for_s": 600.0}  # over before the backup begins


def test_a_heavy_job_that_takes_longer_keeps_others_away(chores: Chores) -> None:
    answers = overdue(chores, "scrub the store")
    answers["collect the store"] = Answer("collect the store", NOW - 5 * HOUR, 1, "7")
    waiting = scene(answers, {"collect the store": "running"})
    assert not list(chores.list_due(NOW, waiting))
    ended = scene(answers, {"collect the store": "done"})
    assert [task.verb for task in chores.list_due(NOW, ended)] == ["scrub"]


def test_one_disk_is_tested_while_it_is_not_tested_already(chores: Chores) -> None:
    answers = overdue(chores, "short-test S-sda", "short-test S-sdb")
    answers["long-test S-sda"] = Answer("long-test S-sda", NOW - HOUR, 1, "7")
    (task,) = chores.list_due(NOW, scene(answers))
    assert (task.verb, task.arguments) == ("disks test", {"disk": "S-sdb"})


# ---- vaults ----


class Vaults:
    def __init__(self, **windows: tuple[str, ...]) -> None:
        self.found = {
            name: VaultSettings(name, "file:///v", bytes(16), windows=texts)
            for name, texts in windows.items()
        }

    def names(self):  # type: ignore[no-untyped-def]
        yield from self.found

    def get(self, name: str) -> VaultSettings:
        return self.found[name]


class Room:
    """Vaults beside a real points folder, whose time the test sets."""

    def __init__(self, state: Path, **windows: tuple[str, ...]) -> None:
        self.layout: Layout = make_store(state).layout
        (self.layout.points / "m").mkdir()
        self.is_at_stake = False
        self.syncs = VaultSyncs(
            Vaults(**windows), self.layout, lambda: UTC, lambda: self.is_at_stake
        )
        self.answers = {one.subject: one for one in self.syncs.list_new(NOW - 8 * DAY, {})}
        for name in windows:
            self.answers[name_prune(name)] = Answer(name_prune(name), NOW)
        self.states: dict[str, str] = {}
        made_s = (NOW - 9 * DAY).timestamp()
        for folder in self.layout.root.iterdir():
            os.utime(folder, (made_s, made_s))
        self.change(NOW - 9 * DAY)

    def change_settings(self, when: datetime) -> None:
        os.utime(self.layout.root / "policies", (when.timestamp(), when.timestamp()))

    def change(self, when: datetime) -> None:
        os.utime(self.layout.points / "m", (when.timestamp(), when.timestamp()))

    def due(self, now: datetime = NOW) -> list[Task]:
        return sorted(self.syncs.list_due(now, scene(self.answers, self.states)))

    def done(self, task: Task, now: datetime = NOW, state: str = "done") -> None:
        self.answers[task.subject] = Answer(task.subject, now, 1, "1")
        self.states[task.subject] = state


def test_a_new_vault_is_synced_at_once_and_then_when_something_changed(state: Path) -> None:
    room = Room(state, one=())
    (task,) = room.due()
    assert (task.verb, task.arguments) == ("vault sync", {"name": "one"})
    room.done(task)
    assert not room.due(NOW + 10 * HOUR)
    room.change(NOW + 10 * HOUR)
    (task,) = room.due(NOW + 10 * HOUR)
    room.done(task, NOW + 10 * HOUR)
    room.change(NOW + 10 * HOUR + SETTLE / 2)
    assert not room.due(NOW + 10 * HOUR + SETTLE * 0.9)
    (task,) = room.due(NOW + 10 * HOUR + SETTLE)
    room.done(task, NOW + 11 * HOUR)
    room.change_settings(NOW + 12 * HOUR)
    assert room.due(NOW + 12 * HOUR + SETTLE), "what a successor needs goes as well"


def test_a_vault_is_pruned_daily_when_all_is_there_and_no_backup_waits(state: Path) -> None:
    room = Room(state, one=())
    (task,) = room.due()
    room.done(task, NOW + 23 * HOUR)
    assert not room.due(NOW + 23 * HOUR)
    now = NOW + DAY
    assert not list(room.syncs.list_due(now, scene(room.answers, room.states, is_busy=True)))
    (task,) = room.due(now)
    assert (task.verb, task.arguments, task.priority) == ("vault prune", {"name": "one"}, 90)
    room.done(task, now, "running")
    assert not room.due(now)
    room.done(task, now)
    assert [task.verb for task in room.due(now + DAY)] == ["vault sync"], "the sync goes first"


def test_the_vault_that_waits_longest_goes_first(state: Path) -> None:
    room = Room(state, one=(), two=())
    room.answers["vault-sync one"] = Answer("vault-sync one", NOW - 2 * DAY)
    room.answers["vault-sync two"] = Answer("vault-sync two", NOW - 3 * DAY)
    assert [task.arguments["name"] for task in room.due()] == ["two", "one"]


def test_a_sync_that_left_something_comes_again_and_a_closed_window_waits(state: Path) -> None:
    room = Room(state, one=("22:00-06:00",))
    assert not room.due()
    night = NOW.replace(hour=22)
    (task,) = room.due(night)
    room.done(task, night, "gaps")
    assert not room.due(night + timedelta(minutes=14))
    assert room.due(night + timedelta(minutes=15))


def test_while_the_store_is_at_stake_newest_points_go_first_and_then_all(state: Path) -> None:
    room = Room(state, one=())
    (task,) = room.due()
    room.done(task)
    room.change(NOW + HOUR)
    room.is_at_stake = True
    now = NOW + HOUR + timedelta(seconds=1)
    (task,) = room.due(now)
    assert (task.priority, task.arguments) == (5, {"name": "one"})
    room.done(task, now, "running")
    assert not room.due(now)
    room.done(task, now)
    (task,) = room.due(now)
    assert (task.priority, task.arguments) == (5, {"name": "one", "all": True})
    room.done(task, now)
    assert not room.due(now + HOUR)
