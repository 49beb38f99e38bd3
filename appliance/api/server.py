"""The server of one box: pages and API on one TLS port, and all that they need.

Owns how the parts are put together, and the tasks that keep them current. One event loop.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance.access.access import Access
from appliance.api.answers import Answers
from appliance.api.app import make_app
from appliance.api.box_facts import BoxFacts, describe_trial
from appliance.api.door import Door
from appliance.api.events import EventLog
from appliance.api.job_view import show_job
from appliance.api.machine_lists import MachineLists, Promise
from appliance.api.pages import Pages
from appliance.api.parts import Parts, Tls
from appliance.api.routes import list_routes
from appliance.api.screen import Screens
from appliance.api.snapshots import Snapshots
from appliance.api.workers import Workers
from appliance.base.background import Background
from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog import answer_file, listing
from appliance.host.host import Host
from appliance.host.trial import Trials
from appliance.jobs.jobs import Jobs
from appliance.jobs.secrets import SecretFiles

PORT = 8443
_THREADS = 32
_NO_SUCH_NETWORK = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOOK_S = 5.0
_KEEP_S = 60.0
IDLE_S = 75.0
_END_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where the server listens, and what the box is called."""

    name: str
    addresses: Sequence[str]
    port: int
    tls: Tls
    context: ssl.SSLContext


