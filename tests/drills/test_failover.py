"""Failovers: shown first, approved, resumed where they stopped, and undone in reverse."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from appliance.base.errors import (
    BusyError,
    Cancelled,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.base.progress import Progress
from appliance.drills.failover import Failovers, plan_of
from appliance.drills.journal import Journal
from appliance.drills.plan import parse_plan, plan_of_machine
from appliance.formats.failover import FailoverNote, Step, decode_failover, encode_failover
from appliance.formats.names import PointName
from tests.clocks import HandClock
from tests.store.stores import make_store

PLAN = parse_plan(
    b"""
name = "office"
[[machines]]
name = "web1"
order = 2
[[machines]]
name = "db"
checks = [{kind = "login"}]
[failover]
bridge = "br0"
[[failover.dns]]
server = "192.0.2.53"
zone = "example.org"
name = "www.example.org"
address = "192.0.2.11"
key_name = "k"
key_file = "/key"
"""
)
POINTS = {name: PointName.parse(f"{name}@2026-11-21T09:30:00Z") for name in ("web1", "db")}
THERE = ["start 1", "check 1", "start 0", "name 0"]
BACK = ["name back 0", "stop 0", "stop 1"]


@dataclass
class Hands:
    """Does steps by writing them down; fails at those in `broken`."""

    done: list[str] = field(default_factory=list)
    broken: dict[str, BaseException] = field(default_factory=dict)

    def prepare(self, step: Step) -> Step:
        if step.kind != "name" or step.before is not None:
            return step
        return msgspec.structs.replace(step, before=("198.51.100.7",), before_ttl_s=300)

    def do(self, step: Step, progress: Progress) -> str:
        word = f"{step.kind} {step.item}"
        if word in self.broken:
            raise self.broken[word]
        self.done.append(word)
        return "well"

    def make(self, note: FailoverNote, journal: Journal) -> Hands:
        return self


@pytest.fixture
def failovers(tmp_path: Path) -> Failovers:
    records = make_store(tmp_path / "state").points.records
    return Failovers(records, tmp_path / "failovers", HandClock())


def approve(failovers: Failovers, failover: str, hands: Hands) -> FailoverNote:
    return failovers.approve(failover, "Ada", hands.make, Progress())


def test_nothing_happens_before_somebody_approves(failovers: Failovers) -> None:
    note = failovers.prepare(PLAN, POINTS)
    assert note.state == "waits for approval"
    assert [f"{step.kind} {step.item}" for step in note.steps] == THERE
    assert [step.title for step in note.steps] == [
        "boot db on the network of br0",
        "check db (1 check)",
        "boot web1 on the network of br0",
        "point www.example.org to 192.0.2.11",
    ]
    assert failovers.log(note.id) == ""
    assert list(failovers.list()) == [failovers.read(note.id)] == [note]
    assert plan_of(note) == PLAN


def test_there_and_back_again(failovers: Failovers) -> None:
    hands = Hands()
    note = approve(failovers, failovers.prepare(PLAN, POINTS).id, hands)
    assert hands.done == THERE
    assert note.state == "done"
    assert all(step.is_done for step in note.steps)
    with pytest.raises(UsageError, match="reverse"):
        approve(failovers, note.id, hands)
    back = failovers.prepare_reverse(note.id)
    assert [f"{step.kind} {step.item}" for step in back.steps] == BACK
    assert back.steps[0].title == "point www.example.org back to 198.51.100.7"
    assert hands.done == THERE  # still nothing but what was approved
    back = approve(failovers, note.id, hands)
    assert hands.done == THERE + BACK
    assert [line.split(" ", 1)[1] for line in back.approvals] == [
        "Ada approves the failover",
        "Ada approves the way back",
    ]
    log = failovers.log(note.id)
    assert "done: boot db on the network of br0: well" in log
    with pytest.raises(UsageError, match="on its way back"):
        failovers.prepare_reverse(note.id)


@pytest.mark.parametrize("place", range(len(THERE)))
def test_a_stopped_failover_goes_on_where_it_was(failovers: Failovers, place: int) -> None:
    note = failovers.prepare(PLAN, POINTS)
    hands = Hands(broken={THERE[place]: HoldfastError("no power")})
    with pytest.raises(HoldfastError, match="no power"):
        approve(failovers, note.id, hands)
    stopped = failovers.read(note.id)
    assert (stopped.state, stopped.error) == ("stopped", "no power")
    assert "stopped at" in failovers.log(note.id)
    hands.broken.clear()
    assert approve(failovers, note.id, hands).state == "done"
    assert hands.done == THERE


def test_a_killed_failover_has_noted_what_the_name_said_before(failovers: Failovers) -> None:
    note = failovers.prepare(PLAN, POINTS)
    with pytest.raises(SystemError):
        approve(failovers, note.id, Hands(broken={"name 0": SystemError("as if killed")}))
    killed = failovers.read(note.id)
    assert killed.state == "running"
    assert killed.steps[3].before == ("198.51.100.7",)
    hands = Hands()
    assert approve(failovers, note.id, hands).state == "done"
    assert hands.done == ["name 0"]


def test_the_way_back_undoes_only_what_was_begun(failovers: Failovers) -> None:
    note = failovers.prepare(PLAN, POINTS)
    with pytest.raises(Cancelled):
        approve(failovers, note.id, Hands(broken={"check 1": Cancelled()}))
    assert failovers.read(note.id).error == "cancelled"
    back = failovers.prepare_reverse(note.id)
    assert [f"{step.kind} {step.item}" for step in back.steps] == ["stop 0", "stop 1"]


def test_only_one_carries_a_failover_out(failovers: Failovers) -> None:
    note = failovers.prepare(PLAN, POINTS)

    class Second(Hands):
        def do(self, step: Step, progress: Progress) -> str:
            with pytest.raises(BusyError, match="another command"):
                approve(failovers, note.id, Hands())
            with pytest.raises(BusyError, match="another command"):
                failovers.prepare_reverse(note.id)
            return super().do(step, progress)

    assert approve(failovers, note.id, Second()).state == "done"


def test_what_is_no_failover_is_refused(failovers: Failovers) -> None:
    with pytest.raises(UsageError, match=r"\[failover\]"):
        failovers.prepare(plan_of_machine("web1"), POINTS)
    with pytest.raises(UsageError):
        failovers.read("../../etc")
    with pytest.raises(NotFoundError):
        failovers.read("20261121T093000Z")
    note = failovers.prepare(PLAN, POINTS)
    place = f"failovers/{note.id}.failover"
    sealed = failovers.records.path(place).read_bytes()
    for data in (b"", b"[]", b"{" * 99_999, encode_failover(note)[:-9], b'{"format": 2}'):
        failovers.records.write(place, data)
        with pytest.raises(IntegrityError):
            failovers.read(note.id)
        assert not list(failovers.list())
    for data in (b"", sealed[:-1], sealed[:-1] + bytes((sealed[-1] ^ 1,))):
        failovers.records.path(place).write_bytes(data)
        with pytest.raises(IntegrityError):
            failovers.read(note.id)
        assert not list(failovers.list())


def test_a_note_tells_a_thief_nothing(failovers: Failovers) -> None:
    """It names machines, addresses and files of secrets."""
    note = failovers.prepare(PLAN, POINTS)
    sealed = failovers.records.path(f"failovers/{note.id}.failover").read_bytes()
    assert b"web1" not in sealed
    assert b"192.0.2" not in sealed


def test_a_note_is_read_back() -> None:
    note = FailoverNote(
        format=1,
        id="20261121T093000Z",
        plan={"name": "p", "machines": [{"name": "web1"}]},
        points={"web1": "web1@2026-11-21T09:30:00Z"},
        is_way_back=False,
        state="stopped",
        steps=(Step("name", 0, "title", False, "detail", ("192.0.2.1",), 60),),
        approvals=("x",),
        error="e\u202e",
    )
    assert decode_failover(encode_failover(note)) == note
