"""What the box does by itself: the schedule, notices, and the clean stop when the power goes.

Owns when these are asked. It waits until there is a store and the box is unlocked, and nothing
that it does holds up the loop: files are read in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from appliance.base.background import Background
from appliance.base.clock import Clock, local_zone
from appliance.base.errors import HoldfastError
from appliance.base.locks import FileLock
from appliance.base.process import find_program, run
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_log import FindingLog
from appliance.catalog.notice_log import NoticeLog
from appliance.catalog.schedule_log import ScheduleLog
from appliance.daemon.plan_drills import PlanDrills
from appliance.health.arrays import list_arrays
from appliance.health.inventory import Inventory
from appliance.health.kernel_tree import KernelTree
from appliance.health.power import look_at_power
from appliance.health.stakes import carries, choose_sick, find_device
from appliance.health.udev import read_properties
from appliance.jobs.jobs import Jobs
from appliance.jobs.schedule import Schedule
from appliance.jobs.upkeep import Chores, Hardware
from appliance.jobs.vault_upkeep import VaultSyncs
from appliance.keys import keyring
from appliance.notices.channels import Channels
from appliance.notices.dispatch import Dispatch
from appliance.policies.book import Book
from appliance.store.store import Store
from appliance.vault.registry import Registry

_WAIT_S = 5.0
_TELL_EVERY_S = 30.0
_POWER_EVERY_S = 10.0
_LOWS = 3  # so often in a row: a supply that tests itself says low for a moment
_HARDWARE_OLD = timedelta(hours=1)


@dataclass
class _Opened:
    """What is there once the store can be read."""

    store: Store
    schedule: Schedule
    log: ScheduleLog


class Keeper:
    """A part of the daemon."""

    def __init__(
        self,
        state: Path,
        jobs: Jobs,
        clock: Clock,
        say: Callable[[str], None],
        *,
        power_off: Callable[[], None] | None = None,
    ) -> None:
        """`power_off` stops the box cleanly; by default systemd is asked."""
        self._state = state
        self._jobs = jobs
        self._clock = clock
        self._say = say
        self._power_off = power_off or _power_off
        self._opened: _Opened | None = None
        self._is_urgent = asyncio.Event()
        self._background = Background()
        self._hardware: tuple[float, Hardware] = (float("-inf"), Hardware())

    async def start(self) -> None:
        """Begin."""
        loops = (self._keep_schedule, self._keep_telling, self._watch_power)
        self._background.begin(*map(self._go_on, loops))

    async def stop(self) -> None:
        """Begin nothing any more."""
        await self._background.end()
        if self._opened is not None:
            await asyncio.to_thread(self._opened.log.close)

    async def _go_on(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What fails now may go well later."""
        said = ""
        while True:
            try:
                await loop()
            except (HoldfastError, OSError) as error:
                if str(error) != said:
                    self._say(f"the box looks again in a while: {error}")
                said = str(error)
            await asyncio.sleep(_WAIT_S)

    # ---- schedule ----

    async def _keep_schedule(self) -> None:
        while self._opened is None:
            self._opened = await asyncio.to_thread(self._open)
            if self._opened is None:
                await asyncio.sleep(_WAIT_S)
        await self._opened.schedule.keep()

    def _open(self) -> _Opened | None:
        try:
            store = Store(self._state, keyring.load_master_key(self._state, None), self._clock)
        except HoldfastError:
            return None  # no store yet, or locked
        log = ScheduleLog(self._state)
        syncs = VaultSyncs(Registry(store), store.layout, local_zone, self._is_at_stake)
        plans = PlanDrills(self._state, local_zone, self._say)
        upkeep = (syncs, plans, Chores(self._look_at_hardware))
        schedule = Schedule(Book(store.points), log, self._jobs, self._clock, upkeep=upkeep)
        return _Opened(store, schedule, log)

    def _look_at_hardware(self) -> Hardware:
        now_s = self._clock.monotonic_s()
        if now_s - self._hardware[0] > _HARDWARE_OLD.total_seconds():
            tree = KernelTree()
            found = Hardware(Inventory(tree, read_properties).disks, list_arrays(tree))
            self._hardware = (now_s, found)
        return self._hardware[1]

    def _is_at_stake(self) -> bool:
        """Whether a sick disk carries the store, by what `health` found last."""
        hardware = self._look_at_hardware()
        with Catalog(self._state / "catalog.db") as catalog:
            findings = [one.finding for one in FindingLog(catalog).list_standing()]
        sick = choose_sick(hardware.disks, hardware.arrays, findings)
        if not sick:
            return False
        home = find_device(KernelTree(), self._state)
        return any(carries(disk, home) for disk in sick)

    # ---- notices ----

    def tell_at_once(self) -> None:
        """Something critical was found: nobody waits for the next turn to hear of it."""
        self._is_urgent.set()

    async def _keep_telling(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TELL_EVERY_S):
                    await self._is_urgent.wait()
            if self._opened is None:
                await asyncio.sleep(_WAIT_S)
                continue
            self._is_urgent.clear()
            try:
                await asyncio.to_thread(self._tell, self._opened.store)
            except HoldfastError:
                self._is_urgent.set()  # another command is telling, for instance: soon again
                raise

    def _tell(self, store: Store) -> None:
        channels = Channels(store.points.records)
        if not any(channels.names()):
            return
        with (
            FileLock(self._state / "run" / "notices.lock", wait=False),
            contextlib.closing(NoticeLog(self._state)) as log,
        ):
            dispatch = Dispatch(channels, log, self._clock, os.uname().nodename)
            with Catalog(self._state / "catalog.db") as catalog:
                standing = FindingLog(catalog).list_standing()
            dispatch.gather(standing)
            dispatch.deliver()

    # ---- power ----

    async def _watch_power(self) -> None:
        lows = 0
        while True:
            power = await asyncio.to_thread(look_at_power, KernelTree())
            lows = lows + 1 if power.wants_stop else 0
            if lows == _LOWS:
                self._say("the UPS is almost empty: the box stops cleanly")
                await asyncio.to_thread(self._power_off)
            await asyncio.sleep(_POWER_EVERY_S)


def _power_off() -> None:
    """Ask systemd: it ends this daemon and everything else in order, then the box."""
    run([find_program("systemctl", "systemd"), "poweroff"])
