"""Prune: applies each machine's policy to its points.

First a plan, which a simulation shows, then forgetting point by point: a kill in between leaves
fewer points forgotten, and the next prune goes on. What it forgets lies in the trash like anything
forgotten by hand. Never plans by a clock that is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from appliance.base.errors import BusyError, HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.catalog.catalog import Catalog
from appliance.catalog.point_list import list_points
from appliance.formats.names import PointName
from appliance.formats.policy import Policy
from appliance.retention.rules import Candidate, State, Verdict, judge_machine, newest_complete
from appliance.store.points import Points
from appliance.store.store import Store

Shield = Callable[[PointName], str | None]
"""Says why a point is needed by something that is not in the store, None if it is not."""


@dataclass(frozen=True)
class MachinePlan:
    """What is to become of one machine's points under `policy`."""

    machine: str
    policy: Policy
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Plan:
    """Every machine, and in `troubles` what could not be judged and therefore stays."""

    machines: tuple[MachinePlan, ...]
    troubles: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """What was forgotten, and why others were not although the plan said so."""

    forgotten: tuple[PointName, ...]
    troubles: tuple[str, ...]


def plan_prune(
    store: Store,
    catalog: Catalog,
    shield: Shield,
    machine: str | None,
    override: Policy | None,
    *,
    is_retired: Callable[[str], bool] = lambda _: False,
) -> Plan:
    """Judge the points of one machine or all. `override` takes the place of every policy.

    A machine whose policy is damaged is named in the troubles, and nothing of it goes.
    """
    listed = list_points(store, catalog, machine)
    troubles = list(listed.unreadable)
    candidates: dict[str, list[Candidate]] = {}
    for point in listed.points:
        name = PointName.parse(point.name)
        shields = (store.points.holds.shield(store.points.file_of(name).label), shield(name))
        state: State = "complete" if point.state == "complete" else "damaged"
        if point.state == "incomplete":
            state = "incomplete"
        found = Candidate(name, state, tuple(filter(None, shields)))
        candidates.setdefault(point.machine, []).append(found)
    plans = []
    for owner, found_here in sorted(candidates.items()):
        try:
            policy = override or store.points.policies.of(owner)
        except IntegrityError as error:
            troubles.append(f"{owner}: {error}")
            continue
        plans.append(_plan_machine(store, owner, policy, found_here, is_retired(owner)))
    return Plan(tuple(plans), tuple(troubles))


def _plan_machine(
    store: Store, machine: str, policy: Policy, candidates: list[Candidate], is_retired: bool
) -> MachinePlan:
    """Judge until the newest complete point is one that can be read now.

    The catalog may remember as complete what has rotted since; as the last one it would be none.
    """
    now = store.points.timekeeper.now()
    while True:
        verdicts = judge_machine(candidates, policy, now, is_retired=is_retired)
        newest = newest_complete(verdicts)
        if newest is None or _is_readable(store.points, newest):
            return MachinePlan(machine, policy, verdicts)
        candidates = [
            replace(found, state="damaged") if found.name == newest else found
            for found in candidates
        ]


def _is_readable(points: Points, name: PointName) -> bool:
    try:
        points.open(name)
    except (IntegrityError, NotFoundError):
        return False
    return True


def carry_out(store: Store, plan: Plan, progress: Progress) -> Pruned:
    """Forget what the plan lets go, each durably before the next.

    A point is forgotten only beside the newest complete point that the plan counts on, so that a
    machine keeps one even if somebody forgets that very point meanwhile.
    """
    forgotten: list[PointName] = []
    troubles: list[str] = []
    going = sum(verdict.goes for machine in plan.machines for verdict in machine.verdicts)
    progress.phase("forgetting", total=going, unit="items")
    for machine in plan.machines:
        beside = newest_complete(machine.verdicts)
        window = timedelta(days=machine.policy.trash_days)
        for verdict in machine.verdicts:
            if not verdict.goes:
                continue
            try:
                store.points.forget(verdict.name, window, beside)
                forgotten.append(verdict.name)
            except NotFoundError:
                pass  # somebody else was faster
            except BusyError as error:
                troubles.append(str(error))
            progress.advance(1)
    return Pruned(tuple(forgotten), tuple(troubles))


def refuse_in_doubt(store: Store) -> None:
    """Raise HoldfastError if the clock must not be believed."""
    doubt = store.points.timekeeper.doubt()
    if doubt is not None:
        raise HoldfastError(f"nothing was pruned: {doubt}")
