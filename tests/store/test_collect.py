"""Collection that copies forward: what is alive stays, what is not goes, and it converges."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from appliance.backup.disks import DiskBackup
from appliance.base.clock import SystemClock
from appliance.base.progress import Progress
from appliance.formats.page import EXTENT_BYTES
from appliance.formats.point import Manifest
from appliance.keys.hierarchy import MasterKey
from appliance.native import KIND_DATA
from appliance.sources.disk import DiskSource
from appliance.store import collect
from appliance.store.collect import Collected, Collection, Rewriting
from appliance.store.condemned import read_condemned
from appliance.store.containers import list_names
from appliance.store.layout import Layout
from appliance.store.leases import writer_lease
from appliance.store.rewrite import Rewrite, Share
from appliance.store.store import Store

MIB = 1 << 20


class Shop:
    """A store whose points share containers."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.state = folder / "state"
        Store.create(self.state, self.keys)
        self.path = folder / "disk.raw"
        self.chance = random.Random(seed)
        self.kept: dict[Manifest, bytes] = {}

    keys = MasterKey(bytes(range(32)), bytes(16))

    def store(self) -> Store:
        """As a new process opens it."""
        return Store(self.state, self.keys)

    def back_up(self, machine: str, disk: bytes) -> Manifest:
        self.path.write_bytes(disk)
        store, source = self.store(), DiskSource(self.path)
        try:
            with writer_lease(store.layout) as lease:
                job = DiskBackup(store, SystemClock(), Progress(), machine, [source])
                manifest = job.run(lease, None, None).manifest
        finally:
            source.close()
        self.kept[manifest] = disk
        return manifest

    def forget(self, manifest: Manifest) -> None:
        self.store().points.forget(manifest.name)
        del self.kept[manifest]

    def collect(self, rewriting: Rewriting = collect.DEFAULT_REWRITING) -> Collected:
        return Collection(self.store(), SystemClock(), Progress(), rewriting).run()

    def check(self) -> None:
        """Every point that was not forgotten is what was backed up."""
        store = self.store()
        for manifest, disk in self.kept.items():
            reader = store.disk_reader(manifest, 0)
            assert reader.read(0, reader.size_bytes) == disk

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.store().layout.containers.glob("*/*"))

    def containers(self) -> set[bytes]:
        return set(list_names(self.store().layout))


@pytest.fixture
def shop(tmp_path: Path, seed: int) -> Shop:
    return Shop(tmp_path, seed)


def make_thin(shop: Shop) -> tuple[Manifest, Manifest]:
    """Two points of random bytes; the second needs a quarter of what the first one stored."""
    disk = shop.chance.randbytes(4 * EXTENT_BYTES)
    return shop.back_up("a", disk), shop.back_up("b", disk[:EXTENT_BYTES])


def test_a_thin_container_is_copied_forward_and_freed(shop: Shop) -> None:
    first, _ = make_thin(shop)
    before = shop.size_bytes()
    shop.forget(first)
    done = shop.collect()
    assert done.waiting_bytes == 0
    assert shop.size_bytes() == before - done.freed_bytes + done.copied_bytes
    assert shop.size_bytes() < EXTENT_BYTES + MIB
    shop.check()
    assert shop.collect() == Collected(0, 0, 0), "it does not converge"
    shop.check()


def test_what_is_known_to_be_copied_is_not_stored_again_by_the_next_backup(shop: Shop) -> None:
    first, second = make_thin(shop)
    shop.forget(first)
    shop.collect()
    assert shop.back_up("c", shop.kept[second]).new_bytes == 0
    shop.check()


def test_a_container_above_the_threshold_stays(shop: Shop) -> None:
    first, _ = make_thin(shop)
    shop.forget(first)
    before = shop.containers()
    assert shop.collect(Rewriting(thin_percent=10)).copied_bytes == 0
    assert shop.containers() <= before
    shop.check()


