"""Locks: exclusive, shared, and gone with the process that held them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.base.errors import BusyError, NotFoundError
from appliance.base.locks import FileLock, lock_descriptor, try_lock_descriptor
from tests.command import ROOT, Child

HOLD = """
import sys
from pathlib import Path
from appliance.base.locks import FileLock
with FileLock(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds the lock until it is let go or killed."""

    def __init__(self, path: Path, kind: str = "exclusive") -> None:
        self.process = Child(
            [sys.executable, "-c", HOLD, str(path), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self.process.read_line() == b"held\n"

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=120)


def test_a_lock_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Holder(path):
        with pytest.raises(BusyError, match="lock is in use by another process"):
            FileLock(path, wait=False).__enter__()
        with pytest.raises(BusyError, match="a mount is running"):
            FileLock(path, wait=False, shared=True, busy="a mount is running").__enter__()
    with FileLock(path, wait=False):
        pass


def test_two_locks_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock"), pytest.raises(BusyError):
        FileLock(tmp_path / "lock", wait=False).__enter__()


def test_shared_locks_stand_side_by_side_and_keep_the_exclusive_one_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    exclusive = FileLock(path, wait=False)
    with (
        Holder(path, "shared"),
        FileLock(path, shared=True, wait=False),
        pytest.raises(BusyError),
        exclusive,
    ):
        raise AssertionError("it was given")


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Holder(path) as holder:
        holder.process.kill()
        holder.process.wait(timeout=120)
        with FileLock(path, wait=False):
            pass


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    got = threading.Event()

    def wait() -> None:
        with FileLock(path):
            got.set()

    with Holder(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(timeout=0.1)
    assert got.wait(timeout=120)
    waiting.join()


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock"):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            with pytest.raises(BusyError):
                FileLock(tmp_path / "lock", wait=False).__enter__()
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_in_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="missing/lock"):
        FileLock(tmp_path / "missing" / "lock").__enter__()


def test_an_open_file_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    lock_descriptor(first)
    assert not try_lock_descriptor(second)
    os.close(first)
    assert try_lock_descriptor(second)
    os.close(second)
