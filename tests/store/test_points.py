"""Points on the disk: appear in one moment, are found by name, vanish in one moment."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.formats.names import PointName
from appliance.store.condemned import Sentence, read_condemned, write_condemned
from appliance.store.layout import Layout
from appliance.store.points import PointFile, Points
from tests.store.stores import KEYS, TIME, make_store, manifest_of, start_python

SECOND = timedelta(seconds=1)


@pytest.fixture
def layout(state: Path) -> Layout:
    return make_store(state).layout


@pytest.fixture
def points(layout: Layout) -> Points:
    return Points(layout, KEYS)


def never(_: bytes) -> bool:
    return False


def name(seconds: int = 0, machine: str = "web1") -> PointName:
    return PointName(machine, TIME + seconds * SECOND)


def commit(points: Points, seconds: int = 0, machine: str = "web1", *, gaps: bool = False) -> None:
    manifest = manifest_of(
        machine, time=TIME + seconds * SECOND, gaps=((512, 512),) if gaps else ()
    )
    assert points.commit(manifest, never) == manifest


def path_of(layout: Layout, points: Points, seconds: int = 0) -> Path:
    return layout.points / points.file_of(name(seconds)).key


# ---- commit -------------------------------------------------------------------------------------


def test_a_committed_point_is_read_back(points: Points) -> None:
    manifest = manifest_of()
    assert points.commit(manifest, never) == manifest
    assert points.open(name()) == manifest
    assert points.exists(name())
    assert list(points.files()) == [points.file_of(name())]


def test_a_taken_second_moves_to_the_next_free_one(points: Points) -> None:
    commit(points)
    commit(points, 2)
    times = [points.commit(manifest_of(), never).time - TIME for _ in range(3)]
    assert times == [SECOND, 3 * SECOND, 4 * SECOND]
    assert len(list(points.files("web1"))) == 5
    for file in points.files("web1"):
        assert points.file_of(points.read(file).name) == file


def test_the_second_of_a_point_that_lives_on_in_a_vault_is_not_free(points: Points) -> None:
    points.remote.put("vault", points.file_of(name()).key, b"it has left the box")
    assert points.commit(manifest_of(), never).time == TIME + SECOND


def test_the_same_second_of_another_machine_is_free(points: Points) -> None:
    commit(points)
    commit(points, machine="web2")
    assert len(list(points.files())) == 2
    assert len(list(points.files("web2"))) == 1


COMMIT = """
import sys
from pathlib import Path
from appliance.store.layout import Layout
from appliance.store.points import Points
from tests.store.stores import KEYS, manifest_of
points = Points(Layout(Path(sys.argv[1])), KEYS)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    print(points.commit(manifest_of(), lambda _: False).name, flush=True)
"""


def test_processes_that_commit_at_once_get_a_second_each(layout: Layout, points: Points) -> None:
    started = [start_python(COMMIT, layout.state) for _ in range(3)]
    for process in started:
        assert process.read_line() == b"ready\n"
    said = [process.communicate(b"go\n") for process in started]
    assert [process.returncode for process in started] == [0] * 3, said
    names = sorted(line for out, _ in said for line in out.decode().split())
    assert names == [str(name(seconds)) for seconds in range(15)]
    assert [str(points.read(file).name) for file in points.files("web1")] == names


def test_what_the_backup_counted_on_is_taken_off_the_list_before(
    layout: Layout, points: Points
) -> None:
    needed, other = b"n" * 32, b"o" * 32
    sentence = Sentence("2026-11-21T09:00:00Z", frozenset({"writer-1-ab"}))
    write_condemned(layout, {needed: sentence, other: sentence})
    points.commit(manifest_of(), lambda container: container == needed)
    assert read_condemned(layout) == {other: sentence}


def test_a_failed_commit_leaves_no_point(
    layout: Layout, points: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", refuse)
        layout.points.joinpath(KEYS.machine_directory("web1")).mkdir()
        with pytest.raises(Exception, match="Input/output error"):
            points.commit(manifest_of(), never)
    assert list(points.files()) == []
    assert os.listdir(layout.incoming) == []
    commit(points)


# ---- listing, naming ----------------------------------------------------------------------------


def test_points_are_listed_by_time(points: Points) -> None:
    for seconds in (3, 1, 2):
        commit(points, seconds)
    assert [points.read(file).name for file in points.files("web1")] == [
        name(seconds) for seconds in (1, 2, 3)
    ]
    assert list(points.files("nobody")) == []


def test_latest_is_the_newest_complete_point(points: Points) -> None:
    commit(points, 1)
    commit(points, 3)
    commit(points, 2)
    assert points.latest("web1") == name(3)


def test_latest_passes_over_incomplete_and_damaged_points(layout: Layout, points: Points) -> None:
    commit(points, 1)
    commit(points, 2, gaps=True)
    commit(points, 3)
    path = path_of(layout, points, 3)
    path.write_bytes(path.read_bytes()[:-1])
    assert points.latest("web1") == name(1)
    points.forget(name(1))
    with pytest.raises(NotFoundError, match="web1 has no complete point"):
        points.latest("web1")


def test_latest_as_of_a_moment_is_the_newest_that_is_not_after_it(points: Points) -> None:
    for seconds in (1, 2, 4):
        commit(points, seconds)
    commit(points, 3, gaps=True)
    for moment, expected in ((1, 1), (2, 2), (3, 2), (4, 4), (9, 4)):
        assert points.latest("web1", name(moment).time) == name(expected)
        assert points.resolve("web1@latest", name(moment).time) == name(expected)
    assert points.resolve(str(name(4)), name(1).time) == name(4)
    with pytest.raises(NotFoundError, match=r"at .* or before"):
        points.latest("web1", name(0).time)


def test_latest_passes_over_what_is_no_point(layout: Layout, points: Points) -> None:
    commit(points)
    folder = path_of(layout, points).parent
    for foreign in ("zzz.point", "99991231T235959Z.point", "note.txt", ".tmp-x.point"):
        (folder / foreign).write_bytes(b"foreign")
    (folder / "99981231T235959Z.point").mkdir()
    (folder / "99971231T235959Z.point").symlink_to("99971231T235959Z.point")
    (layout.points / "note.txt").write_bytes(b"")
    assert points.latest("web1") == name()
    assert len(list(points.files())) == 5


@pytest.mark.parametrize("machine", ["web1", "Büro 1", "Bu\u0308ro 1"])
def test_a_point_is_resolved_by_its_name_or_as_the_latest(points: Points, machine: str) -> None:
    made = points.commit(manifest_of("web1" if machine == "web1" else "Büro 1"), never).name
    assert points.resolve(f"{machine}@latest") == made
    assert points.resolve(f"{machine}@2026-11-21T09:30:00Z") == made


@pytest.mark.parametrize(
    "text", ["web1@2026-11-21T09:30:01Z", "web2@latest", "web2@2026-11-21T09:30:00Z"]
)
def test_a_point_that_does_not_exist_is_not_found(points: Points, text: str) -> None:
    commit(points)
    with pytest.raises(NotFoundError, match="'holdfast points' lists what there is"):
        points.resolve(text)


@pytest.mark.parametrize("text", ["", "web1", "@latest", "web1@now", "../x@latest", "a@b@latest"])
def test_what_names_no_point_is_a_wrong_request(points: Points, text: str) -> None:
    with pytest.raises(UsageError):
        points.resolve(text)


# ---- damage -------------------------------------------------------------------------------------


def test_any_flipped_bit_is_an_integrity_error_that_names_the_file(
    layout: Layout, points: Points
) -> None:
    commit(points)
    path = path_of(layout, points)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(IntegrityError, match=r"^point file .*20261121T093000Z\.point is damag"):
            points.open(name())


def test_a_point_under_another_name_is_not_that_point(layout: Layout, points: Points) -> None:
    commit(points)
    path = path_of(layout, points)
    path.rename(path.with_name("20261121T093001Z.point"))
    with pytest.raises(IntegrityError, match="it says that it is web1@2026-11-21T09:30:00Z"):
        points.open(name(1))
    other = layout.points / KEYS.machine_directory("web2")
    other.mkdir()
    path.with_name("20261121T093001Z.point").rename(other / path.name)
    with pytest.raises(IntegrityError, match="it says that it is web1"):
        points.open(name(machine="web2"))


# ---- forget -------------------------------------------------------------------------------------


def test_a_forgotten_point_lies_in_the_trash(layout: Layout, points: Points) -> None:
    commit(points)
    file = points.file_of(name())
    points.forget(name())
    assert not points.exists(name())
    assert points.read_path(points.trashed(file), file).name == name()
    with pytest.raises(NotFoundError, match="there is no point web1@"):
        points.forget(name())


def test_a_damaged_point_can_be_forgotten(layout: Layout, points: Points) -> None:
    commit(points)
    path_of(layout, points).write_bytes(b"damaged")
    points.forget(name())
    assert list(points.files()) == []


def test_a_forgotten_point_that_is_still_read_is_not_overwritten_by_a_namesake(
    layout: Layout, points: Points
) -> None:
    """A pin names a file: two points of one name would leave one of them unpinned."""
    commit(points)
    points.forget(name())
    again = points.commit(replace(manifest_of(), new_bytes=4711), never)
    points.forget(again.name)
    kept = set(layout.trash.glob("*.point"))
    assert len(kept) == 2
    file: PointFile = points.file_of(name())
    assert points.read_path(points.trashed(file), file).new_bytes != 4711


def test_of_two_that_forget_at_once_one_is_told(points: Points) -> None:
    for seconds in range(20):
        commit(points, seconds)
    told: list[PointName] = []

    def forget_all() -> None:
        for seconds in range(20):
            try:
                points.forget(name(seconds))
            except NotFoundError:
                told.append(name(seconds))

    threads = [threading.Thread(target=forget_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [name(seconds) for seconds in range(20)]
