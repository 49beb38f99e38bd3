"""A box whose containers are all in a vault: restore, reads, verification, hydration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.base.progress import Progress
from appliance.formats.point import Manifest
from appliance.formats.vault_names import object_key
from appliance.recovery.restore import Restore
from appliance.recovery.targets import StreamTarget
from appliance.store.collect import Collection
from appliance.store.containers import container_name, list_names
from appliance.store.store import Store
from appliance.store.verify import Verification
from appliance.vault.cache import Cache
from appliance.vault.directory import DirectoryBucket
from appliance.vault.fetching import Source
from appliance.vault.hydration import Hydration
from appliance.vault.second_copy import VaultCopy
from tests.crash.operations import back_up
from tests.images import edited, mixed_image, write_image
from tests.store.stores import KEYS, make_store

SIZE_MIB = 24


class Site:
    """Two points of a machine, whose containers went to a vault."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = folder / "state"
        make_store(self.state)
        monkeypatch.setattr("tests.crash.operations.open_store", lambda state: Store(state, KEYS))
        self.images = [mixed_image(5, SIZE_MIB)]
        self.images.append(edited(6, self.images[0]))
        self.manifests: list[Manifest] = []
        for number, image in enumerate(self.images):
            path = write_image(folder / f"{number}.raw", image)
            base = self.manifests[-1].name if self.manifests else None
            self.manifests.append(back_up(self.state, path, "web1", base=base))
        self.vault = folder / "vault"
        for path in (self.state / "store" / "containers").glob("*/*"):
            name = container_name(path.name)
            assert name is not None
            place = self.vault / object_key("containers", name)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
        self.copies: list[VaultCopy] = []

    async def _open(self) -> list[Source]:
        return [Source("v", DirectoryBucket(self.vault))]

    def open(self) -> tuple[Store, VaultCopy]:
        copy = VaultCopy(self._open, Cache(self.state / "cache" / "containers", 1 << 30))
        self.copies.append(copy)
        return Store(self.state, KEYS, None, copy), copy

    def restored(self, store: Store, number: int, target: Path) -> bytes:
        manifest = self.manifests[number]
        with store.lease("reader") as lease, target.open("wb") as stream:
            disk = store.disk_reader(store.open_point(manifest.name, lease), 0)
            result = Restore(disk, StreamTarget(stream), Progress()).run()
            assert result.damaged == ()
        return target.read_bytes()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path, monkeypatch)
    yield made
    for copy in made.copies:
        copy.close()


def test_whole_disks_are_restored_and_nothing_is_left_in_the_store(
    site: Site, tmp_path: Path
) -> None:
    store, _ = site.open()
    for number, image in enumerate(site.images):
        assert site.restored(store, number, tmp_path / "out") == image
    assert list(list_names(store.layout)) == []


def test_small_reads_anywhere_are_right(site: Site) -> None:
    store, _ = site.open()
    image = site.images[1]
    with store.lease("reader") as lease:
        disk = store.disk_reader(store.open_point(site.manifests[1].name, lease), 0)
        for offset in range(0, len(image), 1_700_000):
            assert disk.read(offset, 5000) == image[offset : offset + 5000]
        disk.close()


def test_points_in_the_vault_are_neither_hurt_nor_collected(site: Site) -> None:
    store, _ = site.open()
    report = Verification(store, Progress(), "structure").run()
    assert report.is_sound
    assert report.assessment is not None
    assert len(report.assessment.elsewhere) > 0
    collected = Collection(store, SystemClock(), Progress()).run()
    assert collected.freed_containers == 0


def test_a_point_that_was_pulled_needs_no_vault(site: Site, tmp_path: Path) -> None:
    store, copy = site.open()
    with store.lease("reader") as lease:
        manifest = store.open_point(site.manifests[0].name, lease)
        first = Hydration(store, copy, Progress()).pull(manifest)
        again = Hydration(store, copy, Progress()).pull(manifest)
    assert first.containers > 0
    assert first.lost == 0
    assert (again.containers, again.lost) == (0, 0)
    alone = Store(site.state, KEYS)
    assert site.restored(alone, 0, tmp_path / "out") == site.images[0]
    assert (
        Verification(alone, Progress(), "full")
        .run(alone.points.file_of(site.manifests[0].name))
        .is_sound
    )


def test_pulling_says_what_no_vault_could_give(site: Site) -> None:
    victim = max(site.vault.glob("containers/*/*"), key=lambda path: path.stat().st_size)
    victim.unlink()
    store, copy = site.open()
    with store.lease("reader") as lease:
        manifest = store.open_point(site.manifests[1].name, lease)
        pulled = Hydration(store, copy, Progress()).pull(manifest)
    assert pulled.lost == 1
    assert not Verification(store, Progress(), "structure").run().is_sound
