"""What the box does for itself: self-tests, array checks, scrubs, prune, collect, recompress.

Owns what there is to do and how long it should take; `health.schedule` says when, so that these
do not pile up. Nothing begins while a backup waits or runs, or would begin before it is done;
where backups leave no such gap, the longest one is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from appliance.catalog.schedule_log import Answer
from appliance.health.arrays import REDUNDANT_LEVELS, Array
from appliance.health.inventory import Disk
from appliance.health.schedule import EVERY, Chore, Kind, Slot, list_due, plan_chores
from appliance.jobs.schedule import Scene, Task

PRIORITY = 90
PATIENCE = timedelta(days=2)
"""A chore that found no gap for so long takes what there is."""
_TESTABLE = ("sata", "sas", "scsi", "nvme")
_BYTES_PER_S = 100 << 20
_SHORT = timedelta(minutes=3)
_TAKES: dict[Kind, timedelta] = {
    "scrub": timedelta(minutes=30),
    "prune": timedelta(minutes=5),
    "collect": timedelta(minutes=30),
    "recompress": timedelta(minutes=30),
}
_STORE = "the store"


@dataclass(frozen=True)
class Hardware:
    """What there is to look after."""

    disks: Sequence[Disk] = ()
    arrays: Sequence[Array] = ()


class Chores:
    """The upkeep of one box."""

    def __init__(self, look: Callable[[], Hardware]) -> None:
        self._look = look

    def list_new(self, now: datetime, answers: Mapping[str, Answer]) -> Iterator[Answer]:
        """For what was never done: spread over its first period, as if it had been done before."""
        for chore in list_chores(self._look()):
            subject = name_chore(chore)
            if subject not in answers:
                digest = hashlib.sha256(subject.encode()).digest()
                share = int.from_bytes(digest[:4], "big") / 2**32
                yield Answer(subject, now - EVERY[chore.kind] * share)

    def list_due(self, now: datetime, scene: Scene) -> Iterator[Task]:
        """What should begin now."""
        if scene.is_busy:
            return
        chores = [_remember(chore, scene, now) for chore in list_chores(self._look())]
        running = [
            Slot(chore, chore.last or now) for chore in chores if _is_running(chore, scene, now)
        ]
        gap = min((moment - now for moment in scene.backups), default=timedelta(days=1))
        fitting = [chore for chore in chores if chore.due(now) <= now and _fits(chore, gap, now)]
        # One that runs longer than thought is planned as if it ended with its slot.
        stretched = [
            Slot(replace(slot.chore, takes=now - slot.begin + _SHORT), slot.begin)
            for slot in running
        ]
        for slot in list_due(plan_chores(fitting, (), now, stretched), now):
            if slot not in stretched:
                yield make_task(slot.chore, now, gap)


def list_chores(hardware: Hardware) -> Iterator[Chore]:
    """Everything there is to do again and again, as if it had never been done."""
    for kind, takes in _TAKES.items():
        yield Chore(kind, _STORE, frozenset(), None, takes)
    for disk in hardware.disks:
        if disk.transport in _TESTABLE and disk.hidden is None:
            name = frozenset({disk.name})
            whole = timedelta(seconds=disk.size_bytes / _BYTES_PER_S)
            yield Chore("short-test", disk.serial or disk.name, name, None, _SHORT)
            yield Chore("long-test", disk.serial or disk.name, name, None, whole)
    for array in hardware.arrays:
        if array.level in REDUNDANT_LEVELS:
            members = frozenset(member.name for member in array.members)
            whole = timedelta(seconds=array.component_bytes / _BYTES_PER_S)
            yield Chore("array-check", array.name, members, None, whole)


def make_task(chore: Chore, now: datetime, gap: timedelta) -> Task:
    """The job that does it, over before the gap ends where a job can be told so."""
    verbs: dict[Kind, tuple[str, dict[str, object]]] = {
        "scrub": ("scrub", {"for_s": max(min(gap, chore.takes).total_seconds(), 60.0)}),
        "prune": ("prune", {}),
        "collect": ("collect", {}),
        "recompress": ("recompress", {}),
        "short-test": ("disks test", {"disk": chore.subject}),
        "long-test": ("disks test", {"disk": chore.subject, "long": True}),
        "array-check": ("array check", {"array": chore.subject, "yes": True}),
    }
    verb, arguments = verbs[chore.kind]
    return Task(PRIORITY, chore.due(now), name_chore(chore), verb, arguments)


def _fits(chore: Chore, gap: timedelta, now: datetime) -> bool:
    """Whether it ends before the next backup begins, or has waited long enough for that."""
    if chore.takes <= gap:
        return True
    return chore.last is not None and now - chore.last > EVERY[chore.kind] + PATIENCE


def _remember(chore: Chore, scene: Scene, now: datetime) -> Chore:
    """With when it was begun last."""
    answer = scene.answers.get(name_chore(chore))
    return replace(chore, last=now if answer is None else min(answer.answered, now))


def _is_running(chore: Chore, scene: Scene, now: datetime) -> bool:
    """Whether its job runs, or what the job began: a test in a disk, a check in the kernel."""
    if scene.is_living(name_chore(chore)):
        return True
    was_begun = scene.answers[name_chore(chore)].run > 0
    in_itself = chore.kind in ("short-test", "long-test", "array-check")
    return was_begun and in_itself and chore.last is not None and now < chore.last + chore.takes


def name_chore(chore: Chore) -> str:
    """What the schedule remembers it by."""
    return f"{chore.kind} {chore.subject}"
