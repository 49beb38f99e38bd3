"""What an interrupted backup has sealed is kept for the next one: until its point, or 14 days."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.base.errors import IntegrityError
from appliance.base.progress import Progress
from appliance.store.collect import Collected, Collection
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.store.stores import KEYS, add_container, chunks_of, load_index, make_store, manifest_of

DAY = timedelta(days=1)


class Lab:
    """A store in which a backup has sealed a container, and made no point."""

    def __init__(self, state: Path) -> None:
        make_store(state)
        self.state = state
        # Containers carry the file system's time, so the story begins now.
        self.clock = HandClock(SystemClock().now().replace(microsecond=0))
        self.begin_and_die(1)

    @property
    def store(self) -> Store:
        return Store(self.state, KEYS, self.clock)

    def begin_and_die(self, seed: int, machine: str = "m") -> None:
        self.store.points.begin(machine)
        layout = self.store.layout
        add_container(layout, load_index(layout), chunks_of(seed, 3))

    def collect(self) -> Collected:
        return Collection(self.store, self.clock, Progress()).run()

    def finish(self, machine: str = "m") -> None:
        manifest = manifest_of(machine, time=self.clock.now())
        self.store.points.commit(manifest, lambda _: False)

    def notes(self) -> list[Path]:
        return list((self.state / "store" / "backups").iterdir())


@pytest.fixture
def lab(state: Path) -> Lab:
    return Lab(state)


def test_it_is_kept_until_the_machines_next_point(lab: Lab) -> None:
    assert lab.collect().freed_containers == 0
    lab.finish("another")
    assert lab.collect().freed_containers == 0
    lab.finish()
    assert lab.notes() == []
    assert lab.collect().freed_containers == 1


def test_it_is_kept_for_fourteen_days(lab: Lab) -> None:
    lab.clock.go_by(14 * DAY - timedelta(seconds=1))
    assert lab.collect().freed_containers == 0
    lab.clock.go_by(timedelta(seconds=1))
    assert lab.collect().freed_containers == 1


def test_a_clock_that_jumps_ends_nothing(lab: Lab) -> None:
    lab.clock.jump(30 * DAY)
    assert lab.collect().freed_containers == 0


def test_another_attempt_renews_what_the_first_one_left(lab: Lab) -> None:
    lab.clock.go_by(13 * DAY)
    lab.begin_and_die(2)
    lab.clock.go_by(13 * DAY)
    assert lab.collect().freed_containers == 0
    lab.clock.go_by(DAY)
    assert lab.collect().freed_containers == 2


def test_what_was_garbage_before_is_not_spared(lab: Lab) -> None:
    lab.finish()
    lab.clock.go_by(DAY)
    lab.store.points.begin("m")
    assert lab.collect().freed_containers == 1


def test_a_damaged_note_stops_collection_until_the_next_backup(lab: Lab) -> None:
    (note,) = lab.notes()
    note.write_bytes(note.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"back that machine up once more, or delete .*note"):
        lab.collect()
    lab.begin_and_die(2)
    lab.finish()
    assert lab.collect().freed_containers == 2
