"""Quarantine: what is sound is saved, a second copy is asked, running backups are warned."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.store.checks import Checked, ContainerCheck, check_all
from appliance.store.containers import list_names
from appliance.store.findings import Record, read_findings, write_findings
from appliance.store.quarantine import Quarantine, give_back
from appliance.store.store import Store
from tests.store.stores import (
    KEYS,
    TIME,
    add_container,
    chunks_of,
    id_of,
    load_index,
    make_store,
    manifest_of,
    missing,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)
# Six frames, since they close at 256 KiB.
CHUNKS = chunks_of(7, 24, 60_000)


@pytest.fixture
def store(state: Path) -> Store:
    return make_store(state)


def check(store: Store) -> list[Checked]:
    checker = ContainerCheck(store.layout, KEYS, "full")
    return list(check_all(list_names(store.layout), checker.check, Progress()))


def damage_first_frame(store: Store, name: bytes) -> None:
    with store.layout.container(name).open("r+b") as file:
        file.seek(100)
        file.write(b"damaged!")


def treat(store: Store) -> None:
    faults = [one.fault for one in check(store) if one.fault is not None]
    assert faults
    Quarantine(store, NOW, Progress()).treat(faults)


def test_only_the_damaged_frame_is_lost(store: Store) -> None:
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    damage_first_frame(store, name)
    treat(store)
    index = load_index(store.layout)
    assert 1 <= missing(index, CHUNKS) <= 5
    assert index.find(id_of(CHUNKS[0])) is None
    assert all(one.fault is None for one in check(store))
    assert (store.layout.quarantine / name.hex()).exists()


def test_a_copy_in_another_container_is_known_when_the_first_is_gone(store: Store) -> None:
    first, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    aside = store.layout.state / "aside"
    store.layout.container(first).rename(aside)
    add_container(store.layout, load_index(store.layout), CHUNKS)
    aside.rename(store.layout.container(first))
    damage_first_frame(store, first)
    treat(store)
    assert missing(load_index(store.layout), CHUNKS) == 0


def test_a_backup_that_counted_on_what_was_moved_makes_a_doubtful_point(store: Store) -> None:
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    damage_first_frame(store, name)
    treat(store)
    used = store.points.commit(manifest_of("used"), lambda needed: needed == name)
    free = store.points.commit(manifest_of("free"), lambda _: False)
    record = read_findings(store.layout)
    assert record.is_hurt(store.points.file_of(used.name).key)
    assert not record.is_hurt(store.points.file_of(free.name).key)
    # Once somebody looked, nothing is missing: these points refer to nothing.
    Quarantine(store, NOW, Progress()).look_again()
    assert read_findings(store.layout).hurt == {}


def test_a_point_made_of_a_base_that_was_found_to_be_hurt_is_doubtful(store: Store) -> None:
    base = PointName("web1", TIME)
    write_findings(store.layout, Record((), {store.points.file_of(base).key: 5}))
    made = manifest_of("web1", time=TIME.replace(hour=12))
    made = store.points.commit(type(made)(**{**made.__dict__, "base": base}), lambda _: False)
    assert read_findings(store.layout).is_hurt(store.points.file_of(made.name).key)


def test_a_fault_that_passes_is_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cable that is loose for a moment: what fails once is read again before it is believed."""
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    whole = store.layout.container(name).read_bytes()
    checker = ContainerCheck(store.layout, KEYS, "full")
    once = checker._check

    def heals(named: bytes) -> Checked:
        result = once(named)
        store.layout.container(name).write_bytes(whole)
        return result

    damage_first_frame(store, name)
    monkeypatch.setattr(checker, "_check", heals)
    checked = checker.check(name)
    assert checked is not None
    assert checked.fault is None


def test_a_file_that_cannot_be_read_now_is_left_alone(store: Store) -> None:
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    path = store.layout.container(name)
    path.rename(store.layout.state / "aside")
    path.mkdir()
    treat(store)
    assert path.is_dir()
    (finding,) = read_findings(store.layout).findings
    assert finding.severity == "warning"


def test_a_container_that_is_whole_after_all_comes_back(store: Store) -> None:
    """As after a disk that lied for a while: the file was never damaged."""
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    place, aside = store.layout.container(name), store.layout.quarantine / name.hex()
    place.rename(aside)
    assert give_back(store.layout) == [name]
    assert place.is_file()
    assert not aside.exists()
    found = load_index(store.layout).find(id_of(CHUNKS[0]))
    assert found is not None
    assert found[0] == name


def test_a_container_that_is_damaged_stays_in_quarantine(store: Store) -> None:
    name, _ = add_container(store.layout, load_index(store.layout), CHUNKS)
    damage_first_frame(store, name)
    treat(store)
    assert give_back(store.layout) == []
    assert (store.layout.quarantine / name.hex()).is_file()
