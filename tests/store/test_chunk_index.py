"""The index on the disk: it heals, it is shared, it stays small."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base import durable
from appliance.base.errors import Cancelled, NoSpaceError
from appliance.base.progress import Progress, Snapshot
from appliance.store import chunk_index
from appliance.store.condemned import Sentence, write_condemned
from appliance.store.layout import Layout
from tests.store.stores import (
    add_container,
    chunks_of,
    id_of,
    load_index,
    make_store,
    missing,
    settle_folders,
    start_python,
)


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


def runs_listed(layout: Layout) -> list[str]:
    runs = json.loads((layout.index / "current.json").read_bytes())["runs"]
    assert isinstance(runs, list)
    return runs


def index_files(layout: Layout) -> set[str]:
    return {path.name for path in layout.index.iterdir()}


def fill(layout: Layout, containers: int = 3) -> list[bytes]:
    """So many containers of a run each, the first the largest; their folders have settled."""
    chunks: list[bytes] = []
    for number in range(containers):
        mine = chunks_of(number, 400 >> (2 * number))
        add_container(layout, load_index(layout), mine)
        chunks += mine
    settle_folders(layout)
    assert missing(load_index(layout), chunks) == 0
    return chunks


# ---- it is there --------------------------------------------------------------------------------


def test_what_one_process_stored_the_next_one_knows(layout: Layout) -> None:
    chunks = chunks_of(1, 50)
    name, refs = add_container(layout, load_index(layout), chunks)
    index = load_index(layout)
    found = [index.find(id_of(chunk)) for chunk in chunks]
    assert found == [(name, ref.ordinal) for ref in refs]
    assert index.find(id_of(b"something else")) is None


def test_an_empty_store_has_an_empty_index(layout: Layout) -> None:
    assert load_index(layout).find(bytes(32)) is None


def test_an_open_container_has_no_place_yet(layout: Layout) -> None:
    index = load_index(layout)
    slot = index.native.open_slot()
    index.native.claim(id_of(b"x"), slot, 0)
    assert index.find(id_of(b"x")) is None
    assert index.name_of(slot) is None


def test_a_sealed_container_is_found_without_any_spill(layout: Layout) -> None:
    """A backup that was killed after sealing leaves its chunks to the next one."""
    chunks = chunks_of(1, 20)
    add_container(layout, load_index(layout), chunks, is_spilled=False)
    assert missing(load_index(layout), chunks) == 0


def test_two_changes_within_one_timestamp_are_both_seen(layout: Layout, tmp_path: Path) -> None:
    chunks = chunks_of(1, 10)
    name, _ = add_container(layout, load_index(layout), chunks, is_spilled=False)
    folder = layout.container(name).parent
    shutil.move(layout.container(name), tmp_path)
    at_ns = folder.stat().st_mtime_ns
    assert missing(load_index(layout), chunks) == 10
    shutil.move(tmp_path / name.hex(), folder)
    os.utime(folder, ns=(at_ns, at_ns))
    assert missing(load_index(layout), chunks) == 0


def test_a_second_start_reads_no_directory_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = fill(layout)
    before = (layout.index / "current.json").read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("a container was opened")

    monkeypatch.setattr(chunk_index, "Container", refuse)
    assert missing(load_index(layout), chunks) == 0
    assert (layout.index / "current.json").read_bytes() == before


# ---- it heals -----------------------------------------------------------------------------------


def test_after_the_loss_of_any_file_everything_is_found_again(layout: Layout) -> None:
    chunks = fill(layout)
    assert len(runs_listed(layout)) == 3
    for name in sorted(index_files(layout)):
        (layout.index / name).unlink(missing_ok=True)
        assert missing(load_index(layout), chunks) == 0, name
    shutil.rmtree(layout.index)
    assert missing(load_index(layout), chunks) == 0


@pytest.mark.parametrize("loss", ["current.json", "*.run", "*", ""])
def test_files_may_vanish_while_a_process_uses_them(layout: Layout, loss: str) -> None:
    chunks = fill(layout)
    index = load_index(layout)
    for path in layout.index.glob(loss) if loss else []:
        path.unlink()
    if not loss:
        shutil.rmtree(layout.index)
    assert missing(index, chunks) == 0
    more = chunks_of(77, 30)
    add_container(layout, index, more)
    assert missing(load_index(layout), chunks + more) == 0


def test_files_that_vanish_at_any_step_of_a_backup_cost_nothing(layout: Layout, seed: int) -> None:
    chance = random.Random(seed)
    chunks: list[bytes] = []
    for number in range(25):
        index = load_index(layout)
        for part in range(2):
            more = chunks_of(1000 + 2 * number + part, chance.randint(1, 60))
            add_container(layout, index, more, is_spilled=chance.random() < 0.7)
            chunks += more
            files = sorted(layout.index.iterdir())
            if files and chance.random() < 0.5:
                chance.choice(files).unlink()
        assert missing(load_index(layout), chunks) == 0


def test_a_damaged_run_is_rebuilt(layout: Layout) -> None:
    chunks = fill(layout)
    for damage in (lambda _: b"", lambda data: data[:-1], lambda _: b"x" * 5000):
        path = layout.index / next(iter(runs_listed(layout)))
        path.write_bytes(damage(path.read_bytes()))
        assert missing(load_index(layout), chunks) == 0


GARBAGE = {
    "empty": "",
    "no object": "[]",
    "null": "null",
    "no runs": '{"format": 1, "folders": {}}',
    "no folders": '{"format": 1, "runs": []}',
    "runs a number": '{"format": 1, "runs": 5, "folders": {}}',
    "runs of objects": '{"format": 1, "runs": [{}, null, []], "folders": {}}',
    "a run without a name": '{"format": 1, "runs": [""], "folders": {}}',
    "a run elsewhere": '{"format": 1, "runs": ["../../../etc/passwd"], "folders": {}}',
    "a run that is a folder": '{"format": 1, "runs": [".."], "folders": {}}',
    "a run with a zero in its name": '{"format": 1, "runs": ["a\\u0000b"], "folders": {}}',
    "a run with half a character": '{"format": 1, "runs": ["\\ud800"], "folders": {}}',
    "a run with a long name": json.dumps({"runs": ["a" * 5000], "folders": {}}),
    "folders a list": '{"format": 1, "runs": [], "folders": [1]}',
    "a time of text": '{"format": 1, "runs": [], "folders": {"ab": "x"}}',
    "an endless time": '{"format": 1, "runs": [], "folders": {"ab": 1e999}}',
    "no time": '{"format": 1, "runs": [], "folders": {"ab": NaN}}',
    "deep": '{"format": 1, "runs": ' + "[" * 100_000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_list_of_garbage_is_rebuilt(layout: Layout, name: str) -> None:
    chunks = fill(layout)
    (layout.index / "current.json").write_text(GARBAGE[name])
    assert missing(load_index(layout), chunks) == 0


def test_more_runs_than_can_be_mapped_are_rebuilt(layout: Layout) -> None:
    """Many processes at once may each add a run before anybody merges them."""
    chunks = fill(layout)
    current = json.loads((layout.index / "current.json").read_bytes())
    for number in range(70):
        name = f"copy{number}.run"
        shutil.copy(layout.index / current["runs"][0], layout.index / name)
        current["runs"].append(name)
    (layout.index / "current.json").write_text(json.dumps(current))
    assert missing(load_index(layout), chunks) == 0
    assert len(runs_listed(layout)) < 10


def test_runs_that_nobody_names_are_removed(layout: Layout) -> None:
    """A kill between a run and its listing must not cost space for ever."""
    chunks = fill(layout)
    (layout.index / "0123456789abcdef.run").write_bytes(b"HFINDEX2" + bytes(24))
    (layout.index / f"{durable.TEMPORARY_PREFIX}half").write_bytes(b"half")
    more = chunks_of(77, 500)
    add_container(layout, load_index(layout), more)
    assert missing(load_index(layout), chunks + more) == 0
    assert index_files(layout) == {"current.json", *runs_listed(layout)}


def test_a_full_disk_is_no_reason_to_fail(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunks_of(1, 50)
    add_container(layout, load_index(layout), chunks, is_spilled=False)

    def refuse(path: Path, **_: object) -> None:
        raise NoSpaceError(f"{path}: No space left on device")

    with monkeypatch.context() as full:
        full.setattr(durable, "open_durably", refuse)
        assert missing(load_index(layout), chunks) == 0
    assert missing(load_index(layout), chunks) == 0


def test_rebuilding_is_reported_and_can_be_cancelled(layout: Layout) -> None:
    chunks = fill(layout)
    shutil.rmtree(layout.index)
    heard: list[Snapshot] = []
    progress = Progress(heard.append)

    def cancel(snapshot: Snapshot) -> None:
        if snapshot.done == 2:
            cancelled.cancel()

    cancelled = Progress(cancel)
    with pytest.raises(Cancelled):
        load_index(layout, cancelled)
    assert missing(load_index(layout, progress), chunks) == 0
    assert (heard[-1].phase, heard[-1].done, heard[-1].total) == ("rebuilding the index", 3, 3)


# ---- containers come and go ---------------------------------------------------------------------


def test_a_container_deleted_by_hand_is_forgotten(layout: Layout) -> None:
    fill(layout)
    kept, gone = chunks_of(50, 20), chunks_of(51, 20)
    add_container(layout, load_index(layout), kept)
    name, _ = add_container(layout, load_index(layout), gone)
    settle_folders(layout)
    load_index(layout)
    layout.container(name).unlink()
    index = load_index(layout)
    assert (missing(index, kept), missing(index, gone)) == (0, 20)
    add_container(layout, index, gone)
    assert missing(load_index(layout), kept + gone) == 0


def test_dropped_containers_leave_every_run(layout: Layout) -> None:
    chunks = fill(layout)
    gone = chunks_of(51, 20)
    name, _ = add_container(layout, load_index(layout), gone)
    layout.container(name).unlink()
    load_index(layout).drop({name})
    index = load_index(layout)
    assert (missing(index, chunks), missing(index, gone)) == (0, 20)
    assert not index.native.knows(name)
    for run in runs_listed(layout):
        assert name not in (layout.index / run).read_bytes()


def test_a_copy_elsewhere_serves_when_a_container_is_condemned(layout: Layout) -> None:
    chunks = chunks_of(1, 20)
    first, _ = add_container(layout, load_index(layout), chunks)
    write_condemned(layout, {first: Sentence("2026-11-21T09:30:00Z", None)})
    index = load_index(layout)
    assert missing(index, chunks) == 20
    second, _ = add_container(layout, index, chunks)
    found = load_index(layout).find(id_of(chunks[0]))
    assert found is not None
    assert found[0] == second != first


@pytest.mark.parametrize("is_rebuilt", [False, True])
def test_a_rescued_container_is_known_again(layout: Layout, is_rebuilt: bool) -> None:
    """A backup that counted on a condemned container takes it off the list at its commit."""
    chunks = chunks_of(1, 20)
    name, _ = add_container(layout, load_index(layout), chunks)
    settle_folders(layout)
    load_index(layout)
    write_condemned(layout, {name: Sentence("2026-11-21T09:30:00Z", None)})
    if is_rebuilt:
        shutil.rmtree(layout.index)
    # Whoever starts meanwhile may rewrite the runs.
    add_container(layout, load_index(layout), chunks_of(2, 100))
    load_index(layout)
    write_condemned(layout, {})
    assert missing(load_index(layout), chunks) == 0


def put_file_as_folder(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"")


def put_foreign_files(folder: Path) -> None:
    digits = folder.name
    for name in ("note.txt", digits * 31, digits.upper() * 32, "zz" * 32, ".tmp-1"):
        (folder / name).write_bytes(b"foreign")
    (folder / (digits + 62 * "0")).mkdir()


def put_damaged_containers(folder: Path) -> None:
    for number, content in enumerate((b"", b"x" * 10, b"HFCONT01" + bytes(500))):
        (folder / f"{folder.name}{number:062x}").write_bytes(content)


def put_endless_link(folder: Path) -> None:
    path = folder / (folder.name * 32)
    path.symlink_to(path)


FOREIGN = [put_file_as_folder, put_foreign_files, put_damaged_containers, put_endless_link]


@pytest.mark.parametrize("put", FOREIGN)
def test_what_is_no_container_is_passed_over(layout: Layout, put: Callable[[Path], None]) -> None:
    chunks = chunks_of(1, 20)
    name, _ = add_container(layout, load_index(layout), chunks)
    put(layout.containers / f"{name[0] ^ 0xA0:02x}")
    assert missing(load_index(layout), chunks) == 0
    shutil.rmtree(layout.index)
    assert missing(load_index(layout), chunks) == 0


# ---- it stays small -----------------------------------------------------------------------------


def test_the_number_of_runs_follows_the_logarithm(layout: Layout) -> None:
    chunks: list[bytes] = []
    for number in range(40):
        more = chunks_of(number, 5)
        add_container(layout, load_index(layout), more)
        chunks += more
        assert len(runs_listed(layout)) <= math.log2(len(chunks)) + 2
    assert index_files(layout) == {"current.json", *runs_listed(layout)}
    assert missing(load_index(layout), chunks) == 0


def test_one_long_backup_spills_and_merges_its_own_runs(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_index, "PENDING_MAX_ENTRIES", 20)
    before = fill(layout, 1)
    index = load_index(layout)
    chunks: list[bytes] = []
    spills = 0
    for number in range(30):
        more = chunks_of(100 + number, 7)
        add_container(layout, index, more, is_spilled=False)
        chunks += more
        runs = index_files(layout)
        index.spill_if_large()
        spills += index_files(layout) != runs
        assert index.native.pending() < 20
        assert missing(index, before + chunks) == 0
    assert spills == 10
    assert len(runs_listed(layout)) <= math.log2(len(chunks)) + 2
    assert missing(load_index(layout), before + chunks) == 0


def test_a_rebuild_keeps_memory_bounded_too(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = fill(layout, 4)
    shutil.rmtree(layout.index)
    monkeypatch.setattr(chunk_index, "PENDING_MAX_ENTRIES", 50)
    index = load_index(layout)
    assert index.native.pending() == 0
    assert missing(index, chunks) == 0


def test_spilling_nothing_writes_nothing(layout: Layout) -> None:
    index = load_index(layout)
    before = index_files(layout)
    index.spill()
    assert index_files(layout) == before


# ---- several processes --------------------------------------------------------------------------

ADD = """
import sys
from pathlib import Path
from appliance.store.layout import Layout
from tests.store.stores import add_container, chunks_of, load_index
layout, first, count = Layout(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
index = load_index(layout)
print("loaded", flush=True)
sys.stdin.readline()
for number in range(first, first + count):
    add_container(layout, index, chunks_of(number, 3 + number % 5))
    if number % 3 == 0:
        index = load_index(layout)
"""


def test_processes_that_add_at_once_lose_nothing(layout: Layout) -> None:
    processes, each = 4, 8
    fill(layout)
    started = [start_python(ADD, layout.state, 1000 + 100 * i, each) for i in range(processes)]
    for process in started:
        assert process.read_line() == b"loaded\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    settle_folders(layout)
    chunks = [
        chunk
        for i in range(processes)
        for number in range(1000 + 100 * i, 1000 + 100 * i + each)
        for chunk in chunks_of(number, 3 + number % 5)
    ]
    index = load_index(layout)
    assert missing(index, chunks) == 0
    assert len(runs_listed(layout)) <= math.log2(len(chunks) + 500) + 2


def test_a_process_sees_that_the_index_changed(layout: Layout) -> None:
    index = load_index(layout)
    assert index.is_current()
    add_container(layout, load_index(layout), chunks_of(1, 3))
    assert not index.is_current()
    assert load_index(layout).is_current()


def test_a_process_that_runs_on_merges_only_its_own_runs(layout: Layout) -> None:
    """Others have mapped the runs that were there; removing them would be pure cost."""
    chunks = fill(layout)
    before = set(runs_listed(layout))
    index = load_index(layout)
    for number in range(6):
        add_container(layout, index, chunks_of(100 + number, 50))
        assert before <= set(runs_listed(layout))
    assert missing(load_index(layout), chunks) == 0
