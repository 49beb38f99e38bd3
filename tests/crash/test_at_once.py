"""Several operations on one store at the same time."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from appliance.backup.disks import DiskBackup
from appliance.base.clock import SystemClock
from appliance.base.progress import Progress, Unit
from appliance.formats.point import Manifest
from appliance.keys import keyring
from appliance.sources.disk import DiskSource
from appliance.store.collect import Collection
from appliance.store.leases import writer_lease
from appliance.store.store import Store
from appliance.store.verify import Verification
from tests.command import Holdfast
from tests.images import edited, mixed_image, write_image


def open_store(state: Path) -> Store:
    return Store(state, keyring.load_master_key(state, None))


def restore(holdfast: Holdfast, name: str) -> bytes:
    return holdfast("restore", name, "-", expect=0).stdout


def test_four_backups_at_once(tmp_path: Path, holdfast: Holdfast, seed: int) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    first = mixed_image(seed, 24)
    images = [write_image(tmp_path / "0.raw", first)]
    images += [
        write_image(tmp_path / f"{number}.raw", edited(seed + number, first))
        for number in range(1, 4)
    ]
    running = [
        holdfast.start(
            "--json", "backup", image, "--machine", "same" if number < 2 else f"{number}"
        )
        for number, image in enumerate(images)
    ]
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode == 0
    listed = holdfast("--json", "points", expect=0).json()["points"]
    assert len({point["name"] for point in listed}) == 4
    contents = {restore(holdfast, point["name"]) for point in listed}
    assert contents == {image.read_bytes() for image in images}


def test_backups_beside_forget_and_collect(tmp_path: Path, holdfast: Holdfast, seed: int) -> None:
    """Backups keep finding chunks of points that are being forgotten and collected."""
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    chooser = random.Random(seed)
    base = mixed_image(seed, 16)
    stop = threading.Event()

    def collect_on() -> None:
        while not stop.is_set():
            holdfast("collect", expect=0)

    collector = threading.Thread(target=collect_on)
    collector.start()
    kept: dict[str, bytes] = {}
    try:
        for number in range(8):
            image = edited(chooser.randrange(1 << 30), base, edits=4)
            path = write_image(tmp_path / "disk.raw", image)
            made = holdfast("--json", "backup", path, "--machine", f"m{number % 2}", expect=0)
            kept[made.json()["name"]] = bytes(image)
            if len(kept) > 1:
                oldest = next(iter(kept))
                holdfast("forget", oldest, "--now", expect=0)
                del kept[oldest]
    finally:
        stop.set()
        collector.join()
    assert holdfast("--json", "verify", expect=0).json()["sound"] is True
    for name, content in kept.items():
        assert restore(holdfast, name) == content


def back_up(store: Store, path: Path, machine: str, pause: Progress | None = None) -> Manifest:
    source = DiskSource(path)
    with writer_lease(store.layout) as lease:
        job = DiskBackup(store, SystemClock(), pause or Progress(), machine, [source])
        return job.run(lease, None, None).manifest


class PausedBeforeCommit(Progress):
    """Lets something else happen after the last look-up and before the point is written."""

    def __init__(self, meanwhile: threading.Event, go_on: threading.Event) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self._go_on = go_on

    def phase(
        self, name: str, total: int | None = None, unit: Unit = "bytes", *, about: str = ""
    ) -> None:
        super().phase(name, total, unit, about=about)
        if name == "writing the point":
            self._meanwhile.set()
            assert self._go_on.wait(300)


def test_a_backup_rescues_what_it_counted_on(
    tmp_path: Path, state: Path, holdfast: Holdfast, seed: int
) -> None:
    """Look-ups hit a point's chunks; the point is forgotten and collected before the commit."""
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = mixed_image(seed, 8)
    path = write_image(tmp_path / "disk.raw", image)
    store = open_store(state)
    old = back_up(store, path, "old")
    meanwhile, go_on = threading.Event(), threading.Event()
    made: list[Manifest] = []
    pause = PausedBeforeCommit(meanwhile, go_on)
    worker = threading.Thread(target=lambda: made.append(back_up(store, path, "new", pause)))
    worker.start()
    assert meanwhile.wait(300)
    other = open_store(state)
    other.points.forget(old.name)
    collected = Collection(other, SystemClock(), Progress()).run()
    assert collected.freed_bytes == 0
    assert collected.waiting_bytes > 0
    go_on.set()
    worker.join(300)
    assert len(made) == 1
    assert made[0].new_bytes == 0, "the backup was meant to count on the old chunks"
    again = Collection(open_store(state), SystemClock(), Progress()).run()
    assert again.waiting_bytes == 0
    assert Verification(open_store(state), Progress(), "full").run().is_sound
    assert restore(holdfast, str(made[0].name)) == bytes(image)


def test_a_backup_after_the_condemnation_stores_anew(
    tmp_path: Path, state: Path, holdfast: Holdfast, seed: int
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = mixed_image(seed, 8)
    path = write_image(tmp_path / "disk.raw", image)
    store = open_store(state)
    old = back_up(store, path, "old")
    with writer_lease(store.layout):  # somebody else writes, so nothing is unlinked
        store.points.forget(old.name)
        assert Collection(store, SystemClock(), Progress()).run().waiting_bytes > 0
        new = back_up(open_store(state), path, "new")
        assert new.new_bytes > 0
    assert Collection(open_store(state), SystemClock(), Progress()).run().freed_bytes > 0
    assert restore(holdfast, str(new.name)) == bytes(image)
    assert Verification(open_store(state), Progress(), "full").run().is_sound


def test_a_pinned_point_survives_forget_and_collect(
    tmp_path: Path, state: Path, holdfast: Holdfast, seed: int
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = mixed_image(seed, 8)
    made = back_up(open_store(state), write_image(tmp_path / "disk.raw", image), "m")
    store = open_store(state)
    with store.lease("reader") as lease:
        manifest = store.open_point(made.name, lease)
        store.points.forget(made.name)
        assert Collection(open_store(state), SystemClock(), Progress()).run().freed_bytes == 0
        disk = store.disk_reader(manifest, 0)
        assert disk.read(0, len(image)) == bytes(image)
    assert Collection(open_store(state), SystemClock(), Progress()).run().freed_bytes > 0
    assert not list((state / "store" / "trash").iterdir())


def test_the_second_collection_is_told_to_wait(
    tmp_path: Path, state: Path, holdfast: Holdfast
) -> None:
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    from appliance.base.locks import FileLock

    with FileLock(state / "store" / "locks" / "collect"):
        assert holdfast("collect").code == 6
