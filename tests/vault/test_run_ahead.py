"""Reading a part of a disk that only a vault has, as a guest does through a mount or NBD."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.base.clock import SystemClock
from appliance.formats.names import PointName
from appliance.keys.keyring import load_master_key
from appliance.store.disk_reader import DiskReader
from appliance.store.run_ahead import RunAhead
from appliance.store.store import Store
from appliance.vault.directory import DirectoryBucket
from appliance.vault.reading import VaultReading
from tests.vault.office import MIB, Office

DEADLINE_S = 120.0
DISK_MIB = 64
READ = 128 << 10  # as large as FUSE and guests ask for
KIB4 = 4 << 10


class Far(Office):
    """A box whose disk of random bytes is in a vault, and others that were opened from there."""

    def __init__(self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, seed)
        self.image = random.Random(seed).randbytes(DISK_MIB * MIB)
        self.name = self.back_up(image=self.image)
        self.add_vault()
        self.sync()
        self.fetched_bytes = 0
        get = DirectoryBucket.get

        async def counted(bucket: DirectoryBucket, name: str, **range_: Any) -> Any:
            found = await get(bucket, name, **range_)
            self.fetched_bytes += len(found.data)
            return found

        monkeypatch.setattr(DirectoryBucket, "get", counted)
        self.readings: list[VaultReading] = []

    def reader(self, name: str) -> DiskReader:
        """The disk, read by an empty box."""
        state = self.open(name).state
        master = load_master_key(state, None)
        self.readings.append(VaultReading(state, master, SystemClock()))
        store = Store(state, master, SystemClock(), self.readings[-1].copy)
        manifest = store.points.read(store.points.file_of(PointName.parse(self.name)))
        self.fetched_bytes = 0
        return store.disk_reader(manifest, 0)

    def wait_until_quiet(self) -> int:
        """Bytes fetched when nothing is on its way any more."""
        fetching = self.readings[-1].copy._fetching
        deadline_s, quiet = time.monotonic() + DEADLINE_S, 0
        while quiet < 3:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
            is_busy = fetching is not None and (
                fetching._background or fetching._under_way or fetching._expected
            )
            quiet = 0 if is_busy else quiet + 1
        return self.fetched_bytes

    def check(self, reader: DiskReader, offset: int, length: int) -> None:  # type: ignore[override]
        assert reader.read(offset, length) == self.image[offset : offset + length]


@pytest.fixture
def far(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    made = Far(tmp_path, seed, monkeypatch)
    yield made
    for reading in made.readings:
        reading.copy.close()
    made.close()


def test_what_is_read_in_order_is_there_before_it_is_asked_for(far: Far) -> None:
    reader = far.reader("other")
    half = DISK_MIB // 2 * MIB
    for offset in range(0, half, READ):
        far.check(reader, offset, READ)
    # Half as far again as was read, at least, and nobody asked.
    deadline_s = time.monotonic() + DEADLINE_S
    while far.fetched_bytes < half * 3 // 2 - 2 * MIB:
        assert time.monotonic() < deadline_s, f"{far.fetched_bytes} bytes were fetched"
        time.sleep(0.01)
    far.wait_until_quiet()
    for offset in range(half, DISK_MIB * MIB, READ):
        far.check(reader, offset, READ)
    reader.close()
    # Only the first block of a container may come to several who ask before its size is known.
    assert far.wait_until_quiet() <= far.size_there("containers") + 6 * MIB, "each byte once"


def test_random_reads_fetch_no_byte_more(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    # What follows on a block is fetched along with it, or not if it came already: that is chance.
    monkeypatch.setattr("appliance.vault.fetching._AHEAD_BLOCKS", 0)
    chance = random.Random(far.seed)
    offsets = [chance.randrange(0, DISK_MIB * MIB - READ) for _ in range(40)]

    def read_all(name: str) -> int:
        reader = far.reader(name)
        for offset in offsets:
            far.check(reader, offset, chance.choice((KIB4, READ)))
        reader.close()
        return far.wait_until_quiet()

    state = chance.getstate()
    with_it = read_all("with")
    monkeypatch.setattr(RunAhead, "note_read", lambda *_: None)
    chance.setstate(state)
    assert read_all("without") == with_it < DISK_MIB * MIB