def test_a_point_made_while_it_copies_keeps_what_it_counted_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refers to chunks of the thin container that were dead when marking began."""
    first, _ = make_thin(shop)
    disk = shop.kept[first]
    shop.forget(first)
    run = Rewrite.run

    def run_beside_a_backup(self: Rewrite, shares: list[Share]) -> object:
        copied = run(self, shares)
        shop.back_up("late", disk)
        return copied

    monkeypatch.setattr(Rewrite, "run", run_beside_a_backup)
    shop.collect()
    shop.check()
    monkeypatch.undo()
    shop.collect()
    shop.check()
    assert shop.collect() == Collected(0, 0, 0)


def test_a_writer_that_came_before_is_waited_for_and_one_that_came_after_is_not(
    shop: Shop,
) -> None:
    first, _ = make_thin(shop)
    shop.forget(first)
    layout = shop.store().layout
    with writer_lease(layout):
        waiting = shop.collect()
        assert waiting.freed_containers == 0
        assert waiting.waiting_bytes > 0
        again = shop.collect()
        assert again.copied_bytes == 0, "what waits was copied once more"
    with writer_lease(layout):
        assert shop.collect().freed_bytes == waiting.waiting_bytes
    assert read_condemned(layout) == {}
    shop.check()


def test_a_mount_with_old_hints_reads_on(shop: Shop) -> None:
    first, second = make_thin(shop)
    store = shop.store()
    reader = store.disk_reader(second, 0)
    reader.read(0, 10)
    shop.forget(first)
    shop.collect()
    assert reader.read(0, reader.size_bytes) == shop.kept[second]


def test_rounds_bound_what_is_there_twice(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "ROUND_BYTES", 1)
    disks = [shop.chance.randbytes(2 * EXTENT_BYTES) for _ in range(3)]
    points = [shop.back_up(f"m{number}", disk) for number, disk in enumerate(disks)]
    for number, disk in enumerate(disks):
        shop.back_up(f"n{number}", disk[: EXTENT_BYTES // 2])
        shop.forget(points[number])
    shop.collect()
    shop.check()
    assert shop.collect() == Collected(0, 0, 0)
    assert shop.size_bytes() < 3 * (EXTENT_BYTES // 2) + MIB


def test_a_damaged_chunk_keeps_its_container(shop: Shop) -> None:
    first, second = make_thin(shop)
    shop.forget(first)
    store = shop.store()
    leaf = store.extent_map(second.disks[0]).leaf(0)
    assert leaf.pieces[0].reference is not None
    name = leaf.pieces[0].reference.container
    assert name is not None
    path = store.layout.container(name)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    shop.collect()
    assert path.exists()


def test_weak_containers_are_rewritten_at_a_higher_level_once(shop: Shop) -> None:
    sources = sorted(Path(os.__file__).parent.glob("*.py"))
    shop.back_up("a", b"".join(path.read_bytes() for path in sources)[: 2 * EXTENT_BYTES])
    before = shop.size_bytes()
    rewriting = Rewriting(below_level=9, level=9)
    done = shop.collect(rewriting)
    assert done.copied_bytes < done.freed_bytes
    assert shop.size_bytes() < before
    shop.check()
    store = shop.store()
    opened = [store.containers.get(name).directory for name in shop.containers()]
    assert {one.level for one in opened if one.kind == KIND_DATA} == {9}
    assert shop.collect(rewriting) == Collected(0, 0, 0)
    shop.check()


def test_a_second_copy_that_is_damaged_is_no_reason_to_free_the_sound_one(shop: Shop) -> None:
    """The same chunks twice: what the index names is damaged, what is to be freed is sound."""
    first, second = make_thin(shop)
    shutil.rmtree(shop.store().layout.index)
    aside = shop.state / "aside"
    data = shop.store().extent_map(second.disks[0]).leaf(0).pieces[0].reference
    assert data is not None
    assert data.container is not None
    sound = shop.store().layout.container(data.container)
    sound.rename(aside)
    copy = shop.back_up("copy", shop.kept[second])  # stores everything again
    aside.rename(sound)
    other = shop.store().extent_map(copy.disks[0]).leaf(0).pieces[0].reference
    assert other is not None
    assert other.container is not None
    with shop.store().layout.container(other.container).open("r+b") as file:
        file.seek(100)
        file.write(b"damaged!")
    shop.forget(first)
    shop.collect()
    assert sound.exists()
    reader = shop.store().disk_reader(second, 0)
    assert reader.read(0, reader.size_bytes) == shop.kept[second]


def test_without_room_for_copies_only_whole_containers_are_freed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = make_thin(shop)
    shop.forget(first)
    monkeypatch.setattr(Layout, "has_room", lambda *_: False)
    assert shop.collect().copied_bytes == 0
    shop.check()


def test_what_waits_from_an_earlier_round_stays_condemned(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = [shop.chance.randbytes(2 * EXTENT_BYTES) for _ in range(3)]
    points = [shop.back_up(f"m{number}", disk) for number, disk in enumerate(disks)]
    for number, disk in enumerate(disks):
        shop.back_up(f"n{number}", disk[: EXTENT_BYTES // 2])
        shop.forget(points[number])
    layout = shop.store().layout
    monkeypatch.setattr(collect, "rounds", lambda due: [[share] for share in due])
    with writer_lease(layout):
        shop.collect()
        assert len(read_condemned(layout)) >= 3
    shop.collect()
    shop.check()
    assert shop.collect() == Collected(0, 0, 0)
    assert shop.size_bytes() < 3 * (EXTENT_BYTES // 2) + MIB
