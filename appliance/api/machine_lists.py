"""Machines and points as pages ask for them: what the catalog lists, joined with what is promised.

Owns the state of a machine in one word. Machines are few enough to be kept in memory; points are
read by pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError
from appliance.catalog.listing import Listing
from appliance.formats.names import parse_time

Json = dict[str, Any]
_OLD_S = 5.0
_EMPTY: Json = {
    "newest_point": None,
    "newest_at": None,
    "oldest_at": None,
    "points": 0,
    "damaged_points": 0,
    "size_bytes": 0,
}


@dataclass(frozen=True)
class Promise:
    """What is promised to a machine.

    Attributes:
        state: active, paused or retired.
        policy: what holds, in a sentence; None where nothing is promised.
        rpo_target_s: how old its newest point may be; None: nobody said.
        has_failed: whether its last backup failed.
    """

    state: str = "active"
    policy: str | None = None
    next_run_at: str | None = None
    rpo_target_s: float | None = None
    has_failed: bool = False


Promises = Callable[[], Mapping[str, Promise]]
NOTHING = Promise()


class MachineLists:
    """Reads of machines and points. For the event loop; what reads files does so in a thread."""

    def __init__(
        self,
        listing: Listing,
        clock: Clock,
        promises: Promises,
        vaults: Callable[[], Mapping[str, list[Json]]] = dict,
        drills: Callable[[], Mapping[str, Json]] = dict,
        *,
        version: Callable[[], int] = int,
    ) -> None:
        """`vaults` and `drills` say what is known of them by machine.

        `version` is another one once what `promises`, `vaults` or `drills` say has changed.
        """
        self._listing = listing
        self._clock = clock
        self._promises = promises
        self._vaults = vaults
        self._drills = drills
        self._version = version
        self._read_version = -1
        self._rows: list[Json] = []
        self._read_s = float("-inf")
        self._lock = asyncio.Lock()

    async def all(self) -> list[Json]:
        """Every machine, by name."""
        async with self._lock:
            version = self._version()
            is_old = self._clock.monotonic_s() - self._read_s > _OLD_S
            if is_old or version != self._read_version:
                self._read_version = version
                self._rows = await asyncio.to_thread(self._read)
                self._read_s = self._clock.monotonic_s()
            return self._rows

    def forget(self) -> None:
        """Something changed: the next one to ask reads again."""
        self._read_s = float("-inf")

    def _read(self) -> list[Json]:
        listed = {row["name"]: row for row in self._listing.machines()}
        promises, vaults, drills = self._promises(), self._vaults(), self._drills()
        return [
            self._join(name, listed.get(name, _EMPTY), promises.get(name, NOTHING))
            | {"vaults": vaults.get(name, []), "last_drill": drills.get(name)}
            for name in sorted(listed.keys() | promises.keys())
        ]

    def _join(self, name: str, row: Mapping[str, Any], promise: Promise) -> Json:
        newest = parse_time(row["newest_at"]) if row["newest_at"] else None
        rpo_s = None
        if newest is not None:
            rpo_s = max(0.0, round((self._clock.now() - newest).total_seconds()))
        return {
            **row,
            "name": name,
            "state": judge_machine(promise, rpo_s),
            "policy": promise.policy,
            "next_run_at": promise.next_run_at,
            "rpo_s": rpo_s,
            "rpo_target_s": promise.rpo_target_s,
        }

    async def page(
        self, after: str | None, limit: int, state: str | None, search: str | None
    ) -> Json:
        """Part of the machines, by name."""
        wanted = (search or "").casefold()
        found = [
            row
            for row in await self.all()
            if (after is None or row["name"] > after)
            and state in (None, row["state"])
            and wanted in row["name"].casefold()
        ]
        more = found[limit - 1]["name"] if len(found) > limit else None
        return {"items": found[:limit], "next": more}

    async def get(self, name: str) -> Json:
        """One machine. Raises NotFoundError."""
        for row in await self.all():
            if row["name"] == name:
                return row
        raise NotFoundError(
            "there is no such machine: 'holdfast points' lists them", code="no-machine"
        )

    async def points(
        self, machine: str, after: str | None, limit: int, since: str | None, until: str | None
    ) -> Json:
        """Part of the points of a machine, newest first. Raises NotFoundError for no machine."""
        await self.get(machine)
        before = min((time for time in (after, until) if time is not None), default=None)
        page = self._listing.page
        found = await asyncio.to_thread(
            lambda: page(machine, before=before, since=since, limit=limit + 1)
        )
        more = found[limit - 1]["time"] if len(found) > limit else None
        return {"items": found[:limit], "next": more}

    async def point(self, machine: str, time: str) -> Json:
        """One point. Raises NotFoundError."""
        found = await asyncio.to_thread(self._listing.point, machine, time)
        if found is None:
            raise NotFoundError(
                "there is no such point: 'holdfast points' lists what there is", code="no-point"
            )
        return found


def judge_machine(promise: Promise, rpo_s: float | None) -> str:
    """The state of a machine in one word."""
    if promise.state != "active":
        return promise.state
    if promise.has_failed:
        return "failed"
    if rpo_s is None:
        return "new"
    is_late = promise.rpo_target_s is not None and rpo_s > promise.rpo_target_s
    return "late" if is_late else "protected"