class ApiServer:
    """One server; a part of the daemon."""

    def __init__(
        self,
        state: Path,
        jobs: Jobs,
        access: Access,
        clock: Clock,
        place: Place,
        *,
        command: Sequence[str],
        web_folder: Path,
        is_locked: Callable[[], bool],
        has_store: Callable[[], bool],
        name_point: Callable[[str], str],
    ) -> None:
        """`command` is the argument vector of the command on this state.

        `is_locked`, `has_store` and `name_point` may ask the disk: they are called in threads.
        """
        self._state = state
        self._jobs = jobs
        self._access = access
        self._clock = clock
        self._place = place
        self._pages = Pages(web_folder)
        self._is_locked = is_locked
        self._has_store = has_store
        self._name_point = name_point
        self._failed: dict[str, bool] = {}  # machine -> whether its last backup failed
        self._store_stands = (False, True)  # has a store, is locked
        self._points_stamp: tuple[int, ...] = ()
        self.events = EventLog()
        self.workers = Workers(
            lambda words: [*command, *words], SecretFiles(state / "run" / "secrets")
        )
        self.snapshots = Snapshots(self.workers.look, clock, self.events)
        self._background = Background()
        self._is_stopping = False
        self._runner: web.AppRunner | None = None
        self.port = place.port

    # ---- life ----

    async def start(self) -> None:
        """Listen; answers on return. Raises HoldfastError if the port is taken."""
        loop = asyncio.get_running_loop()
        # A disk that hangs must not use up the few threads that Python gives everybody.
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="box"))
        self._answer_file = await asyncio.to_thread(
            answer_file.AnswerFile, self._state / answer_file.FILE_NAME
        )
        self._listing = await asyncio.to_thread(listing.Listing, self._state / listing.FILE_NAME)
        self._machines = MachineLists(
            self._listing,
            self._clock,
            self._list_promises,
            self._describe_vaults,
            self._describe_drills,
            version=lambda: self.snapshots.changes,
        )
        self._store_stands = await asyncio.to_thread(self._look_at_store)
        await self._listen(self._make_app())
        self.snapshots.start()
        self._background.begin(self._pass_on_jobs(), self._watch_store(), self._keep_access())

    async def stop(self) -> None:
        """Answer no more."""
        self._is_stopping = True
        await self._background.end()
        await self.snapshots.close()
        self.events.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for file in (self._answer_file, self._listing):
            file.close()

    def _make_app(self) -> web.Application:
        trials = Trials(Host(), self._clock)
        facts = BoxFacts(
            lambda: self._place.tls.names[0],
            self._clock,
            self._machines,
            self.snapshots,
            count_jobs=self._jobs.counts,
            has_store=lambda: self._store_stands[0],
            is_unlocked=lambda: not self._store_stands[1],
            trial=lambda: describe_trial(trials, self._clock),
        )
        parts = Parts(
            name=self._place.name,
            state=self._state,
            clock=self._clock,
            verbs=self._jobs.verbs,
            jobs=self._jobs,
            access=self._access,
            door=Door(self._access.gate, self._place.tls.names),
            machines=self._machines,
            snapshots=self.snapshots,
            workers=self.workers,
            screens=Screens(self._state),
            tls=self._place.tls,
            events=self.events,
            answers=Answers(self._answer_file, self._clock),
            box=facts.describe,
            look_again=self._look_again,
            has_store=lambda: self._store_stands[0],
            name_point=self._name_point,
            is_stopping=lambda: self._is_stopping,
        )
        return make_app(parts, list_routes(self._jobs.verbs), self._pages)

    async def _listen(self, app: web.Application) -> None:
        runner = make_runner(app)
        await runner.setup()
        self._runner = runner
        for address in self._place.addresses:
            site = web.TCPSite(
                runner, address, self._place.port, ssl_context=self._place.context, backlog=512
            )
            try:
                await site.start()
            except OSError as error:
                if error.errno in _NO_SUCH_NETWORK and runner.addresses:
                    continue  # a kernel without IPv6
                raise HoldfastError(
                    f"{address}:{self._place.port}: {error.strerror}: 'holdfast serve --port N' "
                    "takes another port"
                ) from error
        self.port = int(runner.addresses[0][1])

    # ---- what keeps everything current ----

    async def _pass_on_jobs(self) -> None:
        for job in reversed((await self._jobs.list(limit=1000, verb="backup")).items):
            if job.machine and job.has_ended:
                self._failed[job.machine] = job.state == "failed"
        async with self._jobs.events() as changes:
            async for job in changes:
                shown = show_job(self._jobs.verbs, job)
                self.events.publish("job", f"/api/v1/jobs/{job.id}", shown)
                if job.has_ended:
                    if job.verb == "backup" and job.machine:
                        self._failed[job.machine] = job.state == "failed"
                    self._machines.forget()
                    self.snapshots.tell_verb(job.verb)

    async def _watch_store(self) -> None:
        """Others change the store, too: commands on the box, a key that was unlocked."""
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(OSError, HoldfastError):
                if await asyncio.to_thread(self._look_at_store) != self._store_stands:
                    await self._look_again()
                stamp = await asyncio.to_thread(self._stamp_points)
                if stamp != self._points_stamp:
                    self._points_stamp = stamp
                    self.snapshots.look_again("learn")

    async def _look_again(self) -> None:
        """The store was made, opened or locked."""
        self._store_stands = await asyncio.to_thread(self._look_at_store)
        self.snapshots.look_everywhere()
        self.events.publish("box", "/api/v1/box")

    def _look_at_store(self) -> tuple[bool, bool]:
        return self._has_store(), self._is_locked()

    def _stamp_points(self) -> tuple[int, ...]:
        """Changes when points come or go."""
        root = self._state / "store" / "points"
        try:
            return (
                root.stat().st_mtime_ns,
                *sorted(path.stat().st_mtime_ns for path in root.iterdir()),
            )
        except OSError:
            return ()

    async def _keep_access(self) -> None:
        while True:
            await asyncio.sleep(_KEEP_S)
            with suppress(HoldfastError):
                await asyncio.to_thread(self._access.keep)

    def _list_promises(self) -> dict[str, Promise]:
        """Machine -> what is promised to it, as `machines list` said last."""
        rows = self.snapshots.known("machines list", "machines")["items"]
        known = {row["name"]: row for row in rows}
        return {
            name: _promise(known.get(name, {}), self._failed.get(name, False))
            for name in known.keys() | self._failed.keys()
        }

    def _describe_vaults(self) -> dict[str, list[dict[str, object]]]:
        """Machine -> how far each vault is behind it."""
        found: dict[str, list[dict[str, object]]] = {}
        for vault in self.snapshots.known("vault status", "vaults")["items"]:
            for one in vault["machines"]:
                found.setdefault(one["machine"], []).append(
                    {
                        "name": vault["name"],
                        "behind_s": one["behind_s"],
                        "will_be_within_target_at": one["within_at"],
                    }
                )
        return found

    def _describe_drills(self) -> dict[str, dict[str, object]]:
        """Machine -> its newest drill."""
        return {
            machine["name"]: {
                "id": drill["id"],
                "at": drill["began"],
                "verdict": machine["verdict"],
                "rto_s": machine["rto_s"],
            }
            for drill in self.snapshots.known("drill list", "drills")["items"]
            for machine in drill["machines"]
        }


def make_runner(app: web.Application) -> web.AppRunner:
    """What serves `app`, and waits for no line on which no request comes to its end."""
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_END_S,
        keepalive_timeout=IDLE_S,
    )


def _promise(row: dict[str, Any], has_failed: bool) -> Promise:
    state = row.get("state", "active")
    return Promise(
        state=state if state in ("paused", "retired") else "active",
        policy=row.get("preset") or None,
        next_run_at=row.get("next_run_at"),
        rpo_target_s=row.get("rpo_target_s"),
        has_failed=has_failed,
    )
