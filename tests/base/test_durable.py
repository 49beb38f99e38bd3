"""Durable writes: the order of what reaches the disk, and what is there when any step fails."""

from __future__ import annotations

import errno
import mmap
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.base import durable
from appliance.base.errors import AccessError, HoldfastError, NoSpaceError, NotFoundError


class Recorder:
    """Notes in which order the kernel is asked for what; asks it all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        self._paths: dict[int, str] = {}
        for name in ("open", "write", "fsync", "close", "link", "rename", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._recording(name, getattr(os, name)))

    def _recording(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            first = arguments[0]
            result = real(*arguments, **options)
            if name == "open":
                assert isinstance(result, int)
                self._paths[result] = shown(first)
                return result
            what = self._paths.get(first, "?") if isinstance(first, int) else shown(first)
            target = f" {shown(arguments[1])}" if name in ("link", "rename") else ""
            if name != "close":
                self.steps.append(f"{name} {what}{target}")
            return result

        return call


def shown(path: object) -> str:
    name = os.fsdecode(path).rsplit("/", 1)[-1] if isinstance(path, str | bytes | Path) else "?"
    return "TEMPORARY" if name.startswith(durable.TEMPORARY_PREFIX) else name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Recorder:
    return Recorder(monkeypatch)


def fail(monkeypatch: pytest.MonkeyPatch, name: str, number: int, when: int = 1) -> None:
    """Let the `when`-th call of os.`name` raise OSError `number`."""
    real, calls = getattr(os, name), [0]

    def call(*arguments: object, **options: object) -> object:
        calls[0] += 1
        if calls[0] == when:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(os, name, call)


# ---- the order ----------------------------------------------------------------------------------


def test_bytes_are_durable_before_the_name_and_the_name_before_the_return(
    folder: Path, recorder: Recorder
) -> None:
    durable.write_file(folder / "file", b"new")
    assert recorder.steps == [
        "write TEMPORARY",
        "fsync TEMPORARY",
        "rename TEMPORARY file",
        "fsync folder",
    ]
    assert os.listdir(folder) == ["file"]


def test_a_name_that_must_be_new_is_linked(folder: Path, recorder: Recorder) -> None:
    durable.write_file(folder / "file", b"new", replace=False)
    assert recorder.steps == [
        "write TEMPORARY",
        "fsync TEMPORARY",
        "link TEMPORARY file",
        "unlink TEMPORARY",
        "fsync folder",
    ]


def test_a_move_is_durable_in_both_folders(folder: Path, recorder: Recorder) -> None:
    (folder / "other").mkdir()
    (folder / "file").write_bytes(b"x")
    recorder.steps.clear()
    durable.move_file(folder / "file", folder / "other" / "file")
    assert recorder.steps == ["rename file file", "fsync other", "fsync folder"]


def test_a_removal_is_durable_and_a_missing_file_fine(folder: Path, recorder: Recorder) -> None:
    (folder / "file").write_bytes(b"x")
    durable.remove_file(folder / "file")
    assert recorder.steps == ["unlink file", "fsync folder"]
    durable.remove_file(folder / "file")


def test_new_folders_are_durable_from_the_outside_in(folder: Path, recorder: Recorder) -> None:
    durable.make_directory(folder / "a" / "b")
    assert recorder.steps == ["mkdir a", "fsync folder", "mkdir b", "fsync a"]
    recorder.steps.clear()
    durable.make_directory(folder / "a" / "b")
    assert recorder.steps == []


def test_what_was_written_to_an_open_file_is_synced_with_its_name(
    folder: Path, recorder: Recorder
) -> None:
    descriptor = os.open(folder / "file", os.O_WRONLY | os.O_CREAT)
    durable.sync_and_close(descriptor, folder / "file")
    assert recorder.steps == ["fsync file", "fsync folder"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


# ---- every step may fail ------------------------------------------------------------------------

REPLACING = [("open", 1), ("write", 1), ("fsync", 1), ("rename", 1)]
LINKING = [("open", 1), ("write", 1), ("fsync", 1), ("link", 1)]


@pytest.mark.parametrize(("name", "when"), REPLACING)
def test_a_failed_step_leaves_the_old_file_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: int
) -> None:
    (folder / "file").write_bytes(b"old")
    fail(monkeypatch, name, errno.ENOSPC, when)
    with pytest.raises(NoSpaceError, match="holdfast forget"):
        durable.write_file(folder / "file", b"new")
    monkeypatch.undo()
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"old"


@pytest.mark.parametrize(("name", "when"), LINKING)
def test_a_failed_step_leaves_no_new_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: int
) -> None:
    fail(monkeypatch, name, errno.ENOSPC, when)
    with pytest.raises(NoSpaceError, match="holdfast forget"):
        durable.write_file(folder / "file", b"new", replace=False)
    monkeypatch.undo()
    assert os.listdir(folder) == []


def test_a_failed_sync_is_not_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(HoldfastError, match="file: Input/output error"):
        durable.write_file(folder / "file", b"new")
    assert os.listdir(folder) == []


def test_a_taken_name_is_left_alone(folder: Path) -> None:
    (folder / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        durable.write_file(folder / "file", b"new", replace=False)
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"old"


def test_a_block_that_raises_leaves_the_old_file(folder: Path) -> None:
    (folder / "file").write_bytes(b"old")

    def write_half() -> None:
        with durable.open_durably(folder / "file") as descriptor:
            os.write(descriptor, b"half")
            raise KeyError("something else")

    with pytest.raises(KeyError):
        write_half()
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"old"


def test_a_write_error_of_the_block_names_the_file(folder: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(NoSpaceError, match="file: No space"), durable.open_durably(folder / "file"):
        os.write(full, b"x")
    os.close(full)
    assert os.listdir(folder) == []


# ---- the rest -----------------------------------------------------------------------------------


def test_a_file_is_private_unless_told_otherwise(folder: Path) -> None:
    durable.write_file(folder / "a", b"")
    durable.write_file(folder / "b", b"", mode=0o644)
    durable.make_directory(folder / "c")
    modes = [(folder / name).stat().st_mode & 0o777 for name in "abc"]
    assert modes == [0o600, 0o644, 0o700]


def test_the_temporary_file_lies_in_the_staging_folder(folder: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    with durable.open_durably(folder / "file", staging=staging) as descriptor:
        durable.write_all(descriptor, bytearray(b"new"))
        assert len(os.listdir(staging)) == 1
        assert os.listdir(folder) == []
    assert os.listdir(staging) == []
    assert (folder / "file").read_bytes() == b"new"


def test_short_writes_are_continued(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    durable.write_file(folder / "file", memoryview(b"a longer text"))
    assert (folder / "file").read_bytes() == b"a longer text"


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(folder: Path) -> None:
    (folder / f"{durable.TEMPORARY_PREFIX}abc").write_bytes(b"half")
    (folder / "file").write_bytes(b"whole")
    durable.remove_temporaries(folder)
    assert os.listdir(folder) == ["file"]
    durable.remove_temporaries(folder / "missing")


def test_a_file_in_the_way_of_a_folder_is_an_error_that_names_it(folder: Path) -> None:
    (folder / "a").write_bytes(b"")
    with pytest.raises(HoldfastError, match="/a"):
        durable.make_directory(folder / "a" / "b")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EACCES, AccessError),
        (errno.EPERM, AccessError),
        (errno.EROFS, AccessError),
        (errno.ENOENT, NotFoundError),
        (errno.EIO, HoldfastError),
        (errno.ELOOP, HoldfastError),
    ],
)
def test_every_error_of_the_system_has_a_class_and_names_the_file(
    number: int, expected: type[HoldfastError]
) -> None:
    with pytest.raises(HoldfastError) as caught, durable.named_os_errors("/disk/file"):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is expected
    assert str(caught.value).startswith(f"/disk/file: {os.strerror(number)}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 4097, (3 << 20) + 17])
@pytest.mark.parametrize("shift", [0, 1, 512])
def test_what_is_written_past_the_cache_is_what_was_given(
    tmp_path: Path, size_bytes: int, shift: int
) -> None:
    """Memory that begins at a page or not, sizes that fill pages or not."""
    with mmap.mmap(-1, (4 << 20) + 4096) as memory:
        data = random.Random(size_bytes).randbytes(size_bytes)
        memory[shift : shift + size_bytes] = data
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        with memoryview(memory)[shift : shift + size_bytes] as view:
            durable.write_past_cache(descriptor, view)
        os.write(descriptor, b"more")  # nothing of it lasts
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == data + b"more"


def test_a_write_that_stops_within_a_page_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 3)]))
    with mmap.mmap(-1, 1 << 20) as memory:
        memory[:] = random.Random(1).randbytes(1 << 20)
        descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
        durable.write_past_cache(descriptor, memory[:])
        os.close(descriptor)
        assert (tmp_path / "file").read_bytes() == memory[:]
