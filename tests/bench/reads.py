"""Random reads of 4 KiB through mounts: ours, the peers', and a raw file's as the yardstick.

Owns: mounting for the bench, the offsets, reads per second. Never does: leave a mount.
One thread reads aligned pages at seeded offsets within used areas; the same offsets for all.

    cold    a fresh mount process; the pages of all files it could read are dropped from the
            page cache (POSIX_FADV_DONTNEED, only theirs) before it starts
    warm    the first WARM_OFFSETS of the same offsets once more, over and over: the program's
            own caches answer, for before each round the kernel drops its pages of the mounted
            file (otherwise no program would be asked at all)
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.base.errors import HoldfastError
from tests.bench.cost import Running, peak_memory_bytes
from tests.bench.images import warm
from tests.bench.programs import Program
from tests.bench.trial import Sample, Trial

COLD = "4 KiB reads, cold"
WARM = "4 KiB reads, warm"
RAW = "raw file by FUSE"
PAGE_BYTES = 4096
WARM_OFFSETS = 1000
SEED = 20261121
_OFFSETS = 200_000
_CHECKED = 200
_MOUNT_TIMEOUT_S = 60.0


def measure_reads(trial: Trial, program: Program, image: Path) -> None:
    """Both rows for `program`, which holds `image` as its second generation."""
    directory = program.place / "mount"
    os.sync()
    drop_pages(program.place)
    argv = program.mount(directory, "second")
    with _mounted(trial, argv, program.environment, directory) as server:
        mounted = _await(lambda: program.mounted_file(directory, image, "second"), server)
        _measure_file(trial, program.name, mounted, image, server)


def measure_raw_reads(trial: Trial, image: Path) -> None:
    """Both rows for a passthrough in Python: what FUSE alone costs."""
    directory = trial.place / "raw-mount"
    drop_pages(image)
    argv: list[str | Path] = [sys.executable, "-m", "tests.bench.passthrough", image, directory]
    with _mounted(trial, argv, {}, directory) as server:
        mounted = _await(lambda: directory / "raw", server)
        _measure_file(trial, RAW, mounted, image, server)
    warm(image)


def drop_pages(path: Path) -> None:
    """Drop the clean pages of a file, or of all files below a directory, from the page cache."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file() and not file.is_symlink():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def choose_offsets(image: Path) -> list[int]:
    """Seeded page offsets within the areas of `image` that are not holes."""
    areas = list(_list_areas(image))
    generator = random.Random(SEED)
    chosen = generator.choices(areas, weights=[length for _, length in areas], k=_OFFSETS)
    return [
        start + generator.randrange(length // PAGE_BYTES) * PAGE_BYTES for start, length in chosen
    ]


def _list_areas(image: Path) -> Iterator[tuple[int, int]]:
    """(offset, length) of what holds at least one page."""
    with image.open("rb", buffering=0) as file:
        end, size_bytes = 0, os.fstat(file.fileno()).st_size
        while end < size_bytes:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            if end - start >= PAGE_BYTES:
                yield start, end - start


def _measure_file(trial: Trial, name: str, mounted: Path, image: Path, server: Running) -> None:
    offsets = choose_offsets(image)
    limit_s = 2.0 if trial.quick else 5.0
    descriptor = os.open(mounted, os.O_RDONLY)
    try:
        done, seconds = _read(descriptor, offsets, limit_s)
        trial.record(COLD, name, _as_sample(server, done, seconds))
        warmed = offsets[:WARM_OFFSETS]
        _read(descriptor, warmed, float("inf"))
        done, seconds = 0, 0.0
        while seconds < limit_s:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            more, more_s = _read(descriptor, warmed, limit_s - seconds)
            done, seconds = done + more, seconds + more_s
        trial.record(WARM, name, _as_sample(server, done, seconds))
        _check(descriptor, image, offsets[:_CHECKED], name)
    finally:
        os.close(descriptor)


def _as_sample(server: Running, done: int, seconds: float) -> Sample:
    peak_bytes = peak_memory_bytes(server.process.pid)
    return {"reads_s": done / seconds, "max_rss_bytes": peak_bytes}


def _read(descriptor: int, offsets: list[int], limit_s: float) -> tuple[int, float]:
    """Read pages until the offsets or the time end. Gives (reads, seconds)."""
    began_s = now_s = time.monotonic()
    done = 0
    for offset in offsets:
        os.pread(descriptor, PAGE_BYTES, offset)
        now_s = time.monotonic()
        done += 1
        if now_s - began_s > limit_s:
            break
    return done, now_s - began_s


def _check(descriptor: int, image: Path, offsets: list[int], name: str) -> None:
    with image.open("rb", buffering=0) as file:
        for offset in offsets:
            expected = os.pread(file.fileno(), PAGE_BYTES, offset)
            if os.pread(descriptor, PAGE_BYTES, offset) != expected:
                raise HoldfastError(f"{name}: wrong bytes at {offset} of {image.name}")


def _await(find: Callable[[], Path], server: Running) -> Path:
    """The mounted file once it is there."""
    deadline_s = time.monotonic() + _MOUNT_TIMEOUT_S
    while time.monotonic() < deadline_s and server.process.poll() is None:
        with suppress(OSError, IndexError):
            if (found := find()).is_file():
                return found
        time.sleep(0.05)
    raise HoldfastError("a mount did not come up: see complaints.log of the bench")


@contextmanager
def _mounted(
    trial: Trial, argv: list[str | Path], environment: dict[str, str], directory: Path
) -> Iterator[Running]:
    directory.mkdir()
    server = Running(argv, environment, trial.log)
    try:
        yield server
    finally:
        subprocess.run(["umount", directory], check=False, capture_output=True)
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(timeout=10)
        server.stop()
        # Whatever happened, no mount may stand when the work directory is removed.
        subprocess.run(["umount", "--lazy", directory], check=False, capture_output=True)
        directory.rmdir()
