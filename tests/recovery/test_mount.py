"""The real thing: the kernel, FUSE, and processes that get killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.base.errors import BusyError, HoldfastError, NotFoundError, UsageError
from appliance.recovery.mount import (
    detach_stale,
    end_mount,
    mount_in_background,
    prepare_directory,
    unmount,
)
from appliance.recovery.mount_note import is_mounted, list_mounts
from appliance.recovery.runtime import ProcessId, Runtime, poll
from tests.recovery.conftest import Lab
from tests.recovery.mount_process import DAMAGED, MTIME_S

TIME = "2026-11-21T09:30:00Z"
POINT = f"web1@{TIME}"
DISK = bytes(range(256)) * 4096  # 1 MiB
ODD = b"x" * 70_001
PATIENCE_S = 60


@pytest.fixture
def directory(lab: Lab) -> Path:
    return lab.folder / "here"


@pytest.fixture
def mounted(lab: Lab, directory: Path) -> Path:
    lab.add_point(POINT, DISK, ODD)
    lab.mount(directory)
    return directory


@contextmanager
def refusing(number: int) -> Iterator[None]:
    with pytest.raises(OSError, match=r".") as refused:
        yield
    assert refused.value.errno == number


def kill(process: ProcessId) -> None:
    os.kill(process.pid, signal.SIGKILL)
    assert poll(lambda: not process.is_alive(), PATIENCE_S)


def test_points_are_folders_of_their_disks(mounted: Path) -> None:
    assert sorted(os.listdir(mounted)) == ["web1"]
    assert os.listdir(mounted / "web1") == [TIME]
    assert sorted(os.listdir(mounted / "web1" / TIME)) == ["disk0.raw", "disk1.raw"]


def test_disks_hold_their_bytes_wherever_they_are_read(mounted: Path) -> None:
    place = mounted / "web1" / TIME
    assert (place / "disk0.raw").read_bytes() == DISK
    assert (place / "disk1.raw").read_bytes() == ODD
    with (place / "disk0.raw").open("rb") as file:
        assert os.pread(file.fileno(), 1000, len(DISK) - 100) == DISK[-100:]
        assert os.pread(file.fileno(), 1000, len(DISK) + 5) == b""
        assert os.pread(file.fileno(), 7, 70_000) == DISK[70_000:70_007]


def test_attributes_are_those_of_an_old_file_that_nobody_can_write(mounted: Path) -> None:
    disk = (mounted / "web1" / TIME / "disk1.raw").stat()
    assert (disk.st_mode, disk.st_size) == (0o100444, len(ODD))
    assert disk.st_blocks == -(-len(ODD) // 512)
    assert disk.st_mtime == MTIME_S
    assert (mounted / "web1").stat().st_mode == 0o40555
    assert (mounted / "web1" / TIME).stat().st_mtime == MTIME_S
    assert os.statvfs(mounted).f_flag & os.ST_RDONLY


def test_nothing_can_be_written(mounted: Path) -> None:
    disk = mounted / "web1" / TIME / "disk0.raw"
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        with refusing(errno.EROFS):
            os.open(disk, flags)
    with refusing(errno.EROFS):
        disk.unlink()
    with refusing(errno.EROFS):
        (mounted / "new").touch()
    with refusing(errno.EROFS):
        (mounted / "new").mkdir()
    with refusing(errno.EROFS):
        disk.chmod(0o777)


@pytest.mark.parametrize(
    "name",
    [
        "web2",
        "web1/2026-11-21T09:30:01Z",
        f"web1/{TIME}/disk2.raw",
        f"web1/{TIME}/disk00.raw",
        f"web1/{TIME}/disk99999999999999999999.raw",
        f"web1/{TIME}/disk0.raw\n",
        f"web1/{TIME}/disk\u0660.raw",
    ],
)
def test_what_is_not_there_does_not_exist(mounted: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        (mounted / name).stat()


def test_a_name_that_is_no_text_is_refused_and_harms_nobody(mounted: Path) -> None:
    with refusing(errno.EINVAL):
        (mounted / os.fsdecode(b"web1\xff")).stat()
    assert os.listdir(mounted) == ["web1"]


def test_a_damaged_disk_is_an_io_error_and_the_others_are_read(lab: Lab, directory: Path) -> None:
    lab.add_point(POINT, DAMAGED + DISK, ODD)
    lab.mount(directory)
    with refusing(errno.EIO):
        (directory / "web1" / TIME / "disk0.raw").read_bytes()
    assert (directory / "web1" / TIME / "disk1.raw").read_bytes() == ODD
    assert "is damaged" in lab.runtime.mount_log.read_text()


def test_a_point_made_later_appears(lab: Lab, mounted: Path) -> None:
    assert len(os.listdir(mounted / "web1")) == 1
    lab.add_point("web1@2026-11-22T09:30:00Z", DISK)
    lab.add_point("db@2026-11-22T09:30:00Z", ODD)
    later = mounted / "web1" / "2026-11-22T09:30:00Z" / "disk0.raw"
    assert poll(lambda: later.exists() and (mounted / "db").exists(), PATIENCE_S)
    assert later.read_bytes() == DISK
    assert len(os.listdir(mounted / "web1")) == 2


def test_an_open_disk_is_shared_and_outlives_its_name(lab: Lab, mounted: Path) -> None:
    disk = mounted / "web1" / TIME / "disk0.raw"
    with disk.open("rb") as first, disk.open("rb") as second:
        (lab.files / "web1" / TIME / "0").unlink()
        first.close()
        assert os.pread(second.fileno(), len(DISK), 0) == DISK


def test_many_threads_read_the_right_bytes(mounted: Path) -> None:
    wrong: list[int] = []

    def read(start: int) -> None:
        with (mounted / "web1" / TIME / "disk0.raw").open("rb") as file:
            for offset in range(start, len(DISK), 65_536):
                if os.pread(file.fileno(), 1000, offset) != DISK[offset : offset + 1000]:
                    wrong.append(offset)

    threads = [threading.Thread(target=read, args=(7919 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_unmounting_ends_the_process_and_its_note(lab: Lab, directory: Path) -> None:
    lab.add_point(POINT, DISK)
    process = lab.mount(directory)
    assert [note.server for note in list_mounts(lab.runtime)] == [process]
    unmount(directory, lab.runtime)
    assert not is_mounted(directory)
    assert not process.is_alive()
    assert not list_mounts(lab.runtime)
    assert os.listdir(directory) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(lab: Lab, directory: Path, number: signal.Signals) -> None:
    process = lab.mount(directory)
    os.kill(process.pid, number)
    assert poll(lambda: not process.is_alive(), PATIENCE_S)
    assert not is_mounted(directory)
    assert not list_mounts(lab.runtime)


def test_a_mount_in_use_is_busy_unless_taken_away_lazily(lab: Lab, mounted: Path) -> None:
    with (mounted / "web1" / TIME / "disk0.raw").open("rb") as file:
        with pytest.raises(BusyError, match="fuser"):
            unmount(mounted, lab.runtime)
        unmount(mounted, lab.runtime, lazy=True)
        assert not is_mounted(mounted)
        assert os.pread(file.fileno(), len(DISK), 0) == DISK
    assert poll(
        lambda: not any(note.server.is_alive() for note in list_mounts(lab.runtime)), PATIENCE_S
    )


def test_only_own_mounts_are_unmounted(lab: Lab, directory: Path) -> None:
    with pytest.raises(NotFoundError):
        unmount(directory, lab.runtime)
    with pytest.raises(NotFoundError):
        unmount(Path("/proc"), lab.runtime)
    end_mount(Path("/proc"), lab.runtime)
    assert Path("/proc/self").exists()


def test_what_a_killed_process_left_is_detached(lab: Lab, directory: Path) -> None:
    lab.add_point(POINT, DISK)
    kill(lab.mount(directory))
    with pytest.raises(OSError, match=r"[Tt]ransport|abort"):
        os.listdir(directory)
    assert detach_stale(lab.runtime) == [directory]
    assert os.listdir(directory) == []
    assert not list(lab.runtime.mounts.iterdir())
    lab.mount(directory)
    assert os.listdir(directory) == ["web1"]
    assert detach_stale(lab.runtime) == []
    assert os.listdir(directory) == ["web1"]


def test_an_old_note_does_not_detach_a_new_mount_at_the_same_place(
    lab: Lab, directory: Path
) -> None:
    process = lab.mount(directory)
    note = next(lab.runtime.mounts.iterdir())
    kept = note.read_bytes()
    kill(process)
    end_mount(directory, lab.runtime)
    lab.mount(directory)
    note.write_bytes(kept)
    assert detach_stale(lab.runtime) == []
    assert is_mounted(directory)
    assert len(list_mounts(lab.runtime)) == 1


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"{}", b'{"directory": 1, "kind": []}', b"\xff", b"[" * 100_000]
)
def test_a_note_of_garbage_is_thrown_away(lab: Lab, garbage: bytes) -> None:
    lab.runtime.mounts.mkdir(parents=True)
    (lab.runtime.mounts / "a.json").write_bytes(garbage)
    assert list_mounts(lab.runtime) == []
    assert detach_stale(lab.runtime) == []
    assert not list(lab.runtime.mounts.iterdir())


def test_nothing_to_heal_costs_nothing(tmp_path: Path) -> None:
    assert detach_stale(Runtime(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


def test_where_one_cannot_mount(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UsageError, match="not a directory"):
        prepare_directory(tmp_path / "file")
    with pytest.raises(UsageError, match="not empty"):
        prepare_directory(tmp_path / "full")
    with pytest.raises(NotFoundError):
        prepare_directory(tmp_path / "no" / "where")
    assert prepare_directory(tmp_path / "new").is_dir()


def test_one_place_holds_one_mount(lab: Lab, mounted: Path) -> None:
    with pytest.raises(BusyError, match="umount"):
        lab.mount(mounted)


def test_a_place_may_have_spaces_and_be_reached_through_a_link(lab: Lab) -> None:
    lab.add_point(POINT, DISK)
    (lab.folder / "a b\tc").mkdir()
    (lab.folder / "link").symlink_to("a b\tc")
    lab.mount(lab.folder / "link" / "d e")
    assert is_mounted(lab.folder / "a b\tc" / "d e")
    unmount(lab.folder / "link" / "d e", lab.runtime)


def test_what_a_failing_process_said_is_the_error(lab: Lab, directory: Path) -> None:
    argv = ["sh", "-c", "echo first; echo no key here >&2; exit 8"]
    with pytest.raises(HoldfastError, match="no key here"):
        mount_in_background(argv, directory, lab.runtime.mount_log)
    assert not is_mounted(directory)


def test_a_process_that_never_mounts_is_ended(lab: Lab, directory: Path) -> None:
    argv = ["sleep", f"987654.{os.getpid()}"]
    with pytest.raises(HoldfastError, match="not mounted within"):
        mount_in_background(argv, directory, lab.runtime.mount_log, timeout_s=0.2)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert " ".join(argv) not in listed.stdout


def test_a_copy_in_another_namespace_keeps_nothing_alive(lab: Lab, directory: Path) -> None:
    server = lab.mount(directory)
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo up; exec sleep 600"]
    container = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert container.stdout is not None
        container.stdout.readline()
        unmount(directory, lab.runtime)
        assert container.poll() is None
        assert not server.is_alive()
    finally:
        container.kill()
        container.communicate()
