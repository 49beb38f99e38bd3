"""What is fetched in the background leaves the line to whoever waits, and comes to its end."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.formats.vault_names import object_key
from appliance.vault.cache import BLOCK_BYTES, Cache, CachedFile
from appliance.vault.directory import DirectoryBucket
from appliance.vault.fetching import Fetching, Source
from tests.clocks import HandClock
from tests.vault.conftest import Run

BLOCKS = 6
NAME = hashlib.sha256(bytes(BLOCKS * BLOCK_BYTES)).digest()
KEY = object_key("containers", NAME)
SECOND = timedelta(seconds=1)


class Line:
    """A container in a vault, and whoever reads it by a clock of the test's own."""

    def __init__(self, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = HandClock(datetime(2026, 11, 21, 9, 30, tzinfo=UTC))
        (folder / "vault").mkdir()
        self.bucket = DirectoryBucket(folder / "vault", self.clock)
        run(self.bucket.put(KEY, bytes(BLOCKS * BLOCK_BYTES), NAME))
        self.folder = folder / "cache"
        self.cache = Cache(self.folder, 64 << 20)
        self.fetching = Fetching([Source("vault", self.bucket)], self.cache, self.clock)
        self.asked: list[int] = []
        get = self.bucket.get

        async def noted(name: str, **range_: Any) -> Any:
            self.asked.append(range_.get("offset", 0) // BLOCK_BYTES)
            return await get(name, **range_)

        monkeypatch.setattr(self.bucket, "get", noted)

    def file(self) -> CachedFile:
        file = self.cache.open(NAME)
        file.set_size(BLOCKS * BLOCK_BYTES)
        return file

    def guest_reads(self) -> None:
        """A guest, in another process, waits for bytes now."""
        self.cache.note_foreground()
        now_s = self.clock.now().timestamp()
        os.utime(self.folder / "foreground", (now_s, now_s))


@pytest.fixture
def line(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(tmp_path, run, monkeypatch)


def test_it_yields_to_a_guest_and_goes_on_when_that_is_quiet(line: Line, run: Run) -> None:
    async def work() -> None:
        file = line.file()
        line.guest_reads()
        idle = asyncio.create_task(line.fetching.fetch_ahead(file, KEY, range(3), "idle"))
        await asyncio.sleep(0.3)
        assert line.asked == [], "a guest has just read"
        await line.fetching.need(file, KEY, [BLOCKS - 1])
        assert line.asked == [BLOCKS - 1], "who waits is served at once"
        line.guest_reads()
        await asyncio.sleep(0.3)
        assert not idle.done()
        line.clock.go_by(2 * SECOND)
        await asyncio.wait_for(idle, 60)
        assert line.asked == [BLOCKS - 1, 0]
        assert not file.absent(range(3))

    run(work())


def test_a_guest_that_never_rests_does_not_stop_it_for_ever(line: Line, run: Run) -> None:
    async def work() -> None:
        file = line.file()
        line.guest_reads()
        idle = asyncio.create_task(line.fetching.fetch_ahead(file, KEY, [0], "idle"))
        for _ in range(60):
            await asyncio.sleep(0.01)
            line.clock.go_by(SECOND / 2)
            line.guest_reads()
        await asyncio.wait_for(idle, 60)
        assert line.asked == [0]

    run(work())
