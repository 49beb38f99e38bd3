"""The daemon has the disks watched: it hears news, begins a watch again, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.daemon.health_watch import HealthWatch
from tests.command import Holdfast

PATIENCE_S = 90.0
SAYS = """
import json, os, sys, time
path, news = sys.argv[1], json.loads(sys.argv[2])
with open(path, "a") as file:
    print(os.getpid(), file=file)
for line in news:
    print(json.dumps(line), flush=True)
print("that was all", file=sys.stderr, flush=True)
time.sleep(float(sys.argv[3]))
"""
NEWS = '[{"came": [1], "went": [], "changes": []}]'
CRITICAL = '[{"came": [{"severity": "warning"}, {"severity": "critical"}], "went": []}]'
QUIET = '[{"came": [], "went": [], "changes": []}, 7]'


class Heard:
    """What the daemon hears of a watch that a test plays."""

    def __init__(self, pids: Path, news: str, lasts_s: float) -> None:
        self.pids = pids
        self.told: list[bool] = []
        self.said: list[str] = []
        argv = [sys.executable, "-c", SAYS, str(pids), news, str(lasts_s)]
        self.watch = HealthWatch(argv, self.said.append, self.tell, begin_after_s=0, again_s=0.01)

    def tell(self, is_urgent: bool) -> None:
        self.told.append(is_urgent)

    def starts(self) -> list[int]:
        return [int(pid) for pid in self.pids.read_text().split()] if self.pids.exists() else []

    def live_until(self, is_over: Callable[[], object]) -> None:
        async def live() -> None:
            await self.watch.start()
            async with asyncio.timeout(PATIENCE_S):
                while not is_over():
                    await asyncio.sleep(0.01)
            await self.watch.stop()

        asyncio.run(live())


def test_news_are_passed_on_and_the_watch_ends_with_the_daemon(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "pids", NEWS, 600)
    heard.live_until(lambda: heard.told)
    (pid,) = heard.starts()
    assert not Path(f"/proc/{pid}").exists()
    assert heard.said == []
    assert heard.told == [False]


def test_that_something_critical_came_is_passed_on_too(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "pids", CRITICAL, 600)
    heard.live_until(lambda: heard.told)
    assert heard.told == [True]


def test_a_watch_that_ends_is_begun_again_and_said_once(tmp_path: Path) -> None:
    heard = Heard(tmp_path / "pids", QUIET, 0)
    heard.live_until(lambda: len(heard.starts()) > 2)
    assert heard.told == []
    assert heard.said == ["the watch over the disks ended and begins again: that was all"]


def test_a_watch_that_nobody_listens_to_ends(holdfast: Holdfast) -> None:
    watch = holdfast.start("--json", "health", "--watch")
    assert watch.stdout is not None
    assert watch.read_line().startswith(b"{")
    os.kill(watch.pid, 0)
    watch.stdout.close()  # as when the daemon was killed
    assert watch.wait(PATIENCE_S) != 0
