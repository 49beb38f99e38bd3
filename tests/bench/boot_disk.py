"""A Debian disk to boot from a vault: as installed, or with as much in use as a server has.

Owns: the larger disk, cached under `build/bench/`. The files that fill it are seeded and compress
to half; nothing that boots reads them. Never does: measure.

    python -m tests.bench.boot_disk --out FILE [--full]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from image import debian_disk, layout, workbench
from image.disk_cache import DiskCache, hash_recipe
from image.workbench import mount_partition, run, say
from tests.bench.corpus import CACHE_DIRECTORY

DISK_BYTES = 8 << 30
SEED = 20261121
_FILES, _FILE_BYTES = 72, 56 << 20  # 4 GiB with what Debian takes
_PIECE_BYTES = 64 << 10


def provide_full() -> Path:
    """The disk with 4 GiB in use. Read it, never write it. Needs root unless it is cached."""
    installed = debian_disk.open_cache()
    cache = DiskCache(
        CACHE_DIRECTORY, hash_recipe([layout, workbench, debian_disk, sys.modules[__name__]])
    )

    def build(disk: Path, root: Path) -> None:
        cache.copy(debian_disk.provide_first(installed), disk)
        os.truncate(disk, DISK_BYTES)
        run(["sfdisk", "--quiet", "-N", "1", disk], given=", +\n", log=cache.log)
        # Not while it is mounted, for which some hosts have no right; the tools see no partitions.
        filesystem = f"{disk}?offset={layout.PARTITION_OFFSET_BYTES}"
        run(["e2fsck", "-f", "-p", filesystem], log=cache.log)
        size_kib = (DISK_BYTES - layout.PARTITION_OFFSET_BYTES) >> 10
        run(["resize2fs", filesystem, f"{size_kib}K"], log=cache.log)
        os.truncate(disk, DISK_BYTES)  # it cuts a file to the size of the filesystem
        run(["e2fsck", "-f", "-p", filesystem], log=cache.log)
        with mount_partition(disk, layout.PARTITION_OFFSET_BYTES, root, log=cache.log):
            say(f"writing {_FILES * _FILE_BYTES >> 20} MiB of files (seed {SEED})")
            _fill(root / "srv/data")

    return cache.provide("boot-full", build)


def _fill(folder: Path) -> None:
    generator = random.Random(SEED)
    for number in range(_FILES):
        path = folder / f"{number // 10}" / f"{number:03d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(_pieces(generator))


def _pieces(generator: random.Random) -> Iterator[bytes]:
    """Half of each piece is noise, the other half a line again and again."""
    for _ in range(_FILE_BYTES // _PIECE_BYTES):
        line = generator.randbytes(64)
        yield generator.randbytes(_PIECE_BYTES // 2) + line * (_PIECE_BYTES // 2 // len(line))


def main(arguments: list[str]) -> int:
    """Write the disk. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.boot_disk")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the disk")
    parser.add_argument("--full", action="store_true", help="with 4 GiB in use")
    options = parser.parse_args(arguments)
    cache = debian_disk.open_cache()
    cache.copy(provide_full() if options.full else debian_disk.provide_first(cache), options.out)
    return 0


if __name__ == "__main__":
    workbench.run_privately("tests.bench.boot_disk", main)
