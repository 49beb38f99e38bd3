"""The box in one sentence and a few cards, out of what is known already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from appliance import __version__
from appliance.api.machine_lists import MachineLists
from appliance.api.snapshots import Snapshots
from appliance.api.v1.box import (
    AddressTrial,
    Box,
    DisksCard,
    DrillCard,
    Sentence,
    SpaceCard,
    VaultCard,
)
from appliance.base.clock import Clock
from appliance.formats.names import format_time
from appliance.host.trial import Trials

Json = dict[str, Any]
_STATES = ("protected", "late", "failed", "new", "paused", "retired")


class BoxFacts:
    """Puts the box together."""

    def __init__(
        self,
        name: Callable[[], str],
        clock: Clock,
        machines: MachineLists,
        snapshots: Snapshots,
        *,
        count_jobs: Callable[[], Awaitable[Mapping[str, int]]],
        has_store: Callable[[], bool],
        is_unlocked: Callable[[], bool],
        trial: Callable[[], AddressTrial | None],
    ) -> None:
        self._name = name
        self._clock = clock
        self._machines = machines
        self._snapshots = snapshots
        self._count_jobs = count_jobs
        self._has_store = has_store
        self._is_unlocked = is_unlocked
        self._trial = trial

    async def describe(self) -> Box:
        """The box now."""
        machines = await self._machines.all()
        counts = Counter(str(machine["state"]) for machine in machines)
        vault = describe_vaults(self._snapshots.known("vault status", "vaults")["items"])
        is_set_up = self._has_store()
        is_unlocked = is_set_up and self._is_unlocked()
        findings = self._snapshots.known("health", "findings")["items"]
        severities = Counter(one["severity"] for one in findings if not one["acknowledged"])
        disks = Counter(one["verdict"] for one in self._snapshots.known("disks", "disks")["items"])
        status = self._snapshots.get("status")
        return Box(
            name=self._name(),
            version=__version__,
            time=format_time(self._clock.now().replace(microsecond=0)),
            is_set_up=is_set_up,
            is_unlocked=is_unlocked,
            sentence=(
                say(machines, counts, vault)
                if is_unlocked
                else Sentence(code="locked" if is_set_up else "not_set_up", args={})
            ),
            machines={state: counts[state] for state in _STATES},
            space=describe_space(status.value),
            vault=vault,
            disks=DisksCard(**{name: disks[name] for name in DisksCard.__struct_fields__}),
            findings={name: severities[name] for name in ("critical", "warning", "notice")},
            jobs={"queued": 0, "running": 0, **await self._count_jobs()},
            last_drill=describe_drill(self._snapshots.known("drill list", "drills")["items"]),
            address_trial=self._trial(),
            as_of=status.as_of,
        )


def say(machines: Sequence[Json], counts: Mapping[str, int], vault: VaultCard) -> Sentence:
    """How the machines stand, the worst first."""
    newest = max((one["newest_at"] for one in machines if one["newest_at"]), default=None)
    args = {
        "machines": len(machines) - counts["retired"],
        "failed": counts["failed"],
        "late": counts["late"],
        "new": counts["new"],
        "newest_point": newest,
    }
    if vault.is_within_target is False:
        args |= {
            "vault": vault.name,
            "vault_behind_s": vault.behind_s,
            "vault_behind_machine": vault.machine,
        }
    if not args["machines"]:
        code = "no_machines"
    elif counts["failed"]:
        code = "failed"
    elif counts["late"]:
        code = "late"
    else:
        code = "waiting" if counts["new"] else "protected"
    return Sentence(code=code, args=args)


def describe_trial(trials: Trials, clock: Clock) -> AddressTrial | None:
    """Looks at one file that lies in memory."""
    trial = trials.current()
    if trial is None or not trial.port:
        return None
    ends = clock.now() + timedelta(seconds=trials.left_s(trial))
    return AddressTrial(port=trial.port, ends_at=format_time(ends.replace(microsecond=0)))


def describe_space(status: Json) -> SpaceCard:
    """Out of `holdfast status`."""
    store = status.get("store") or {}
    return SpaceCard(
        total_bytes=store.get("total_bytes"),
        free_bytes=store.get("free_bytes"),
        stored_bytes=store.get("stored_bytes"),
    )


def describe_vaults(vaults: Sequence[Json]) -> VaultCard:
    """The machine that is furthest beyond its target, of all vaults."""
    behind = [
        (one["within_target"], -_behind_s(one), vault["name"], one)
        for vault in vaults
        for one in vault["machines"]
    ]
    waiting = sum(one["waiting_bytes"] for _, _, _, one in behind)
    if not behind:
        return VaultCard(vaults=len(vaults))
    is_within, _, name, worst = min(behind, key=lambda found: found[:3])
    return VaultCard(
        vaults=len(vaults),
        name=name,
        machine=worst["machine"],
        behind_s=worst["behind_s"],
        is_within_target=is_within,
        waiting_bytes=waiting,
    )


def _behind_s(machine: Json) -> float:
    """Without a bound for a machine that is not there at all."""
    found: float | None = machine["behind_s"]
    return float("inf") if found is None else found


def describe_drill(drills: Sequence[Json]) -> DrillCard | None:
    """The newest drill."""
    if not drills:
        return None
    last = drills[-1]
    return DrillCard(
        id=last["id"], verdict=last["verdict"], began=last["began"], rto_s=last["rto_s"]
    )
