"""Power cuts at every moment of every short sequence of operations, in a model of the disk.

The program runs for real on small disks while its writes are recorded; then every state that a
power cut may leave is put into a folder, and the store there has to keep its promises without help.
"""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base import durable
from appliance.base.errors import HoldfastError
from tests.crash.power_cut import (
    ROOT,
    Disk,
    Event,
    Linked,
    Renamed,
    Synced,
    Tree,
    Unlinked,
    Written,
)
from tests.crash.recording import Recorder, write_tree
from tests.crash.story import (
    CATALOG_LEFTOVERS,
    IGNORED,
    OPERATIONS,
    Promise,
    Scene,
    Story,
    check,
    check_points,
    fingerprint,
    one_thread,
    rest_a_while,
    restore_all,
    spoil_catalog,
)

SEQUENCES = [
    sequence for length in (1, 2, 3) for sequence in itertools.product(OPERATIONS, repeat=length)
]
# Where states are missing because a sequence has few, these have plenty.
RICHEST = [("second",), ("backup", "second"), ("forget", "collect", "second")]
# What a mutated store is led through.
MUTATED = [("backup",), ("forget",), ("second", "forget")]
# This share of states suffers a second power cut, in whatever heals the first.
AGAIN = 0.1
# States of each sequence's last operation; what comes before it is the business of a shorter one.
FAST_STATES = 2000
SLOW_STATES = 50_000
SLOW_PARTS = 50


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="holdfast-", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


class Rested:
    """Between two operations hours passed: everything reached the disk."""


class Turn:
    """The last operation of a sequence begins."""


Fact = Promise | Rested | Turn
Cut = tuple[Tree, Promise]


def record(
    scene: Scene,
    state: Path,
    sequence: tuple[str, ...],
    chooser: random.Random,
    promise: Promise,
) -> Recorder[Fact]:
    """Perform a sequence, now and then with a pause between two operations."""
    recorder: Recorder[Fact] = Recorder(state, IGNORED)
    story = Story(scene, state, recorder.log.append, promise)
    recorder.log.append(story.promise)
    with recorder.watch():
        for number, operation in enumerate(sequence):
            if chooser.random() < 0.5:
                rest_a_while(state)
                recorder.log.append(Rested())
            if number == len(sequence) - 1:
                recorder.log.append(Turn())
            story.perform(operation)
    return recorder


def cuts(recorder: Recorder[Fact], chooser: random.Random, each: int) -> Iterator[Cut]:
    """States that a power cut in the last operation may leave, `each` of every moment.

    What may be there right before an fsync includes all that may be there since the last one, so
    these moments, and those at which something is promised, stand for all.
    """
    disk, promise, is_last = Disk(recorder.start), Promise(), False
    for item in recorder.log:
        if isinstance(item, Promise):
            promise = item
        if is_last and isinstance(item, Promise | Synced):
            yield from ((tree, promise) for tree in disk.states(chooser, each))
        if isinstance(item, Rested):
            disk.settle()
        elif isinstance(item, Turn):
            is_last = True
        elif not isinstance(item, Promise):
            disk.note(item)
    yield from ((tree, promise) for tree in disk.states(chooser, each))


