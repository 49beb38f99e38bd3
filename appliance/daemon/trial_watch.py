"""Addresses on trial go back in time, also when the command that began the trial was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.base.background import Background
from appliance.base.errors import HoldfastError
from appliance.host.trial import Trials

_LOOK_S = 2.0


class TrialWatch:
    """A part of the daemon."""

    def __init__(self, trials: Trials, say: Callable[[str], None]) -> None:
        self._trials = trials
        self._say = say
        self._background = Background()

    async def start(self) -> None:
        """Begin."""
        self._background.begin(self._keep())

    async def stop(self) -> None:
        """Look no more: the next daemon does."""
        await self._background.end()

    async def _keep(self) -> None:
        said = ""
        while True:
            try:
                undone = await asyncio.to_thread(self._trials.undo_late)
                if undone is not None:
                    self._say(f"nobody kept the new addresses of {undone.port}: it is as it was")
            except (HoldfastError, OSError) as error:
                if str(error) != said:
                    self._say(f"addresses on trial are still there: {error}")
                said = str(error)
            await asyncio.sleep(_LOOK_S)
