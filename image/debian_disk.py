"""A real, bootable Debian 12 disk: MBR, boot loader, ext4, systemd, login on screen and serial.

Owns: the demo's two generations, cached under `build/demo-disk/`, and the command line. Never
does: touch the host outside the checkout's `build/` and the files it is told to write; leave a
mount or a loop device.

    python -m image.debian_disk [--out FILE [--second FILE2]]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import uuid
from pathlib import Path

from appliance.base.errors import HoldfastError
from image import debian_root, layout, mirror, workbench
from image.disk_cache import DiskCache, hash_recipe
from image.layout import PARTITION_OFFSET_BYTES
from image.workbench import mount_partition, run

CACHE_DIRECTORY = Path(__file__).resolve().parent.parent / "build" / "demo-disk"
DISK_BYTES = 2 << 30
_BOOT_CODE = Path("/usr/lib/EXTLINUX/mbr.bin")
_NEEDED = {"debootstrap": "debootstrap", "extlinux": "extlinux", "sfdisk": "fdisk"}


def open_cache() -> DiskCache:
    """The cache of what this text and its helpers build."""
    recipe = hash_recipe([debian_root, layout, mirror, workbench, sys.modules[__name__]])
    return DiskCache(CACHE_DIRECTORY, recipe)


def provide_first(cache: DiskCache) -> Path:
    """The machine as installed. Read it, never write it. Needs root unless it is cached.

    Raises HoldfastError when a tool is missing or fails.
    """

    def build(disk: Path, root: Path) -> None:
        _check_tools()
        cache.log.write_bytes(b"")
        filesystem = str(uuid.uuid4())
        layout.make_disk(disk, DISK_BYTES, filesystem, debian_root.HOSTNAME, log=cache.log)
        layout.write_boot_code(disk, _BOOT_CODE.read_bytes())
        with mount_partition(disk, PARTITION_OFFSET_BYTES, root, log=cache.log):
            source = mirror.find_mirror()
            debian_root.fill_root(root, filesystem, source, cache.downloads, log=cache.log)
            # What was written and deleted while building is not part of the machine's life.
            run(["fstrim", root], log=cache.log)

    return cache.provide("first", build)


def provide_second(cache: DiskCache) -> Path:
    """The same machine some days later. Read it, never write it. Needs root unless cached."""
    first = provide_first(cache)

    def build(disk: Path, root: Path) -> None:
        cache.copy(first, disk)
        _change(disk, root, cache)

    return cache.provide("second", build)


def main(arguments: list[str]) -> int:
    """Write the disk, and its second generation if asked for. Gives the exit status.

    Without a file to write, both generations are there afterwards for whoever asks next.
    """
    parser = argparse.ArgumentParser(
        prog="python -m image.debian_disk",
        description="Make a real, bootable Debian 12 disk (needs root).",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the disk")
    parser.add_argument("--second", type=Path, metavar="FILE2", help="the same disk, days later")
    options = parser.parse_args(arguments)
    cache = open_cache()
    if options.out is None:
        provide_second(cache)
    else:
        cache.copy(provide_first(cache), options.out)
    if options.second:
        cache.copy(provide_second(cache), options.second)
    return 0


def _change(disk: Path, root: Path, cache: DiskCache) -> None:
    with mount_partition(disk, PARTITION_OFFSET_BYTES, root, log=cache.log):
        debian_root.change_root(root, mirror.find_mirror(), cache.downloads, log=cache.log)


def _check_tools() -> None:
    for program, package in _NEEDED.items():
        if shutil.which(program) is None:
            raise HoldfastError(f"{program} is not installed: apt-get install {package}")


if __name__ == "__main__":
    workbench.run_privately("image.debian_disk", main)
