"""Second backups: only what changed costs anything, and what comes back is the disk as it was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from appliance.backup.disks import BackupResult, DiskBackup, merge_ranges
from appliance.base.clock import SystemClock
from appliance.base.progress import Progress
from appliance.formats.page import EXTENT_BYTES
from appliance.formats.point import Manifest
from appliance.keys.hierarchy import MasterKey
from appliance.sources.disk import DiskSource
from appliance.store.leases import writer_lease
from appliance.store.store import Store
from tests.images import mixed_image

MIB = 1 << 20
DISK_BYTES = 14 * MIB + 12_345
Ranges = list[tuple[int, int]]


class Machine:
    """A disk that changes, and its points."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.store = Store.create(folder / "state", MasterKey(bytes(range(32)), bytes(16)))
        self.path = folder / "disk.raw"
        self.chance = random.Random(seed)
        self.disk = mixed_image(seed, 15)[:DISK_BYTES]

    def back_up(self, base: Manifest | None, changed: Ranges | None = None) -> BackupResult:
        self.path.write_bytes(self.disk)
        source = DiskSource(self.path)
        try:
            with writer_lease(self.store.layout) as lease:
                job = DiskBackup(self.store, SystemClock(), Progress(), "m", [source])
                return job.run(lease, base, None if changed is None else [changed])
        finally:
            source.close()

    def edit(self, edits: int, longest: int) -> Ranges:
        """Overwrite some ranges, some with zeros; gives them."""
        ranges: Ranges = []
        for _ in range(edits):
            length = self.chance.randrange(1, longest)
            at = self.chance.randrange(len(self.disk) - length)
            data = bytes(length) if self.chance.randrange(4) == 0 else self.chance.randbytes(length)
            self.disk[at : at + length] = data
            ranges.append((at, length))
        return merge_ranges(ranges)

    def leaves(self, manifest: Manifest) -> list[tuple[bytes | None, bytes]]:
        """(id of the leaf, extent tag) of every extent."""
        extents = self.store.extent_map(manifest.disks[0])
        entries = [extents.node(0, extent) for extent in range(extents.extents)]
        return [(entry.reference and entry.reference.chunk_id, entry.tag) for entry in entries]

    def content(self, manifest: Manifest) -> bytes:
        reader = self.store.disk_reader(manifest, 0)
        return reader.read(0, reader.size_bytes)


@pytest.fixture
def machine(tmp_path: Path, seed: int) -> Machine:
    return Machine(tmp_path, seed)


@pytest.mark.parametrize("longest", [50, 5_000, 300_000, 6 * MIB])
def test_a_list_of_changes_gives_the_same_point_as_reading_everything(
    machine: Machine, longest: int
) -> None:
    base = machine.back_up(None).manifest
    for _ in range(3):
        ranges = machine.edit(4, longest)
        listed = machine.back_up(base, ranges).manifest
        assert machine.content(listed) == machine.disk
        read = machine.back_up(base).manifest
        assert machine.content(read) == machine.disk
        assert read.new_bytes == 0
        assert machine.leaves(listed) == machine.leaves(read)
        base = listed


def test_a_small_change_reads_little(machine: Machine) -> None:
    made = [machine.back_up(None).manifest]
    rounds = 6
    for _ in range(rounds):
        ranges = machine.edit(3, 4096)
        made.append(machine.back_up(made[-1], ranges).manifest)
    # Of three changed places what lies around each, until a cut of the base is met: half a MiB,
    # seldom one, and once in hundreds of backups more; hence several of them.
    assert sum(one.read_bytes for one in made[1:]) <= rounds * 3 * 16 * 65536
    assert sum(one.new_bytes for one in made[1:]) <= rounds * 3 * 3 * 262144


def test_what_a_scan_finds_unchanged_is_neither_cut_nor_hashed(machine: Machine) -> None:
    base = machine.back_up(None).manifest
    machine.disk[5 * MIB] ^= 1
    result = machine.back_up(base)
    # The chunk with the byte in it, which now and then is cut somewhere else.
    assert 1 <= sum(stats.new_chunks for stats in result.stats) <= 3
    assert sum(stats.known_chunks for stats in result.stats) <= 16
    assert sum(stats.reused_chunks for stats in result.stats) > 0


def test_a_disk_that_grew_or_shrank_is_compared_where_it_overlaps(machine: Machine) -> None:
    base = machine.back_up(None).manifest
    for size_bytes in (DISK_BYTES + 3 * MIB, DISK_BYTES - 5 * MIB, EXTENT_BYTES, 1, 0):
        grown = machine.chance.randbytes(max(size_bytes - len(machine.disk), 0))
        machine.disk = bytearray((machine.disk + grown)[:size_bytes])
        base = machine.back_up(base, []).manifest
        assert machine.content(base) == machine.disk


def test_ranges_that_lie_past_the_end_or_overlap_do_no_harm(machine: Machine) -> None:
    base = machine.back_up(None).manifest
    machine.disk[-1] ^= 1
    machine.disk[0] ^= 1
    made = machine.back_up(base, [(0, 1), (DISK_BYTES - 1, 10 * MIB), (1 << 60, 1)]).manifest
    assert machine.content(made) == machine.disk
