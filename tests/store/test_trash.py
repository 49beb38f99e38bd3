"""The trash and holds, by a clock of the test's own; and a stop at every durable step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.errors import BusyError, NotFoundError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.store.collect import Collection
from appliance.store.points import Points
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.store.stores import KEYS, TIME, make_store, manifest_of

DAY = timedelta(days=1)
WEEK = 7 * DAY
NAME = PointName("m", TIME)


class Lab:
    """A store with one point, and a clock."""

    def __init__(self, state: Path) -> None:
        make_store(state)
        self.state = state
        self.clock = HandClock()
        self.points.commit(manifest_of("m"), lambda _: False)
        self.label = self.points.file_of(NAME).label

    @property
    def store(self) -> Store:
        """Opened anew, as another process would."""
        return Store(self.state, KEYS, self.clock)

    @property
    def points(self) -> Points:
        return self.store.points

    def note(self) -> Path:
        return self.state / "store" / "trash" / f"{self.label}.note"

    def collect(self) -> None:
        Collection(self.store, self.clock, Progress()).run()

    def is_in_trash(self) -> bool:
        return self.note().with_suffix(".point").exists()


@pytest.fixture
def lab(state: Path) -> Lab:
    return Lab(state)


# ---- windows ------------------------------------------------------------------------------------


def test_a_point_can_be_brought_back_until_its_window_ends(lab: Lab) -> None:
    before = lab.points.open(NAME)
    lab.points.forget(NAME, WEEK)
    lab.clock.go_by(WEEK - timedelta(seconds=1))
    lab.collect()
    lab.points.unforget(NAME)
    assert lab.points.open(NAME) == before
    assert not lab.note().exists()
    lab.points.forget(NAME, WEEK)
    lab.clock.go_by(WEEK)
    with pytest.raises(NotFoundError, match="for good at 2026-12-05T09:29:59Z"):
        lab.points.unforget(NAME)
    assert lab.is_in_trash()
    lab.collect()
    assert not lab.is_in_trash()
    assert not lab.note().exists()
    with pytest.raises(NotFoundError, match="points --trash"):
        lab.points.unforget(NAME)


def test_a_name_in_the_trash_is_taken(lab: Lab) -> None:
    lab.points.forget(NAME, WEEK)
    again = lab.points.commit(manifest_of("m"), lambda _: False)
    assert again.time == TIME + timedelta(seconds=1)
    lab.points.unforget(NAME)
    assert len(list(lab.points.files())) == 2


@pytest.mark.parametrize("jump", [30 * DAY, 3650 * DAY, -3650 * DAY])
def test_a_clock_that_jumps_empties_no_trash(lab: Lab, jump: timedelta) -> None:
    lab.points.forget(NAME, WEEK)
    lab.clock.jump(jump)
    for _ in range(3):
        lab.collect()
        lab.clock.go_by(DAY / 2)
    assert lab.is_in_trash()
    assert any("trust-clock" in trouble for trouble in lab.points.trash.troubles())
    lab.points.unforget(NAME)
    assert lab.points.exists(NAME)


def test_somebody_who_trusts_the_clock_lets_the_trash_go(lab: Lab) -> None:
    lab.points.forget(NAME, WEEK)
    lab.clock.jump(30 * DAY)
    lab.points.timekeeper.trust()
    lab.collect()
    assert not lab.is_in_trash()


def test_what_is_forgotten_while_the_clock_is_behind_keeps_its_window(lab: Lab) -> None:
    lab.clock.jump(-3650 * DAY)
    lab.points.forget(NAME, WEEK)
    lab.clock.jump(3650 * DAY)
    lab.clock.go_by(WEEK - DAY)
    lab.collect()
    assert lab.is_in_trash()
    lab.clock.go_by(DAY)
    lab.collect()
    assert not lab.is_in_trash()


def test_the_trash_is_its_own_witness_where_the_mark_was_deleted(lab: Lab) -> None:
    lab.points.forget(NAME, WEEK)
    (lab.state / "store" / "clock.mark").unlink()
    lab.clock.jump(30 * DAY)
    lab.collect()
    assert lab.is_in_trash()
    lab.collect()
    assert lab.is_in_trash()


def test_consent_needs_no_clock(lab: Lab) -> None:
    lab.points.forget(NAME)
    lab.clock.jump(-3650 * DAY)
    lab.collect()
    assert not lab.is_in_trash()


@pytest.mark.parametrize("damage", ["missing", "cut", "moved", "garbage"])
def test_a_point_whose_note_says_nothing_stays(lab: Lab, damage: str) -> None:
    lab.points.forget(NAME)
    if damage == "missing":
        lab.note().unlink()
    elif damage == "cut":
        lab.note().write_bytes(lab.note().read_bytes()[:-1])
    elif damage == "garbage":
        lab.note().write_bytes(os.urandom(100_000))
    else:  # the consent for another point does not count here
        other = PointName("m", TIME + DAY)
        lab.points.commit(manifest_of("m", time=other.time), lambda _: False)
        lab.points.forget(other)
        shutil.copy(lab.note().with_name(f"{lab.points.file_of(other).label}.note"), lab.note())
    lab.clock.go_by(300 * DAY)
    lab.collect()
    assert lab.is_in_trash()
    assert any("holdfast unforget" in trouble for trouble in lab.points.trash.troubles())
    lab.points.unforget(NAME)
    lab.points.forget(NAME)
    lab.collect()
    assert not lab.is_in_trash()


def test_foreign_files_in_the_trash_are_left_alone(lab: Lab) -> None:
    foreign = lab.note().with_name("foreign.point")
    foreign.write_bytes(b"")
    lab.note().write_bytes(b"a note without a point")
    lab.collect()
    assert foreign.exists()
    assert not lab.note().exists()


# ---- holds --------------------------------------------------------------------------------------


def test_a_held_point_is_not_forgotten_until_it_is_released(lab: Lab) -> None:
    lab.points.hold(NAME, "why", None)
    lab.clock.go_by(3650 * DAY)
    with pytest.raises(BusyError, match=r"held \(why\): 'holdfast release m@"):
        lab.points.forget(NAME)
    lab.points.release(NAME)
    lab.points.forget(NAME)
    with pytest.raises(NotFoundError):
        lab.points.hold(NAME, "too late", None)
    with pytest.raises(NotFoundError):
        lab.points.release(NAME)


def test_a_hold_ends_by_a_clock_that_is_believed_only(lab: Lab) -> None:
    lab.points.hold(NAME, "", TIME + 30 * DAY)
    lab.clock.jump(31 * DAY)
    with pytest.raises(BusyError, match="held until 2026-12-21T09:30:00Z"):
        lab.points.forget(NAME)
    lab.clock.jump(-31 * DAY)
    lab.clock.go_by(30 * DAY)
    lab.points.forget(NAME)


@pytest.mark.parametrize("how", ["cut", "moved"])
def test_a_damaged_hold_holds_and_can_be_released(lab: Lab, how: str) -> None:
    lab.points.hold(NAME, "", TIME + DAY)
    path = lab.state / "store" / "holds" / f"{lab.label}.hold"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:40])
    else:
        other = PointName("m", TIME + DAY)
        lab.points.commit(manifest_of("m", time=other.time), lambda _: False)
        path.rename(path.with_name(f"{lab.points.file_of(other).label}.hold"))
        lab.clock.go_by(2 * DAY)
        with pytest.raises(BusyError, match="is damaged"):
            lab.points.forget(other)
        lab.points.release(other)
        lab.points.forget(other)
        return
    lab.clock.go_by(2 * DAY)
    with pytest.raises(BusyError, match=r"\.hold is damaged.*'holdfast release m@"):
        lab.points.forget(NAME)
    lab.points.release(NAME)
    lab.points.forget(NAME)


def test_a_point_is_forgotten_only_beside_another_that_is_there(lab: Lab) -> None:
    other = PointName("m", TIME + DAY)
    with pytest.raises(BusyError, match="was forgotten meanwhile"):
        lab.points.forget(NAME, WEEK, other)
    lab.points.commit(manifest_of("m", time=other.time), lambda _: False)
    lab.points.forget(NAME, WEEK, other)


# ---- a stop at every durable step ---------------------------------------------------------------


class Stop(BaseException):
    """The process is killed here."""


def stop_at(step: int, patch: pytest.MonkeyPatch) -> None:
    """Die before the durable system call number `step`."""
    calls = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Stop
            return function(*arguments, **options)

        return call

    for owner, name in [(os, "fsync"), (os, "write"), (Path, "rename"), (Path, "unlink")]:
        patch.setattr(owner, name, counted(getattr(owner, name)))


def forget(lab: Lab) -> None:
    lab.points.forget(NAME, WEEK)


def unforget(lab: Lab) -> None:
    lab.points.unforget(NAME)


def hold(lab: Lab) -> None:
    lab.points.hold(NAME, "new", None)


def release(lab: Lab) -> None:
    lab.points.release(NAME)


def nothing(_: Lab) -> None:
    """No preparation."""


@pytest.mark.parametrize(
    ("prepare", "operate", "is_done"),
    [
        (nothing, forget, Lab.is_in_trash),
        (forget, unforget, lambda lab: lab.points.exists(NAME)),
        (nothing, hold, lambda lab: lab.points.holds.shield(lab.label) == "held (new)"),
        (hold, release, lambda lab: lab.points.holds.shield(lab.label) is None),
    ],
)
def test_a_stop_anywhere_leaves_one_state_or_the_other(
    state: Path,
    prepare: Callable[[Lab], None],
    operate: Callable[[Lab], None],
    is_done: Callable[[Lab], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0
    for step in range(1, 40):
        lab = Lab(state.with_name(f"state{step}"))
        manifest = lab.points.open(NAME)
        prepare(lab)
        with monkeypatch.context() as patch:
            stop_at(step, patch)
            try:
                operate(lab)
            except Stop:
                steps += 1
        assert lab.points.exists(NAME) != lab.is_in_trash()
        if operate in (hold, release):
            shield = lab.points.holds.shield(lab.label)
            assert shield in ("held (new)", None)
        if not is_done(lab):
            operate(lab)
        assert is_done(lab)
        if lab.is_in_trash():
            lab.collect()
            lab.points.unforget(NAME)
        assert lab.points.open(NAME) == manifest
        if steps < step:
            break
    assert 2 <= steps < 39, "the stops were not where the steps are"
