"""Two more things to protect: an XFS disk, and one file that is a database.

Owns: both generations of each, cached under `build/bench/`. Never does: measure, or write a disk
of the corpus (they are mounted read-only). Seeded: the same bytes each time for the database; the
same files for XFS.

    xfs         1 GiB, the files of the corpus' small disk; then what changed in its second
    database    512 MiB of 16 KiB pages, half text, a quarter random, a quarter free;
                then 5 % of the pages rewritten in place

    python -m tests.bench.shapes
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image import layout, workbench
from image.disk_cache import DiskCache, hash_recipe
from image.workbench import run, say
from tests.bench import corpus as corpora
from tests.bench.corpus import CACHE_DIRECTORY, SEED, Corpus

XFS_BYTES = 1 << 30
XFS_UUID = "6c2f4c1e-0d0e-4b39-9d4c-2f1c5a8d7b11"
DATABASE_BYTES = 512 << 20
PAGE_BYTES = 16 << 10
REWRITTEN_SHARE = 0.05
_ROWS_PER_PAGE = 32
_PAGE_HEAD_BYTES = 38


def provide_shapes() -> list[Corpus]:
    """Both, built if they are not in the cache (needs root then)."""
    cache = DiskCache(CACHE_DIRECTORY, hash_recipe([corpora, sys.modules[__name__]]))
    return [_provide_xfs(cache), _provide_database(cache)]


# ---- XFS ----------------------------------------------------------------------------------------


def _provide_xfs(cache: DiskCache) -> Corpus:
    # Before the cache is locked: this is the same cache.
    small = corpora.provide_corpus(corpora.SMALL)

    def build_first(disk: Path, root: Path) -> None:
        with disk.open("wb") as file:
            file.truncate(XFS_BYTES)
        run(["mkfs.xfs", "-q", "-m", f"uuid={XFS_UUID}", disk], log=cache.log)
        _follow(small.first, disk, root, cache)

    def build_second(disk: Path, root: Path) -> None:
        cache.copy(first, disk)
        _follow(small.second, disk, root, cache)

    first = cache.provide("xfs-first", build_first)
    return Corpus("xfs", first, cache.provide("xfs-second", build_second))


def _follow(source: Path, disk: Path, root: Path, cache: DiskCache) -> None:
    """Make the tree of the XFS filesystem on `disk` that of the ext4 one on `source`."""
    read_only = f"ro,noload,loop,offset={layout.PARTITION_OFFSET_BYTES}"
    with (
        tempfile.TemporaryDirectory() as place,
        _mounted(source, read_only, Path(place, "ext4"), cache) as tree,
        _mounted(disk, "loop", root, cache),
    ):
        say(f"filling an XFS disk from {source.name}")
        for directory, names, files in os.walk(root, topdown=False):
            for name in (*files, *names):
                path = Path(directory, name)
                if os.path.lexists(tree / path.relative_to(root)):
                    continue
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
        run(["cp", "--archive", "--update", f"{tree}/.", root], log=cache.log)


@contextmanager
def _mounted(disk: Path, options: str, target: Path, cache: DiskCache) -> Iterator[Path]:
    target.mkdir(parents=True, exist_ok=True)
    run(["mount", "-o", options, disk, target], log=cache.log)
    try:
        yield target
    finally:
        run(["umount", target], log=cache.log)
        target.rmdir()


# ---- database -----------------------------------------------------------------------------------


def _provide_database(cache: DiskCache) -> Corpus:
    pages = DATABASE_BYTES // PAGE_BYTES

    def build_first(disk: Path, root: Path) -> None:
        generator = random.Random(SEED)
        words = _make_words(generator)
        with disk.open("wb") as file:
            for number in range(pages):
                file.write(_make_page(generator, words, number))

    def build_second(disk: Path, root: Path) -> None:
        cache.copy(first, disk)
        generator = random.Random(SEED + 1)
        words = _make_words(generator)
        with disk.open("r+b") as file:
            for number in sorted(generator.sample(range(pages), int(pages * REWRITTEN_SHARE))):
                file.seek(number * PAGE_BYTES)
                file.write(_make_page(generator, words, number))

    first = cache.provide("database-first", build_first)
    return Corpus("database", first, cache.provide("database-second", build_second))


def _make_words(generator: random.Random) -> bytes:
    """A megabyte of text of a few thousand words, of which rows are cut."""
    vocabulary = [
        "".join(generator.choices("aeinorstlmdu", k=generator.randrange(3, 10)))
        for _ in range(4000)
    ]
    return " ".join(generator.choices(vocabulary, k=170_000)).encode()[: 1 << 20]


def _make_page(generator: random.Random, words: bytes, number: int) -> bytes:
    """A head with a check sum and a number, rows of text and random keys, then free space."""
    row_bytes = (PAGE_BYTES - _PAGE_HEAD_BYTES) // _ROWS_PER_PAGE
    head = generator.randbytes(4) + number.to_bytes(8, "big") + bytes(_PAGE_HEAD_BYTES - 12)
    rows = [head]
    for _ in range(_ROWS_PER_PAGE * 3 // 4):
        start = generator.randrange(len(words) - row_bytes)
        rows.append(generator.randbytes(row_bytes // 3))
        rows.append(words[start : start + row_bytes - row_bytes // 3])
    return b"".join(rows).ljust(PAGE_BYTES, b"\0")


def main(_: list[str]) -> int:
    """Build both and say where they are."""
    for shape in provide_shapes():
        for disk in (shape.first, shape.second):
            say(f"{disk}: {disk.stat().st_size >> 20} MiB, {disk.stat().st_blocks >> 11} MiB used")
    return 0


if __name__ == "__main__":
    workbench.run_privately("tests.bench.shapes", main)
