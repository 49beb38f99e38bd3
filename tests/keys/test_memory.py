"""The unlocked key in a memory filesystem: where, for whom, and for how long."""

from __future__ import annotations

import os
import secrets
import stat
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from appliance.base.errors import AccessError, HoldfastError
from appliance.keys import memory
from appliance.keys.hierarchy import MasterKey
from appliance.keys.memory import forget_key, recall_key, remember_key

# Random, because runs at the same time share the memory of this machine.
MASTER = MasterKey(b"m" * 32, secrets.token_bytes(16))
Partition = namedtuple("Partition", "mountpoint fstype")


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two places of which the second is in memory, as far as the mount table tells."""
    disk, ram = tmp_path / "run", tmp_path / "shm"
    disk.mkdir()
    ram.mkdir()
    table = [Partition(str(disk), "ext4"), Partition(str(ram), "tmpfs")]
    monkeypatch.setattr(memory, "ROOTS", (disk, ram))
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: table)
    return disk, ram


@pytest.fixture
def real() -> Iterator[None]:
    yield
    forget_key(MASTER.store_id)


@pytest.mark.usefixtures("real")
def test_this_machine_keeps_a_key_in_a_memory_filesystem_and_drops_it() -> None:
    assert recall_key(MASTER.store_id) is None
    remember_key(MASTER)
    assert recall_key(MASTER.store_id) == MASTER
    held = [root / "holdfast" / MASTER.store_id.hex() for root in memory.ROOTS]
    (path,) = [path for path in held if path.exists()]
    types = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    assert types[str(path.parents[1])] in ("tmpfs", "ramfs")
    forget_key(MASTER.store_id)
    assert recall_key(MASTER.store_id) is None


def test_a_key_never_goes_where_a_disk_keeps_it(roots: tuple[Path, Path]) -> None:
    disk, ram = roots
    remember_key(MASTER)
    assert list(disk.iterdir()) == []
    path = ram / "holdfast" / MASTER.store_id.hex()
    assert path.read_bytes() == MASTER.secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_a_memory_filesystem_nothing_is_kept(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [])
    with pytest.raises(HoldfastError, match="no memory filesystem"):
        remember_key(MASTER)
    assert recall_key(MASTER.store_id) is None
    assert [list(root.iterdir()) for root in roots] == [[], []]


def test_a_directory_that_others_may_enter_is_refused(roots: tuple[Path, Path]) -> None:
    directory = roots[1] / "holdfast"
    directory.mkdir(mode=0o755)
    with pytest.raises(AccessError, match="not private"):
        remember_key(MASTER)
    (directory / MASTER.store_id.hex()).write_bytes(b"m" * 32)
    with pytest.raises(AccessError, match="not private"):
        recall_key(MASTER.store_id)


def test_a_directory_of_somebody_else_is_refused(
    roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (roots[1] / "holdfast").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(AccessError, match="not private"):
        remember_key(MASTER)


def test_a_link_to_somewhere_else_is_refused(roots: tuple[Path, Path]) -> None:
    (roots[0] / "trap").mkdir(mode=0o700)
    (roots[1] / "holdfast").symlink_to(roots[0] / "trap")
    with pytest.raises(AccessError, match="not private"):
        remember_key(MASTER)
    assert list((roots[0] / "trap").iterdir()) == []


def test_a_damaged_memory_asks_to_unlock_again(roots: tuple[Path, Path]) -> None:
    remember_key(MASTER)
    (roots[1] / "holdfast" / MASTER.store_id.hex()).write_bytes(b"short")
    with pytest.raises(AccessError, match="holdfast unlock"):
        recall_key(MASTER.store_id)


@pytest.mark.usefixtures("roots")
def test_a_key_is_kept_for_its_own_store_only() -> None:
    remember_key(MASTER)
    assert recall_key(b"x" * 16) is None
    forget_key(b"x" * 16)
    assert recall_key(MASTER.store_id) == MASTER
