"""How far a vault is behind, machine by machine, and when each will be within its target.

Owns the arithmetic of `vault status`: it asks nobody, but reads what the box remembers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.vault_ledger import VaultLedger
from appliance.formats.names import PointName, format_time
from appliance.formats.vault_settings import VaultSettings
from appliance.store.points import PointFile
from appliance.store.store import Store
from appliance.vault.destinations import Destinations
from appliance.vault.locks import PROOF


@dataclass(frozen=True)
class MachineStanding:
    """One machine. Times are of points; `waiting_bytes` is an upper bound.

    Attributes:
        newest: its newest point on the box.
        newest_there: its newest point in the vault; None without any.
        within_at: when its newest point will be there, None while nobody knows.
        points_there: how many points the vault has of it.
        immutable_until: for its newest point there; None where nothing proves that locks hold.
        rpo_s: its target.
    """

    machine: str
    newest: datetime
    newest_there: datetime | None
    waiting_bytes: int
    within_at: datetime | None
    points_there: int
    immutable_until: datetime | None = None
    rpo_s: int = 0

    def behind_s(self, now: datetime) -> float | None:
        """How old what the vault could give back is, 0 where it lacks nothing; None without any."""
        if self.newest_there is None:
            return None
        if self.newest_there == self.newest:
            return 0.0
        return max(0.0, (now - self.newest_there).total_seconds())

    def is_within(self, now: datetime) -> bool:
        """Whether the newest point in the vault is young enough, or is all there is."""
        behind_s = self.behind_s(now)
        return behind_s is not None and behind_s <= self.rpo_s


class Standing:
    """The machines of a store against one vault."""

    def __init__(
        self,
        store: Store,
        settings: VaultSettings,
        ledger: VaultLedger,
        now: datetime,
        destinations: Destinations,
    ) -> None:
        self._destinations = destinations
        self._store = store
        self._settings = settings
        self._ledger = ledger
        self._now = now

    def machines(self) -> list[MachineStanding]:
        """Every machine whose points go to this vault, the one furthest behind first."""
        folders: dict[str, list[PointFile]] = {}
        for file in self._store.points.files():
            folders.setdefault(file.folder, []).append(file)
        found = [
            standing
            for folder, files in folders.items()
            if self._destinations.is_wanted(folder, self._settings.name)
            and (standing := self._machine(folder, files)) is not None
        ]
        found.sort(key=lambda one: overdue_s(one.newest_there, self._now, one.rpo_s), reverse=True)
        return self._forecast(found)

    def _machine(self, folder: str, files: list[PointFile]) -> MachineStanding | None:
        there = self._ledger.points(folder)
        newest_there = max(there, default="")
        waiting, machine, newest = 0, "", ""
        for file in sorted(files, key=lambda file: file.stem, reverse=True):
            if machine and file.stem <= newest_there:
                break
            try:
                manifest = self._store.points.read(file)
            except (IntegrityError, NotFoundError):
                continue
            machine, newest = manifest.machine, newest or file.stem
            if file.stem > newest_there:
                waiting += manifest.stored_bytes
        if not machine:
            return None
        own_s = self._destinations.target_s(folder)
        return MachineStanding(
            machine,
            PointName.from_file_time(machine, newest).time,
            PointName.from_file_time(machine, newest_there).time if newest_there else None,
            waiting,
            None,
            len(there),
            prove_immutable(self._settings, self._ledger, folder, newest_there, self._now),
            self._settings.rpo_of(machine) if own_s is None else own_s,
        )

    def _forecast(self, found: list[MachineStanding]) -> list[MachineStanding]:
        """Say when each machine's turn is over, by the rate of the last sync."""
        rate = float(self._ledger.note("bytes_per_s") or 0)
        limit = self._settings.limit_bytes_per_s
        if limit:
            rate = min(rate or limit, limit)
        done: list[MachineStanding] = []
        queued = 0
        for one in found:
            queued += one.waiting_bytes
            within = self._now + timedelta(seconds=queued / rate) if rate else None
            done.append(replace(one, within_at=within if one.waiting_bytes else self._now))
        return done


def prove_immutable(
    settings: VaultSettings, ledger: VaultLedger, folder: str, time: str, now: datetime
) -> datetime | None:
    """Until when nobody can delete a point from a vault; None where nothing proves it."""
    if not settings.lock_days or ledger.note(PROOF) is None:
        return None
    until_s = ledger.point_until(folder, time)
    return datetime.fromtimestamp(until_s, UTC) if until_s > now.timestamp() else None


def overdue_s(newest_there: datetime | None, now: datetime, rpo_s: int) -> float:
    """How far beyond its target a machine is; below 0 within it, infinite with nothing there."""
    if newest_there is None:
        return math.inf
    return (now - newest_there).total_seconds() - rpo_s


def standing_json(one: MachineStanding, now: datetime) -> dict[str, Any]:
    """For `--json`."""
    return {
        "machine": one.machine,
        "newest": format_time(one.newest),
        "newest_there": None if one.newest_there is None else format_time(one.newest_there),
        "behind_s": one.behind_s(now),
        "rpo_s": one.rpo_s,
        "within_target": one.is_within(now),
        "waiting_bytes": one.waiting_bytes,
        "within_at": None if one.within_at is None else format_time(one.within_at),
        "points_there": one.points_there,
        "immutable_until": (
            None if one.immutable_until is None else format_time(one.immutable_until)
        ),
    }
