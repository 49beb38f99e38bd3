"""Prune on a store: what it forgets, what stops it, and what it never takes."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.catalog.catalog import Catalog
from appliance.formats.names import PointName
from appliance.formats.policy import Policy
from appliance.retention.prune import Plan, Pruned, carry_out, plan_prune, refuse_in_doubt
from appliance.store.points import Points
from appliance.store.store import Store
from tests.clocks import HandClock
from tests.store.stores import KEYS, make_store, manifest_of

DAY = timedelta(days=1)


class Lab:
    """A store with a point a day, and the default policy to keep the last two."""

    def __init__(self, state: Path) -> None:
        make_store(state)
        self.state = state
        self.clock = HandClock()
        self.store = Store(state, KEYS, self.clock)
        self.needed: set[PointName] = set()
        self.names = [self.add() for _ in range(5)]
        self.store.points.policies.set(None, Policy(keep_last=2))

    def add(self, machine: str = "m", *, is_complete: bool = True) -> PointName:
        self.clock.go_by(DAY)
        time: datetime = self.clock.now()
        gaps = () if is_complete else ((0, 512),)
        made = self.store.points.commit(manifest_of(machine, time=time, gaps=gaps), lambda _: False)
        return made.name

    def plan(self, machine: str | None = None, override: Policy | None = None) -> Plan:
        with Catalog(self.state / "catalog.db") as catalog:
            return plan_prune(self.store, catalog, self.shield, machine, override)

    def shield(self, name: PointName) -> str | None:
        return "a VM needs it" if name in self.needed else None

    def prune(self) -> Pruned:
        return carry_out(self.store, self.plan(), Progress())

    def left(self) -> list[PointName]:
        points = self.store.points
        return sorted(points.read(file).name for file in points.files())

    def path(self, name: PointName) -> Path:
        return self.store.layout.points / self.store.points.file_of(name).key


@pytest.fixture
def lab(state: Path) -> Lab:
    return Lab(state)


def test_what_no_rule_keeps_goes_to_the_trash_for_the_days_of_the_policy(lab: Lab) -> None:
    lab.store.points.policies.set("m", Policy(keep_last=2, trash_days=30))
    assert lab.prune().forgotten == tuple(lab.names[:3])
    assert lab.left() == lab.names[3:]
    for entry in lab.store.points.trash.entries():
        assert entry.note is not None
        assert entry.note.ends == lab.clock.now() + 30 * DAY
    assert lab.prune().forgotten == ()


def test_a_plan_changes_nothing(lab: Lab) -> None:
    plan = lab.plan(override=Policy(keep_last=1))
    assert [verdict.goes for verdict in plan.machines[0].verdicts] == [True] * 4 + [False]
    assert lab.left() == lab.names


def test_one_machine_is_judged_alone_and_each_keeps_its_last(lab: Lab) -> None:
    others = [lab.add("other") for _ in range(3)]
    assert [machine.machine for machine in lab.plan("other").machines] == ["other"]
    lab.store.points.policies.set(None, Policy(keep_last=1))
    lab.prune()
    assert lab.left() == [lab.names[-1], others[-1]]


def test_what_is_held_or_needed_stays_with_its_reason(lab: Lab) -> None:
    lab.store.points.hold(lab.names[0], "audit", None)
    lab.needed = {lab.names[1]}
    verdicts = lab.plan().machines[0].verdicts
    assert verdicts[0].reasons == ("held (audit)",)
    assert verdicts[1].reasons == ("a VM needs it",)
    assert lab.prune().forgotten == (lab.names[2],)


def test_a_hold_that_comes_after_the_plan_wins(lab: Lab) -> None:
    plan = lab.plan()
    lab.store.points.hold(lab.names[0], "", None)
    pruned = carry_out(lab.store, plan, Progress())
    assert pruned.forgotten == tuple(lab.names[1:3])
    assert "is held" in pruned.troubles[0]


def test_a_last_point_forgotten_after_the_plan_stops_the_machines_prune(lab: Lab) -> None:
    lab.store.points.policies.set(None, Policy(keep_last=1))
    plan = lab.plan()
    lab.store.points.forget(lab.names[-1])
    pruned = carry_out(lab.store, plan, Progress())
    assert pruned.forgotten == ()
    assert "was forgotten meanwhile" in pruned.troubles[0]
    assert lab.left() == lab.names[:-1]


def test_a_newest_point_that_rotted_behind_the_catalogs_back_is_not_the_last(lab: Lab) -> None:
    lab.store.points.policies.set(None, Policy(keep_last=1))
    lab.plan()  # the catalog knows all five
    path = lab.path(lab.names[-1])
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    verdicts = lab.plan().machines[0].verdicts
    assert [verdict.goes for verdict in verdicts] == [True, True, True, False, False]
    assert verdicts[3].reasons == ("newest complete point", "last")
    assert verdicts[4].reasons[0].startswith("damaged")


def test_points_that_verification_found_damaged_count_for_nothing(lab: Lab) -> None:
    with Catalog(lab.state / "catalog.db") as catalog:
        hurt = {str(lab.names[-1]): 512}
        catalog.set_damage({str(name) for name in lab.names}, hurt, "2026-11-21T09:30:00Z")
    lab.prune()
    assert lab.left() == lab.names[2:]


def test_incomplete_points_go_when_a_newer_one_is_complete(lab: Lab) -> None:
    incomplete = [lab.add(is_complete=False) for _ in range(2)]
    lab.prune()
    assert lab.left() == [*lab.names[3:], *incomplete]
    newest = lab.add()
    lab.prune()
    assert lab.left() == [lab.names[-1], newest]


def test_an_unreadable_file_is_named_and_stays(lab: Lab) -> None:
    lab.path(lab.names[0]).write_bytes(b"garbage")
    plan = lab.plan()
    assert "20261122T093000Z.point is damaged" in plan.troubles[0]
    carry_out(lab.store, plan, Progress())
    assert lab.path(lab.names[0]).exists()


def test_a_machine_with_a_damaged_policy_loses_nothing(lab: Lab) -> None:
    other = [lab.add("other") for _ in range(3)]
    lab.store.points.policies.set("m", Policy(keep_last=1))
    for path in (lab.state / "store" / "policies").iterdir():
        if path.name != "default.policy":
            path.write_bytes(b"garbage")
    plan = lab.plan()
    assert "m: policies/" in plan.troubles[0]
    assert "policy set --machine 'm'" in plan.troubles[0]
    assert carry_out(lab.store, plan, Progress()).forgotten == (other[0],)


def test_the_policy_of_another_machine_is_no_policy(lab: Lab) -> None:
    """Moved by hand it does not open; sealed for the wrong place it is refused by its name."""
    lab.store.points.policies.set("m", Policy(keep_last=1))
    (path,) = (lab.state / "store" / "policies").glob("[0-9a-f]" * 32 + ".policy")
    path.rename(path.with_name(f"{KEYS.machine_directory('other')}.policy"))
    lab.add("other")
    assert any("other: " in trouble for trouble in lab.plan().troubles)


@pytest.mark.parametrize("jump", [30 * DAY, -30 * DAY])
def test_prune_refuses_by_a_clock_that_jumped(lab: Lab, jump: timedelta) -> None:
    refuse_in_doubt(lab.store)
    lab.clock.jump(jump)
    with pytest.raises(HoldfastError, match=r"nothing was pruned: .*'holdfast prune --trust-clo"):
        refuse_in_doubt(lab.store)
    lab.store.points.timekeeper.trust()
    refuse_in_doubt(lab.store)


def test_a_prune_that_is_stopped_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    forget = Points.forget
    calls = 0

    def stop_at_third(*arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        forget(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Points, "forget", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            lab.prune()
    assert lab.left() == lab.names[2:]
    assert lab.prune().forgotten == (lab.names[2],)
