"""Backup, forget, collect, verify and readers, stopped on purpose where they could hurt each other.

Every test ends with the same question: does everything that was promised restore bit for bit?
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from pathlib import Path

import pytest

from appliance.base.errors import BusyError
from appliance.formats.names import PointName
from appliance.store import chunk_index
from appliance.store.chunk_index import ChunkIndex
from appliance.store.collect import Collection
from appliance.store.points import Points
from appliance.store.verify import Verification
from tests.command import Holdfast
from tests.crash.gates import gate_after, gate_before
from tests.crash.operations import (
    StoppedClock,
    Task,
    back_up,
    collect,
    container_files,
    content,
    forget,
    open_store,
    settle_index,
    verify,
)
from tests.images import mixed_image, write_image


class Scene:
    """A store and two images that share nothing."""

    def __init__(self, folder: Path, state: Path, seed: int) -> None:
        self.state = state
        self.images = [mixed_image(seed + number, 8) for number in range(2)]
        self.paths = [
            write_image(folder / f"{number}.raw", image) for number, image in enumerate(self.images)
        ]
        Holdfast(state)("init", "--recovery-out", folder / "key", expect=0)

    def back_up(self, number: int, machine: str, base: PointName | None = None) -> PointName:
        return back_up(self.state, self.paths[number], machine, base=base).name

    def leave_garbage(self, number: int) -> None:
        """The chunks of an image are in the store, and no point needs them."""
        forget(self.state, self.back_up(number, "garbage"))

    def check(self, points: dict[PointName, int]) -> None:
        for name, number in points.items():
            assert content(self.state, name) == self.images[number], f"{name} is lost"
        report = verify(self.state)
        assert report.is_sound, report
        assert set(report.assessment.names if report.assessment else []) == {
            str(name) for name in points
        }


@pytest.fixture
def scene(tmp_path: Path, state: Path, seed: int) -> Scene:
    return Scene(tmp_path, state, seed)


# ---- a backup beside a collection ---------------------------------------------------------------


def test_what_is_condemned_before_the_commit_is_rescued(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.leave_garbage(0)
    committing = gate_before(monkeypatch, Points, "commit")
    backup = Task(lambda: scene.back_up(0, "new"))
    committing.wait()
    unlinking = gate_before(monkeypatch, Collection, "_unlink")
    collection = Task(lambda: collect(scene.state))
    unlinking.wait()  # the list is durable, the backup still counts on what it names
    committing.open()
    name = backup.result()  # and ends before the collection looks for writers
    unlinking.open()
    collection.result()
    scene.check({name: 0})
    assert collect(scene.state).waiting_bytes == 0
    scene.check({name: 0})


def test_a_backup_that_began_before_the_condemnation_holds_the_unlinking_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.leave_garbage(0)
    committing = gate_before(monkeypatch, Points, "commit")
    backup = Task(lambda: scene.back_up(0, "new"))
    committing.wait()
    for _ in range(2):
        assert collect(scene.state).freed_containers == 0
    committing.open()
    name = backup.result()
    assert collect(scene.state).freed_containers == 0
    scene.check({name: 0})


def test_a_backup_that_begins_while_containers_are_unlinked_stores_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.leave_garbage(0)
    dropping = gate_before(monkeypatch, ChunkIndex, "drop")
    collection = Task(lambda: collect(scene.state))
    dropping.wait()  # unlinked, but still in the index and on the list
    backup = Task(lambda: scene.back_up(0, "new"))
    backup.wait(1)  # its commit waits for the collection
    dropping.open()
    name = backup.result()
    assert collection.result().freed_containers > 0
    scene.check({name: 0})


def test_a_base_may_be_forgotten_and_collected_while_it_is_compared_with(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = scene.back_up(0, "m")
    committing = gate_before(monkeypatch, Points, "commit")
    backup = Task(lambda: scene.back_up(0, "m", base))
    committing.wait()
    forget(scene.state, base)
    for _ in range(2):
        collect(scene.state)
    committing.open()
    name = backup.result()
    collect(scene.state)
    scene.check({name: 0})


def test_a_base_made_and_forgotten_while_collection_marks_is_not_taken_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base lives between the two markings; the backup on it ends before the unlinking."""
    scene.leave_garbage(0)
    marking = gate_after(monkeypatch, Collection, "_mark_pinned")
    collection = Task(lambda: collect(scene.state))
    marking.wait()
    base = scene.back_up(0, "m")
    committing = gate_before(monkeypatch, Points, "commit")
    backup = Task(lambda: scene.back_up(0, "m", base))
    committing.wait()
    forget(scene.state, base)
    unlinking = gate_before(monkeypatch, Collection, "_unlink")
    marking.open()
    unlinking.wait()
    committing.open()
    name = backup.result()
    unlinking.open()
    collection.result()
    scene.check({name: 0})


