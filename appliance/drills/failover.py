"""Real failovers: a plan's machines on the office's network, names moved to them, and the way back.

First the steps are written down and shown; nothing happens before somebody approves. Each step is
noted when it is done, and doing one twice is harmless, so an approved failover that was stopped,
by an error or by a power cut, goes on where it was when it is approved again. On the way back names
return first, then the VMs are shut down in reverse order; what they wrote is kept.

Owns the steps and their order. How a step is done is in `failover_steps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from appliance.base import durable
from appliance.base.clock import Clock
from appliance.base.errors import (
    Cancelled,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.base.locks import FileLock
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.drills.journal import Journal
from appliance.drills.places import make_folder
from appliance.drills.plan import Plan
from appliance.formats.failover import (
    NOTE_MAX_BYTES,
    FailoverNote,
    Step,
    decode_failover,
    encode_failover,
)
from appliance.formats.names import PointName, format_time
from appliance.store.records import Records

_PLACES = "failovers"
_SUFFIX = ".failover"
_LOG = "failover.log"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")


class Hands(Protocol):
    """What does the steps. Doing one twice is harmless."""

    def prepare(self, step: Step) -> Step:
        """The step with what undoes it, where that is not known yet. Changes nothing."""

    def do(self, step: Step, progress: Progress) -> str:
        """Do it; gives a few words. Raises what it fails with."""


@dataclass(frozen=True)
class Failovers:
    """The failovers of a store: their notes are sealed `records`, their logs lie in `folder`."""

    records: Records
    folder: Path
    clock: Clock

    def prepare(self, plan: Plan, points: dict[str, PointName]) -> FailoverNote:
        """Write the steps of a failover down; nothing else happens. Durable on return.

        Raises UsageError for a plan without a [failover] part.
        """
        if plan.failover is None:
            raise UsageError(f"plan '{plan.name}' has no [failover] part: it says bridge and names")
        place = make_folder(self.folder, self.clock)
        note = FailoverNote(
            format=1,
            id=place.name,
            plan=msgspec.json.decode(msgspec.json.encode(plan), type=dict[str, object]),
            points={machine: str(point) for machine, point in points.items()},
            is_way_back=False,
            state="waits for approval",
            steps=tuple(_steps_there(plan)),
        )
        self._write(note)
        return note

    def prepare_reverse(self, failover: str) -> FailoverNote:
        """Write the steps of the way back down: of what was done, in reverse. Durable on return.

        Raises BusyError while the failover runs, UsageError when the way back is prepared already.
        """
        with self._lock(failover):
            note = self.read(failover)
            if note.is_way_back:
                raise UsageError(f"failover {failover} is on its way back already")
            steps = tuple(_steps_back(note))
            note = msgspec.structs.replace(
                note, is_way_back=True, state="waits for approval", steps=steps, error=""
            )
            self._write(note)
        return note

    def approve(
        self, failover: str, who: str, make_hands: Callable[[FailoverNote, Journal], Hands],
        progress: Progress,
    ) -> FailoverNote:  # fmt: skip
        """Do all steps that are not done. Each is durable before the next begins.

        Raises what the step raised that did not succeed; the failover is stopped then, and
        approving it again goes on from there. Raises UsageError when nothing is left to do.
        """
        with self._lock(failover):
            note = self.read(failover)
            if note.state == "done":
                raise UsageError(f"failover {failover} is done: 'holdfast failover reverse' undoes")
            journal = Journal(self.folder / failover / _LOG, self.clock)
            way = "the way back" if note.is_way_back else "the failover"
            time = format_time(self.clock.now().replace(microsecond=0))
            line = f"{time} {printable(who)} approves {way}"
            journal.say(f"{printable(who)} approves {way}")
            note = msgspec.structs.replace(
                note, state="running", approvals=(*note.approvals, line), error=""
            )
            self._write(note)
            return self._go_on(note, make_hands(note, journal), journal, progress)

    def _go_on(
        self, note: FailoverNote, hands: Hands, journal: Journal, progress: Progress
    ) -> FailoverNote:
        progress.phase("failover", len(note.steps), "items", about=note.id)
        for number, step in enumerate(note.steps):
            progress.advance(1)
            if step.is_done:
                continue
            journal.say(f"begins: {step.title}")
            try:
                # What a name said before is durable before the name is changed.
                step = hands.prepare(step)  # noqa: PLW2901
                note = self._replace_step(note, number, step)
                detail = hands.do(step, progress)
            except (HoldfastError, OSError, KeyboardInterrupt) as error:
                word = "cancelled" if isinstance(error, Cancelled) else str(error)
                journal.say(f"stopped at: {step.title}: {word}")
                self._write(msgspec.structs.replace(note, state="stopped", error=word))
                raise
            journal.say(f"done: {step.title}: {detail}")
            done = msgspec.structs.replace(step, is_done=True, detail=printable(detail))
            note = self._replace_step(note, number, done)
        note = msgspec.structs.replace(note, state="done")
        self._write(note)
        journal.say("everything is done")
        return note

    def _replace_step(self, note: FailoverNote, number: int, step: Step) -> FailoverNote:
        steps = (*note.steps[:number], step, *note.steps[number + 1 :])
        note = msgspec.structs.replace(note, steps=steps)
        self._write(note)
        return note

    def read(self, failover: str) -> FailoverNote:
        """The note of a failover. Raises UsageError, NotFoundError or IntegrityError."""
        if not _ID.fullmatch(failover):
            raise UsageError(
                f"'{printable(failover)[:80]}' is no failover: 'holdfast failover list' lists them"
            )
        data = self.records.read(_place(failover))
        if data is None:
            raise NotFoundError(
                f"there is no failover {failover}: 'holdfast failover list' lists them"
            )
        note = decode_failover(data)
        if note.id != failover:
            raise IntegrityError(f"failover {failover}: its note is that of another failover")
        return note

    def list(self) -> Iterator[FailoverNote]:
        """All failovers, oldest first; damaged ones are left out."""
        for place in self.records.places(_PLACES, _SUFFIX):
            try:
                yield self.read(Path(place).stem)
            except (IntegrityError, NotFoundError, UsageError):
                continue

    def log(self, failover: str) -> str:
        """What happened so far."""
        path = self.folder / failover / _LOG
        return path.read_text() if path.exists() else ""

    def _write(self, note: FailoverNote) -> None:
        data = encode_failover(note)
        if len(data) > NOTE_MAX_BYTES:
            raise UsageError(f"plan '{note.plan['name']}' is too large for a failover")
        durable.make_directory(self.records.path(_PLACES))
        self.records.write(_place(note.id), data)

    def _lock(self, failover: str) -> FileLock:
        self.read(failover)
        durable.make_directory(self.folder / failover)
        return FileLock(
            self.folder / failover / "lock",
            wait=False,
            busy=f"failover {failover} is carried out by another command: wait for it",
        )


def _place(failover: str) -> str:
    return f"{_PLACES}/{failover}{_SUFFIX}"


def plan_of(note: FailoverNote) -> Plan:
    """The plan that was prepared. Raises IntegrityError."""
    try:
        return msgspec.convert(note.plan, Plan)
    except msgspec.ValidationError as error:
        raise IntegrityError(f"failover {note.id}: its plan: {error}") from error


def _steps_there(plan: Plan) -> Iterator[Step]:
    places = {machine.name: place for place, machine in enumerate(plan.machines)}
    assert plan.failover is not None
    for group in plan.groups():
        for machine in group:
            place = places[machine.name]
            title = f"boot {machine.name} on the network of {plan.failover.bridge}"
            yield Step("start", place, title)
        for machine in group:
            if machine.checks:
                count = len(machine.checks)
                checks = "1 check" if count == 1 else f"{count} checks"
                yield Step("check", places[machine.name], f"check {machine.name} ({checks})")
    for place, update in enumerate(plan.failover.dns):
        yield Step("name", place, f"point {update.name} to {update.address}")


def _steps_back(note: FailoverNote) -> Iterator[Step]:
    """The steps that undo what was begun: one that was not finished may have happened too."""
    plan = plan_of(note)
    for step in reversed(note.steps):
        if step.kind == "name" and step.before is not None and plan.failover is not None:
            name = plan.failover.dns[step.item].name
            old = ", ".join(step.before) or "nothing"
            yield msgspec.structs.replace(
                step, kind="name back", title=f"point {name} back to {old}", is_done=False,
                detail="",
            )  # fmt: skip
        if step.kind == "start":
            title = f"shut {plan.machines[step.item].name} down, and keep what it wrote"
            yield Step("stop", step.item, title)
