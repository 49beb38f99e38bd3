"""The daemon and the release that it is: shows that it is ready, and makes way for the next one.

Owns when a release on trial has proved itself, and that the daemon ends once another release is
current, so that whoever started it (systemd) starts that one. In a checkout it does nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance import __version__
from appliance.access.access import Access
from appliance.access.audit import DONE, FAILED
from appliance.base.background import Background
from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError
from appliance.catalog.access_file import FILE_NAME
from appliance.formats.update import Event
from appliance.jobs.jobs import Jobs
from appliance.updates.releases import Releases, find_root
from appliance.updates.trials import settle_trial

PROVE_S = 10.0
"""A release has to stay ready for so long: one that falls right after it has not passed."""
_LOOK_S = 1.0
_WAIT_MAX_S = 30.0
_WHO = "box"


class ReleaseWatch:
    """A part of the daemon; `begin` is to be called when the daemon is ready."""

    def __init__(
        self, state: Path, clock: Clock, say: Callable[[str], None], *, prove_s: float = PROVE_S
    ) -> None:
        root = find_root()
        self.jobs: Jobs | None = None
        self._releases = None if root is None else Releases(root, clock)
        self._state = state
        self._clock = clock
        self._say = say
        self._prove_s = prove_s
        self._background = Background()

    async def start(self) -> None:
        """Nothing yet: whether it is ready is not known."""

    def begin(self) -> None:
        """The daemon is ready: from now on the time counts."""
        if self._releases is not None:
            self._background.begin(self._live(self._releases))

    async def stop(self) -> None:
        """Look no more."""
        await self._background.end()

    async def _live(self, releases: Releases) -> None:
        await asyncio.sleep(self._prove_s)
        while not await self._settle(releases):
            await asyncio.sleep(_LOOK_S)
        while await asyncio.to_thread(releases.current) == __version__:
            await asyncio.sleep(_LOOK_S)
        await self._await_update()
        self._say(f"{__version__} ends: {releases.current()} is what runs next")
        os.kill(os.getpid(), signal.SIGTERM)

    async def _settle(self, releases: Releases) -> bool:
        """Whether the trial, if there was one, is judged."""
        try:
            event = await asyncio.to_thread(settle_trial, releases, __version__)
        except (HoldfastError, OSError):
            return False  # somebody installs, or the disk is full: the kernel's clock goes on
        if event is not None:
            await asyncio.to_thread(self._tell, event)
        return True

    def _tell(self, event: Event) -> None:
        """In the log of who did what, and in that of the daemon."""
        has_failed = event.outcome == "failed"
        detail = f"from {event.previous}"
        if has_failed:
            detail = f"it did not become ready: {event.previous} runs again"
        self._say(f"release {event.version}: {detail}")
        if not (self._state / FILE_NAME).exists():
            return
        with suppress(HoldfastError), Access(self._state, self._clock) as access:
            outcome = FAILED if has_failed else DONE
            access.audit.note(_WHO, "update", target=event.version, outcome=outcome, detail=detail)

    async def _await_update(self) -> None:
        """The job that installed it says how it ended before the daemon goes."""
        assert self.jobs is not None
        with suppress(TimeoutError, HoldfastError):
            async with asyncio.timeout(_WAIT_MAX_S):
                while any(
                    job.verb.startswith("update ")
                    for job in (await self.jobs.list(state="running", limit=1000)).items
                ):
                    await asyncio.sleep(_LOOK_S / 5)
