"""The watch over disks, arrays and power: a process of its own beside the daemon.

Owns its life: begun once the box runs, begun again when it ended, ended with the daemon. What it
finds it writes to the catalog itself; here it is only heard that there is news. What holds the
watch up, a disk that never answers, holds up nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from appliance.base.background import Background
from appliance.base.errors import HoldfastError
from appliance.base.process import Program

BEGIN_AFTER_S = 10.0
"""The box looks at everything when it starts: the watch waits until that is over."""
AGAIN_S, AGAIN_MAX_S = 5.0, 300.0
_END_S = 5.0
_LINE_MAX_BYTES = 4 << 20
_READ_BYTES = 1 << 16
_NEWS = ("came", "went", "changes")


class HealthWatch:
    """A part of the daemon."""

    def __init__(
        self,
        command: Sequence[str],
        say: Callable[[str], None],
        tell: Callable[[bool], None],
        *,
        begin_after_s: float = BEGIN_AFTER_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """`command` is the command on this state with --json; `tell` is called at each news.

        It hears whether somebody should be told at once: whether anything critical came.
        """
        self._argv = [*command, "health", "--watch"]
        self._say = say
        self._tell = tell
        self._begin_after_s = begin_after_s
        self._again_s = again_s
        self._background = Background()

    async def start(self) -> None:
        """Begin, in a while."""
        self._background.begin(self._keep())

    async def stop(self) -> None:
        """End it, and the probes that it asked disks with."""
        await self._background.end()

    async def _keep(self) -> None:
        await asyncio.sleep(self._begin_after_s)
        loop, said, wait_s = asyncio.get_running_loop(), "", self._again_s
        while True:
            began_s = loop.time()
            try:
                why = await self._run()
            except HoldfastError as error:
                why = str(error)
            if why != said:
                self._say(f"the watch over the disks ended and begins again: {why}")
            said = why
            if loop.time() - began_s > AGAIN_MAX_S:
                wait_s = self._again_s
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_MAX_S)

    async def _run(self) -> str:
        """Listen until it ends; gives why it did."""
        program = await Program.start(self._argv)
        try:
            unread = b""
            while piece := await program.read(_READ_BYTES):
                *lines, unread = (unread + piece).split(b"\n")
                unread = unread[-_LINE_MAX_BYTES:]
                said = [news for line in lines if (news := _read_news(line)) is not None]
                if said:
                    self._tell(any(_is_urgent(news) for news in said))
            # A probe that a disk holds for ever keeps the pipe open.
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await program.wait()
            return program.last_words() or "it said nothing"
        finally:
            await program.close()


def _read_news(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        said = json.loads(line)
        if isinstance(said, dict) and any(said.get(name) for name in _NEWS):
            return said
    return None


def _is_urgent(news: dict[str, Any]) -> bool:
    came = news.get("came")
    found = came if isinstance(came, list) else []
    return any(isinstance(one, dict) and one.get("severity") == "critical" for one in found)
