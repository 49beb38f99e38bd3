"""Drills of plans: those in STATE/plans that name a schedule are rehearsed by themselves.

Owns which plans these are; when they are due, `drills.due` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, tzinfo
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.catalog.schedule_log import Answer
from appliance.drills.due import list_due
from appliance.drills.plan import Plan, read_plan
from appliance.jobs.schedule import Scene, Task

FOLDER = "plans"
PRIORITY = 60
_SUBJECT = "plan "


class PlanDrills:
    """The plans of one box."""

    def __init__(self, state: Path, zone: Callable[[], tzinfo], say: Callable[[str], None]) -> None:
        self._folder = state / FOLDER
        self._zone = zone
        self._say = say
        self._stamps: dict[Path, int] = {}
        self._plans: dict[Path, Plan] = {}

    def list_new(self, now: datetime, answers: Mapping[str, Answer]) -> Iterator[Answer]:
        """Slots before a plan was known are not missed."""
        self._refresh()
        for path in self._plans:
            if _name(path) not in answers:
                yield Answer(_name(path), now)

    def list_due(self, now: datetime, scene: Scene) -> Iterator[Task]:
        """The drills that should begin now; none while a backup waits or runs."""
        if scene.is_busy:
            return
        for path, plan in self._plans.items():
            subject = _name(path)
            answered = min(scene.answers[subject].answered, now)
            if not scene.is_living(subject) and list_due(
                [plan], {plan.name: answered}, {}, now, self._zone()
            ):
                yield Task(PRIORITY, answered, subject, "drill run", {"what": str(path)})

    def _refresh(self) -> None:
        """Read what changed; a plan that cannot be read is named once."""
        stamps = {path: path.stat().st_mtime_ns for path in sorted(self._folder.glob("*.toml"))}
        for path in self._stamps.keys() - stamps.keys():
            self._plans.pop(path, None)
        for path, stamp in stamps.items():
            if self._stamps.get(path) == stamp:
                continue
            self._plans.pop(path, None)
            try:
                plan = read_plan(path)
            except HoldfastError as error:
                self._say(f"no drills by {path.name}: {error}")
                continue
            if plan.schedule is not None:
                self._plans[path] = plan
        self._stamps = stamps


def _name(path: Path) -> str:
    return f"{_SUBJECT}{path.name}"
