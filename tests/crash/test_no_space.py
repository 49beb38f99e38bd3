"""A full disk: a clear word, exit 7, nothing lost, and a way out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Holdfast
from tests.images import mixed_image, write_image


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 128 MiB of its own."""
    image, directory = tmp_path / "small.ext4", tmp_path / "small"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    directory.mkdir()
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def fill(directory: Path) -> None:
    """Take every free byte."""
    with (directory / "filler").open("wb", buffering=0) as file:
        size_bytes = 1 << 20
        while size_bytes:
            try:
                file.write(os.urandom(size_bytes))
            except OSError:
                size_bytes //= 2


def test_a_full_disk_is_said_and_freed(tmp_path: Path, small_disk: Path, seed: int) -> None:
    holdfast = Holdfast(small_disk / "state")
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    images, points = [], []
    for number in range(20):  # how well an image compresses hangs on the seed
        image = write_image(tmp_path / f"{number}.raw", mixed_image(seed + number, 40))
        done = holdfast("--json", "backup", image, "--machine", f"m{number}")
        if done.code:
            break
        images.append(image)
        points.append(done.json()["name"])
    assert done.code == 7
    assert "forget" in done.err
    assert "--now" in done.err
    assert "Traceback" not in done.err
    assert points, "the disk was full before anything was stored"

    fill(small_disk)
    for name, image in zip(points, images, strict=True):
        assert holdfast("restore", name, "-", expect=0).stdout == image.read_bytes()
    holdfast("verify", expect=0)
    holdfast("points", expect=0)
    holdfast("status", expect=0)
    holdfast("forget", points[0], "--now", expect=0)
    freed = holdfast("--json", "collect", expect=0).json()["freed_bytes"]
    assert freed > 1 << 20
    holdfast("backup", write_image(tmp_path / "tiny.raw", mixed_image(seed, 1)), "--machine", "t")
    for name, image in list(zip(points, images, strict=True))[1:]:
        assert holdfast("restore", name, "-", expect=0).stdout == image.read_bytes()
    holdfast("verify", expect=0)
