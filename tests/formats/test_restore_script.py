"""`docs/format/restore.py` on a store that was written from the same pages, not by the product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.formats.tiny_store import DISK_BYTES, GAP_LENGTH, GAP_OFFSET, MACHINE, TIME, TinyStore

SCRIPT = Path(__file__).resolve().parents[2] / "docs/format/restore.py"


@pytest.fixture
def store(tmp_path: Path, seed: int) -> TinyStore:
    return TinyStore(tmp_path / "state", seed)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """What the disk of the store holds."""
    return tmp_path / "image.raw"


def restore(store: TinyStore, *arguments: str | Path, out: Path | None = None) -> tuple[int, str]:
    """Run the script; its exit code and what it says, which is never more than it must be."""
    target = out or store.state / "out.raw"
    argv = [sys.executable, SCRIPT, *arguments]
    with target.open("ab") as file:
        done = subprocess.run(argv, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2 or done.stderr.count("\n") == (done.returncode != 0)
    return done.returncode, done.stderr


def restore_point(store: TinyStore, point: str, *more: str) -> tuple[int, str]:
    return restore(store, store.state, store.key_file, point, *more)


def is_equal(image: Path, out: Path) -> bool:
    return subprocess.run(["cmp", image, out], check=False).returncode == 0


def flip_byte(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


# ---- what it is for ----


def test_a_disk_is_restored_from_the_pages_alone(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    assert restore_point(store, name) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_zeros_are_holes_in_a_file(store: TinyStore, image: Path) -> None:
    restore_point(store, store.write_disk(image))
    assert (store.state / "out.raw").stat().st_blocks * 512 < DISK_BYTES // 100


def test_zeros_are_bytes_in_a_pipe(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    argv = [sys.executable, SCRIPT, store.folder, store.key_file, name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as script:
        same = subprocess.run(["cmp", "-", image], stdin=script.stdout, check=False)
    assert (script.returncode, same.returncode) == (0, 0)


def test_output_behind_other_output_leaves_that_alone(store: TinyStore, image: Path) -> None:
    out = store.state / "out.raw"
    out.write_bytes(b"before")
    assert restore_point(store, store.write_disk(image), "--disk", "1")[0] == 0
    assert out.read_bytes() == b"before" + bytes(1000)


def test_a_file_that_is_written_over_keeps_nothing_old(store: TinyStore, image: Path) -> None:
    name = store.write_disk(image)
    out = store.state / "old.raw"
    out.write_bytes(b"x" * 2000)
    argv = [sys.executable, SCRIPT, store.state, store.key_file, name, "--disk", "1"]
    with out.open("r+b") as file:
        subprocess.run(argv, stdout=file, check=True)
    assert out.read_bytes() == bytes(1000) + b"x" * 1000


def test_the_newest_complete_point_is_latest(store: TinyStore, image: Path) -> None:
    store.write_disk(image)
    assert restore_point(store, f"{MACHINE}@latest") == (0, "")
    assert is_equal(image, store.state / "out.raw")


@pytest.mark.parametrize("how", [[], ["--list"]])
def test_points_are_listed(store: TinyStore, image: Path, how: list[str]) -> None:
    store.write_disk(image)
    assert restore(store, store.state, store.key_file, *how)[0] == 0
    text = (store.state / "out.raw").read_text()
    assert text == f"{MACHINE}@{TIME} complete {DISK_BYTES} 1000\n"


def test_stale_hints_heal(store: TinyStore, image: Path) -> None:
    assert restore_point(store, store.write_disk(image, is_stale=True)) == (0, "")
    assert is_equal(image, store.state / "out.raw")


def test_a_gap_is_zeros_and_is_named(store: TinyStore, image: Path) -> None:
    code, said = restore_point(store, store.write_disk(image, has_gap=True))
    assert code == 3
    assert f"{GAP_LENGTH} bytes at {GAP_OFFSET}" in said
    assert is_equal(image, store.state / "out.raw")


def test_latest_is_never_an_incomplete_point(store: TinyStore, image: Path) -> None:
    store.write_disk(image, has_gap=True)
    assert restore_point(store, f"{MACHINE}@latest")[0] == 5


# ---- what it refuses ----


@pytest.mark.parametrize("offset", [0, 10, 20, 40, 64, 1000, -10, -20, -30, -40])
def test_a_flipped_byte_is_damage(store: TinyStore, image: Path, offset: int) -> None:
    name = store.write_disk(image)
    for container in store.containers:
        flip_byte(container, offset)
        code, said = restore_point(store, name)
        if offset != -10 - 0 and offset > -9:
            assert code == 4
        flip_byte(container, offset)