class Laboratory:
    """Cuts the power in sequences of operations and counts the states that were looked at."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.states = 0
        self._chooser = random.Random(seed)
        self._scene = Scene(folder, seed)

    def examine(self, sequence: tuple[str, ...], count: int) -> None:
        """Look at `count` different states after the sequence, or at all if they are fewer."""
        recorded = self._scene.copy_state(self.folder / "recorded")
        recorder = record(self._scene, recorded, sequence, self._chooser, self._scene.promise)
        each = 2 + count // 8
        found = {fingerprint(*cut): cut for cut in cuts(recorder, self._chooser, each)}
        keys = list(found)
        self._chooser.shuffle(keys)
        for key in keys[:count]:
            self._look(sequence, *found[key])
        shutil.rmtree(recorded)

    def _look(self, sequence: tuple[str, ...], tree: Tree, promise: Promise) -> None:
        state = self.folder / "cut"
        state.mkdir()
        write_tree(tree, state)
        catalog = self.folder / "recorded" / "catalog.db"
        if catalog.exists():
            shutil.copy(catalog, state)
            spoil_catalog(state, self._chooser.choice(CATALOG_LEFTOVERS))
        try:
            if self._chooser.random() < AGAIN:
                promise = self._cut_again(state, promise)
            check(self._scene, state, promise)
        except BaseException:
            print(f"power cut in the last of {sequence}, state {self.states}:")
            print("\n".join(describe(tree)))
            raise
        shutil.rmtree(state)
        self.states += 1

    def _cut_again(self, state: Path, promise: Promise) -> Promise:
        """The power fails again while the next operation heals what the first cut left."""
        found = restore_all(state)
        check_points(found, promise)
        operation = self._chooser.choice(list(OPERATIONS))
        recorder = record(self._scene, state, (operation,), self._chooser, Promise(found))
        tree, promise = self._chooser.choice(list(cuts(recorder, self._chooser, 4)))
        shutil.rmtree(state)
        state.mkdir()
        write_tree(tree, state)
        return promise


def describe(tree: Tree) -> Iterator[str]:
    """What was left, a line for each name."""
    for path, number in tree.paths():
        length = f"{len(tree.files[number])} bytes" if number in tree.files else "folder"
        yield f"  {path}: {length}"


def examine_all(folder: Path, seed: int, count: int) -> int:
    """Look at about `count` states, from all sequences; gives how many it were."""
    began_s = time.monotonic()
    with one_thread():
        laboratory = Laboratory(folder, seed)
        for number, sequence in enumerate([*SEQUENCES, *RICHEST]):
            left = max(0, count - laboratory.states)
            share = max(1, len(SEQUENCES) - number)
            laboratory.examine(sequence, min(left, -(-left // share)))
    seconds = time.monotonic() - began_s
    print(
        f"{laboratory.states} states of {len(SEQUENCES)} sequences in {seconds:.0f} s, seed {seed}"
    )
    return laboratory.states


@pytest.mark.timeout(1800)  # a minute or two where nobody else is at work
def test_two_thousand_power_cuts(folder: Path, seed: int) -> None:
    assert examine_all(folder, seed, FAST_STATES) >= FAST_STATES


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLOW_PARTS))
def test_fifty_thousand_power_cuts(folder: Path, seed: int, part: int) -> None:
    count = SLOW_STATES // SLOW_PARTS
    assert examine_all(folder, seed + 1 + part, count) >= count


# ---- the checker can fail -----------------------------------------------------------------------


def examine_some(folder: Path, seed: int) -> None:
    """Enough states to notice a store that does not keep its promises."""
    with one_thread():
        laboratory = Laboratory(folder, seed)
        for sequence in MUTATED:
            laboratory.examine(sequence, 200)


@pytest.mark.parametrize("skipped", ["containers/*", "containers", "points/*", "points"])
def test_a_store_that_forgets_to_sync_a_folder_is_caught(
    folder: Path, seed: int, skipped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = durable.fsync_directory

    def sync_others(directory: Path) -> None:
        if not directory.match(f"store/{skipped}"):
            sync(directory)

    monkeypatch.setattr(durable, "fsync_directory", sync_others)
    with pytest.raises((AssertionError, HoldfastError)):
        examine_some(folder, seed)


def test_a_store_that_forgets_to_sync_files_is_caught(
    folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "syncs_files", False)
    with pytest.raises((AssertionError, HoldfastError)):
        examine_some(folder, seed)


# ---- the model of the disk ----------------------------------------------------------------------


def left_by(events: list[Event]) -> set[tuple[tuple[str, bytes], ...]]:
    """What power cuts leave of a disk with a file `a` (number 1) that holds `old`."""
    disk = Disk(Tree(files={1: b"old"}, folders={ROOT: {"a": 1}}))
    for event in events:
        disk.note(event)
    chooser = random.Random(1)
    trees = [tree for _ in range(20) for tree in disk.states(chooser, 20)]
    return {
        tuple((path, tree.files[number]) for path, number in tree.paths() if number in tree.files)
        for tree in trees
    }


def test_what_was_synced_is_there_and_nothing_else_for_certain() -> None:
    write = Written(1, {0: b"new"}, 3)
    assert left_by([write]) >= {(("a", b"old"),), (("a", b"new"),)}
    assert left_by([write, Synced(1)]) == {(("a", b"new"),)}


def test_a_name_is_lost_until_its_folder_is_synced() -> None:
    created: list[Event] = [Linked(ROOT, "b", 2, 0), Written(2, {0: b"x"}, 1), Synced(2)]
    assert left_by([*created]) == {(("a", b"old"),), (("a", b"old"), ("b", b"x"))}
    assert left_by([*created, Synced(ROOT)]) == {(("a", b"old"), ("b", b"x"))}
    assert left_by([Unlinked(ROOT, "a", 0)]) == {(("a", b"old"),), ()}


def test_a_rename_never_loses_the_file() -> None:
    moved = Renamed(ROOT, "a", ROOT, "b", 1, 0)
    assert left_by([moved]) == {(("a", b"old"),), (("b", b"old"),)}
    away: list[Event] = [
        Linked(ROOT, "f", 5, 0, is_folder=True),
        Synced(ROOT),
        Renamed(ROOT, "a", 5, "b", 1, 0),
    ]
    both = (("a", b"old"), ("f/b", b"old"))
    assert left_by(away) == {(("a", b"old"),), (("f/b", b"old"),), both}
    assert left_by([*away, Synced(5)]) == {both, (("f/b", b"old"),)}


def test_a_write_of_sectors_may_be_torn() -> None:
    left = {
        dict(state)["a"] for state in left_by([Written(1, {0: b"A" * 512, 1: b"B" * 512}, 1024)])
    }
    assert left >= {b"old", b"A" * 512 + b"B" * 512, b"A" * 512 + bytes(512)}
    assert any(data.endswith(b"B" * 512) and not data.startswith(b"A") for data in left)