def test_a_name_used_again_while_collection_marks_is_a_new_point(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A point is forgotten and another one made within its second: what was marked is the old."""
    scene.leave_garbage(1)
    old = back_up(scene.state, scene.paths[0], "m", clock=StoppedClock()).name
    marking = gate_after(monkeypatch, Collection, "_mark_pinned")
    collection = Task(lambda: collect(scene.state))
    marking.wait()
    forget(scene.state, old)
    new = back_up(scene.state, scene.paths[1], "m", clock=StoppedClock()).name
    marking.open()
    collection.result()
    scene.check({new: 1})


def test_what_another_backup_sealed_is_kept_though_that_one_fails(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = gate_before(monkeypatch, Points, "commit")
    first = Task(lambda: scene.back_up(0, "fails"))
    failing.wait()
    name = scene.back_up(0, "counts on it")

    def fail(*_: object) -> None:
        raise BusyError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(Points, "file_of", fail)
        failing.open()
        with pytest.raises(BusyError):
            first.result()
    collect(scene.state)
    scene.check({name: 0})


def test_an_index_written_late_names_no_container_that_is_gone(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The point of a slow backup is forgotten and collected before its index run is written."""
    monkeypatch.setattr(chunk_index, "_SETTLED_NS", -1)  # as if seconds passed
    spilling = gate_before(monkeypatch, ChunkIndex, "spill")
    backup = Task(lambda: scene.back_up(0, "slow"))
    spilling.wait()
    (file,) = open_store(scene.state).points.files()
    forget(scene.state, open_store(scene.state).points.read(file).name)
    collect(scene.state)
    open_store(scene.state).load_index()
    spilling.open()
    backup.result()
    name = scene.back_up(0, "new")
    scene.check({name: 0})
    collect(scene.state)
    scene.check({name: 0})


def test_the_index_may_vanish_while_a_backup_runs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scene.back_up(0, "first")
    committing = gate_before(monkeypatch, Points, "commit")
    backup = Task(lambda: scene.back_up(1, "second"))
    committing.wait()
    shutil.rmtree(scene.state / "store" / "index")
    committing.open()
    second = backup.result()
    again = back_up(scene.state, scene.paths[0], "again")
    assert again.new_bytes == 0
    scene.check({first: 0, second: 1, again.name: 0})


# ---- readers ------------------------------------------------------------------------------------


def test_a_reader_of_a_point_made_and_forgotten_while_collection_marks_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.leave_garbage(0)
    marking = gate_after(monkeypatch, Collection, "_mark_pinned")
    collection = Task(lambda: collect(scene.state))
    marking.wait()
    name = scene.back_up(0, "m")
    store = open_store(scene.state)
    with store.lease("reader") as lease:
        disk = store.disk_reader(store.open_point(name, lease), 0)
        forget(scene.state, name)
        marking.open()
        collection.result()
        assert disk.read(0, disk.size_bytes) == scene.images[0]


def test_a_point_opened_while_the_trash_is_emptied_stays_pinned(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened after the pins were read and forgotten before the trash is listed."""
    name = scene.back_up(0, "m")
    is_purging = threading.local()
    purge = Collection._purge_trash

    def purge_slowly(collection: Collection) -> None:
        is_purging.now = True
        purge(collection)
        is_purging.now = False

    monkeypatch.setattr(Collection, "_purge_trash", purge_slowly)
    purging = gate_after(
        monkeypatch, Collection, "_pinned_files", lambda: getattr(is_purging, "now", False)
    )
    collection = Task(lambda: collect(scene.state))
    purging.wait()
    store = open_store(scene.state)
    with store.lease("reader") as lease:
        disk = store.disk_reader(store.open_point(name, lease), 0)
        forgetting = Task(lambda: forget(scene.state, name))
        forgetting.wait(1)  # it may have to wait for the collection
        purging.open()
        collection.result()
        forgetting.result()
        assert collect(scene.state).freed_containers == 0
        assert disk.read(0, disk.size_bytes) == scene.images[0]
    assert collect(scene.state).freed_containers > 0
    assert not container_files(scene.state)


def test_verification_sees_no_damage_in_what_is_forgotten_and_collected_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, kept = scene.back_up(0, "gone"), scene.back_up(1, "kept")
    reading = gate_after(monkeypatch, Verification, "_containers")
    verification = Task(lambda: verify(scene.state))
    reading.wait()
    forget(scene.state, gone)
    collect(scene.state)
    reading.open()
    assert verification.result().is_sound
    scene.check({kept: 1})


def test_verification_sees_no_damage_in_what_is_backed_up_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scene.back_up(0, "first")
    reading = gate_after(monkeypatch, Verification, "_containers")
    verification = Task(lambda: verify(scene.state))
    reading.wait()
    second = scene.back_up(1, "second")
    reading.open()
    assert verification.result().is_sound
    scene.check({first: 0, second: 1})


# ---- collections that end early, or come twice --------------------------------------------------


def test_a_second_collection_is_told_to_wait(
    scene: Scene, holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    marking = gate_after(monkeypatch, Collection, "_mark_pinned")
    collection = Task(lambda: collect(scene.state))
    marking.wait()
    refused = holdfast("collect", expect=6)
    assert len(refused.err.strip().splitlines()) == 1
    marking.open()
    collection.result()


@pytest.mark.parametrize(
    ("owner", "name"), [(Collection, "_purge_trash"), (Collection, "_unlink"), (ChunkIndex, "drop")]
)
def test_a_collection_that_ends_early_leaves_only_garbage(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """After the condemned list was written; before and after the containers were unlinked."""
    scene.leave_garbage(0)
    settle_index(scene.state)
    kept = scene.back_up(1, "kept")

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(owner, name, end)
        collect(scene.state)
    new = scene.back_up(0, "new")
    scene.check({kept: 1, new: 0})
    assert collect(scene.state).waiting_bytes == 0
    scene.check({kept: 1, new: 0})
    forget(scene.state, kept)
    forget(scene.state, new)
    collect(scene.state)
    assert not container_files(scene.state)
