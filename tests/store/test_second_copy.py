"""Reading and repairing from a second copy: what is not here, and what is damaged here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.base.progress import Progress
from appliance.formats.page import Reference
from appliance.native import Ref
from appliance.store.checks import ContainerCheck, check_all
from appliance.store.chunks import Wanted
from appliance.store.containers import list_names
from appliance.store.findings import read_findings
from appliance.store.quarantine import Quarantine
from appliance.store.store import Store
from tests.store.copies import FolderCopy, move_away
from tests.store.stores import (
    KEYS,
    add_container,
    chunks_of,
    id_of,
    load_index,
    make_store,
    missing,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
# Six frames, since they close at 256 KiB.
CHUNKS = chunks_of(7, 24, 60_000)


class Box:
    """A store with one container, and a copy of that elsewhere."""

    def __init__(self, state: Path, elsewhere: Path) -> None:
        layout = make_store(state).layout
        self.name, refs = add_container(layout, load_index(layout), CHUNKS)
        self.references = [self._reference(ref) for ref in refs]
        self.path = layout.container(self.name)
        self.copy = FolderCopy(elsewhere)
        self.store = Store(state, KEYS, None, self.copy)

    def _reference(self, ref: Ref) -> Reference:
        return Reference(ref.chunk_id, self.name, ref.ordinal)

    def move_away(self) -> None:
        move_away(self.store.layout.containers, self.copy.folder)

    def copy_away(self) -> None:
        self.copy.folder.mkdir()
        shutil.copy(self.path, self.copy.folder / self.path.name)

    def damage(self, path: Path, offset: int = 100) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"damaged!")

    def read_all(self) -> tuple[bytes, list[int]]:
        wanted, at = [], 0
        for reference, chunk in zip(self.references, CHUNKS, strict=True):
            wanted.append(Wanted(reference, len(chunk), at))
            at += len(chunk)
        out = bytearray(at)
        failed = self.store.chunks.read_into(wanted, out)
        return bytes(out), failed


@pytest.fixture
def box(state: Path, tmp_path: Path) -> Iterator[Box]:
    made = Box(state, tmp_path / "elsewhere")
    yield made
    made.store.repair.finish()
    made.copy.close()


def test_what_is_not_here_is_read_from_elsewhere(box: Box) -> None:
    box.move_away()
    for reference, chunk in zip(box.references, CHUNKS, strict=True):
        assert box.store.chunks.read_chunk(reference) == chunk
    assert box.read_all() == (b"".join(CHUNKS), [])


def test_a_chunk_costs_its_frame_and_the_directory_once(box: Box) -> None:
    box.move_away()
    size_bytes = (box.copy.folder / box.name.hex()).stat().st_size
    box.store.chunks.read_chunk(box.references[0])
    assert sum(length for _, (_, length) in box.copy.filled) < size_bytes / 3
    asked = len(box.copy.filled)
    box.store.chunks.read_chunk(box.references[1])
    assert len(box.copy.filled) <= asked + 1


def test_what_is_here_is_never_asked_for(box: Box) -> None:
    box.copy.is_reachable = False
    assert box.read_all() == (b"".join(CHUNKS), [])


def test_a_line_that_is_down_is_an_error_and_no_damage(box: Box) -> None:
    box.move_away()
    box.copy.is_reachable = False
    with pytest.raises(HoldfastError, match="line is down") as caught:
        box.read_all()
    assert not isinstance(caught.value, IntegrityError)
    with pytest.raises(HoldfastError, match="line is down"):
        box.store.chunks.read_chunk(box.references[0])
    box.copy.is_reachable = True
    assert box.read_all() == (b"".join(CHUNKS), [])


def test_what_nobody_has_is_lost(box: Box) -> None:
    box.copy.folder.mkdir()
    box.path.unlink()
    out, failed = box.read_all()
    assert failed == list(range(len(CHUNKS)))
    assert not any(out)


def test_damage_elsewhere_is_noticed_and_looked_at_once_more(box: Box) -> None:
    box.move_away()
    box.damage(box.copy.folder / box.name.hex())
    _, failed = box.read_all()
    assert 0 < len(failed) < len(CHUNKS)
    assert set(box.copy.distrusted) == {box.name}


def test_a_container_that_comes_back_is_read_here_again(box: Box) -> None:
    box.move_away()
    assert box.read_all()[1] == []
    shutil.move(box.copy.folder / box.name.hex(), box.path)
    box.copy.is_reachable = False
    assert box.read_all() == (b"".join(CHUNKS), [])


def test_damage_here_is_served_from_elsewhere_and_repaired_meanwhile(box: Box) -> None:
    box.copy_away()
    box.damage(box.path)
    assert box.read_all() == (b"".join(CHUNKS), [])
    box.store.repair.finish()
    assert box.path.read_bytes() == (box.copy.folder / box.name.hex()).read_bytes()
    (finding,) = read_findings(box.store.layout).findings
    assert finding.what == f"container {box.name.hex()}"
    assert finding.repaired
    assert finding.severity == "notice"
    assert (box.store.layout.quarantine / box.name.hex()).exists()
    # The file that was open all the time is the new one by now.
    box.copy.is_reachable = False
    assert box.read_all() == (b"".join(CHUNKS), [])


def test_damage_here_is_damage_while_the_line_is_down_and_the_rest_is_served(box: Box) -> None:
    box.copy_away()
    box.damage(box.path)
    box.copy.is_reachable = False
    out, failed = box.read_all()
    assert 1 <= len(failed) <= 5
    assert out[-60_000:] == CHUNKS[-1]
    with pytest.raises(IntegrityError):
        box.store.chunks.read_chunk(box.references[0])
    box.copy.is_reachable = True
    assert box.read_all() == (b"".join(CHUNKS), [])


def treat(box: Box) -> None:
    check = ContainerCheck(box.store.layout, KEYS, "full").check
    checked = check_all(list_names(box.store.layout), check, Progress())
    faults = [one.fault for one in checked if one.fault is not None]
    Quarantine(box.store, NOW, Progress()).treat(faults)


def test_a_scrub_repairs_by_name(box: Box) -> None:
    box.copy_away()
    box.damage(box.path)
    treat(box)
    assert list(list_names(box.store.layout)) == [box.name]
    assert missing(load_index(box.store.layout), CHUNKS) == 0
    (finding,) = read_findings(box.store.layout).findings
    assert finding.repaired
    treat(box)
    assert read_findings(box.store.layout).findings == (finding,)
    (box.store.layout.quarantine / box.name.hex()).unlink()
    treat(box)
    assert read_findings(box.store.layout).findings == ()


def test_a_repair_believes_only_what_has_the_name(box: Box) -> None:
    box.copy_away()
    box.damage(box.copy.folder / box.name.hex(), 200)
    box.damage(box.path)
    assert not box.store.repair.repair(box.name, "test")
    assert box.path.exists()


def test_a_repair_leaves_alone_what_is_sound(box: Box) -> None:
    box.copy_away()
    assert not box.store.repair.repair(box.name, "test")
    assert read_findings(box.store.layout).findings == ()


def other_container(box: Box, state: Path, chunks: list[bytes]) -> None:
    """Let the copy hold `chunks` in a container of another name, and know them by their ids."""
    layout = make_store(state).layout
    name, refs = add_container(layout, load_index(layout), chunks)
    move_away(layout.containers, box.copy.folder)
    box.copy.places = {
        id_of(chunk): (name, ref.ordinal) for chunk, ref in zip(CHUNKS, refs, strict=True)
    }


def test_chunks_that_lie_in_other_containers_elsewhere_are_found_there(
    box: Box, tmp_path: Path
) -> None:
    other_container(box, tmp_path / "other", CHUNKS)
    box.path.unlink()
    assert box.read_all() == (b"".join(CHUNKS), [])
    assert box.store.chunks.read_chunk(box.references[3]) == CHUNKS[3]


def test_a_scrub_takes_single_chunks_where_the_container_is_not_to_be_had(
    box: Box, tmp_path: Path
) -> None:
    other_container(box, tmp_path / "other", CHUNKS)
    box.damage(box.path)
    treat(box)
    assert missing(load_index(box.store.layout), CHUNKS) == 0


def test_a_place_that_holds_another_chunk_is_not_believed(box: Box, tmp_path: Path) -> None:
    other_container(box, tmp_path / "other", chunks_of(8, len(CHUNKS), 60_000))
    box.damage(box.path)
    treat(box)
    assert missing(load_index(box.store.layout), CHUNKS) > 0
