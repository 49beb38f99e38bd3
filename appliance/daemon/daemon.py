"""The life of the daemon: one for each state, ready when all answers, ended within ten seconds.

Owns the event loop and the order in which its parts begin and end. What may block is done in
threads or in processes of its own, never on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from appliance.base.clock import Clock
from appliance.base.durable import make_directory
from appliance.base.errors import HoldfastError
from appliance.base.locks import FileLock
from appliance.catalog.job_table import JobTable
from appliance.daemon.control import Control
from appliance.daemon.notify import Supervisor
from appliance.daemon.settings import Settings, read_settings, stamp_settings
from appliance.daemon.unlocking import open_by_credential
from appliance.jobs.desk import JobDesk
from appliance.jobs.jobs import Jobs
from appliance.jobs.queue import Limits
from appliance.jobs.verb import Verbs
from appliance.keys import keyring

STOP_S = 9.0
"""After so long the process ends, whatever still hangs."""
_LOOK_S = 2.0
_DAY_S = 86_400.0
Say = Callable[[str], None]


class Part(Protocol):
    """Something else that runs in the daemon, as a server or a schedule."""

    async def start(self) -> None:
        """Begin; answers on return."""

    async def stop(self) -> None:
        """End, within a second or two."""


class Daemon:
    """One daemon."""

    def __init__(
        self,
        state: Path,
        verbs: Verbs,
        *,
        command: Sequence[str],
        clock: Clock,
        say: Say,
        make_parts: Callable[[Jobs], Iterable[Part]] = lambda _: (),
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """`command` is the argument vector of the command on this state, `say` a line for a log.

        `make_parts` gives what else is to run, `when_ready` learns that all of it does; both are
        called on the loop, and must not block.
        """
        self._state = state
        self._verbs = verbs
        self._command = command
        self._clock = clock
        self._say = say
        self._make_parts = make_parts
        self._when_ready = when_ready
        self._supervisor = Supervisor()
        self._stamp: tuple[int, ...] = ()
        self._settings = Settings()
        self._stopped = asyncio.Event()

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises BusyError if another daemon runs on this state."""
        run = self._state / "run"
        make_directory(run)
        busy = f"a daemon runs on {self._state} already: 'holdfast jobs list' asks it"
        with FileLock(run / "daemon.lock", wait=False, busy=busy):
            asyncio.run(self._live())

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopped.set)
        loop.add_signal_handler(signal.SIGHUP, self._forget_stamp)
        self._settings = await asyncio.to_thread(read_settings, self._state)
        self._stamp = await asyncio.to_thread(stamp_settings, self._state)
        await asyncio.to_thread(self._open_box)
        table = await asyncio.to_thread(JobTable, self._state / "jobs.sqlite")
        if table.damaged is not None:
            self._say(f"the records of jobs could not be read: they are in {table.damaged}")
        jobs = Jobs(
            table,
            self._verbs,
            state=self._state,
            command=self._command,
            clock=self._clock,
            limits=self._limits(),
        )
        parts: list[Part] = [
            jobs,
            Control(self._state, JobDesk(jobs), self._unlock),
            *self._make_parts(jobs),
        ]
        begun: list[Part] = []
        try:
            for part in parts:
                await part.start()
                begun.append(part)
            await self._bring_back_machines(jobs)
            self._supervisor.ready()
            self._say("ready")
            self._when_ready()
            await self._serve(jobs)
        finally:
            self._supervisor.stopping()
            await self._end(begun)
            table.close()

    async def _end(self, begun: Sequence[Part]) -> None:
        """End all parts; one that hangs or fails takes nothing from the others."""
        last = threading.Timer(STOP_S, os.kill, (os.getpid(), signal.SIGKILL))
        last.daemon = True  # a thread that waits for a disk would keep the process for ever
        last.start()

        async def end(part: Part) -> None:
            with contextlib.suppress(HoldfastError, OSError):
                await part.stop()

        await asyncio.gather(*(end(part) for part in reversed(begun)))

    # ---- while it runs ----

    async def _serve(self, jobs: Jobs) -> None:
        """Until somebody asks us to end."""
        tasks = [
            asyncio.create_task(work)
            for work in (self._feed(), self._keep_reading(jobs), self._keep_forgetting(jobs))
        ]
        ended = asyncio.create_task(self._stopped.wait())
        await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
            if task.done() and not task.cancelled():
                task.result()  # none of them ends by itself: what it raised ends us

    async def _feed(self) -> None:
        """The loop turns: that alone is what the watchdog is to know. No disk is asked here."""
        while True:
            self._supervisor.alive("serving")
            await asyncio.sleep(self._supervisor.feed_every_s or _LOOK_S)

    async def _keep_reading(self, jobs: Jobs) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await self._reload(jobs)

    async def _keep_forgetting(self, jobs: Jobs) -> None:
        while True:
            with contextlib.suppress(HoldfastError):
                await jobs.forget_old(self._settings.keep_jobs_days, self._settings.keep_jobs)
            await asyncio.sleep(_DAY_S)

    # ---- settings ----

    def _limits(self) -> Limits:
        return Limits(self._settings.heavy_jobs, self._settings.light_jobs)

    def _forget_stamp(self) -> None:
        self._stamp = (-1,)

    async def _reload(self, jobs: Jobs) -> None:
        stamp = await asyncio.to_thread(stamp_settings, self._state)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._settings = await asyncio.to_thread(read_settings, self._state)
        except HoldfastError as error:
            self._say(f"the settings stay as they were: {error}")
            return
        jobs.set_limits(self._limits())
        self._say("the settings were read again")

    # ---- the box ----

    def _open_box(self) -> None:
        """A credential that the system hands over opens a box that is locked."""
        try:
            if open_by_credential(self._state):
                self._say("the box is unlocked by its credential")
        except HoldfastError as error:
            self._say(f"the credential does not open the box: {error}")

    async def _unlock(self, passphrase: str) -> None:
        await asyncio.to_thread(keyring.unlock, self._state, passphrase)
        self._say("the box is unlocked")

    async def _bring_back_machines(self, jobs: Jobs) -> None:
        """Recovered VMs that ran when the box went down run again."""
        vms = self._state / "vms"
        if await asyncio.to_thread(lambda: vms.is_dir() and any(vms.iterdir())):
            await jobs.submit("vms", {"action": "resume"}, asked_by="box", priority=90)
