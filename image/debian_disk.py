"""A real, bootable Debian 12 disk: MBR, boot loader, ext4, systemd, login on screen and serial.

Owns: partitions, the cache under `build/demo-disk/`, the command line. Never does: touch the host
outside the checkout's `build/` and the files it is told to write; leave a mount or a loop device.

    python -m image.debian_disk --out FILE [--second FILE2]

A disk in the cache is complete: it is built under another name and renamed last. Its name carries
a hash of the recipe (the text of these modules), so that a new recipe makes new disks.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.locks import FileLock
from image import debian_root, mirror, workbench
from image.workbench import mount_partition, run, say

CACHE = Path(__file__).resolve().parent.parent / "build" / "demo-disk"
DISK_BYTES = 2 << 30
PARTITION_OFFSET_BYTES = 1 << 20
# extlinux 6.04 does not read 64-bit block groups; the last two are unknown to older kernels.
_FEATURES = "^64bit,^metadata_csum_seed,^orphan_file"
_MBR_CODE = Path("/usr/lib/EXTLINUX/mbr.bin")
_NEEDED = {"debootstrap": "debootstrap", "extlinux": "extlinux", "sfdisk": "fdisk"}
_BUILDING = "building-"


def hash_recipe() -> str:
    """A short name for what these modules would build."""
    texts = [Path(str(module.__file__)).read_bytes() for module in (debian_root, mirror, workbench)]
    return hashlib.sha256(b"\0".join([*texts, Path(__file__).read_bytes()])).hexdigest()[:16]


def provide_first() -> Path:
    """The disk's first generation, built if it is not in the cache. Read it, never write it."""
    return _provide("first", _build_first)


def provide_second() -> Path:
    """The first generation after `change_disk`, built if it is not in the cache. Never write it."""
    first = provide_first()

    def build(disk: Path, log: Path) -> None:
        copy_disk(first, disk)
        _change(disk, disk.parent / "root", log)

    return _provide("second", build)


def change_disk(disk: Path) -> None:
    """Change `disk` (a copy of the first generation) in place, the way some days of use do.

    Needs root, and leaves nothing mounted. Raises HoldfastError when a tool fails.
    """
    with _workplace() as place:
        _change(disk, place / "root", CACHE / "build.log")


def copy_disk(source: Path, target: Path) -> None:
    """Copy a raw disk; holes stay holes."""
    argv = ["cp", "--sparse=always", "--reflink=auto", source, target]
    run(argv, log=CACHE / "build.log")


def main(arguments: list[str] | None = None) -> int:
    """Write the disk, and its second generation if asked for. Gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m image.debian_disk", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the disk")
    parser.add_argument("--second", type=Path, metavar="FILE2", help="the same disk, days later")
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(given)
    try:
        workbench.enter_private_mounts("image.debian_disk", given)
        _check_tools()
        copy_disk(provide_first(), options.out)
        if options.second:
            copy_disk(provide_second(), options.second)
    except Cancelled as error:
        say("cancelled; nothing half-made remains")
        return 128 + error.signal_number
    except HoldfastError as error:
        say(f"error: {error}")
        return 1
    return 0


def _provide(generation: str, build: Callable[[Path, Path], None]) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "lock"):
        finished = CACHE / f"{generation}-{hash_recipe()}.raw"
        if finished.exists():
            say(f"{generation} generation: taken from the cache ({finished.name})")
            return finished
        with _workplace() as place:
            build(place / "disk.raw", CACHE / "build.log")
            (place / "disk.raw").rename(finished)
        for outdated in CACHE.glob(f"{generation}-*.raw"):
            if outdated != finished:
                outdated.unlink()
        say(f"{generation} generation: built")
        return finished


@contextmanager
def _workplace() -> Iterator[Path]:
    """A directory for a build, removed with all in it; a killed build's is removed here too."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for leftover in CACHE.glob(f"{_BUILDING}*"):
        _clear_workplace(leftover)
    place = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=CACHE))
    try:
        yield place
    finally:
        _clear_workplace(place)


def _clear_workplace(place: Path) -> None:
    # By name and never recursively: a tree that is still mounted must survive this.
    (place / "disk.raw").unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (place / "root").rmdir()
    place.rmdir()


def _build_first(disk: Path, log: Path) -> None:
    log.write_bytes(b"")
    filesystem = str(uuid.uuid4())
    say(f"partitioning a disk of {DISK_BYTES >> 20} MiB")
    _partition(disk, log)
    _format(disk, filesystem, log)
    downloads = CACHE / "downloads"
    downloads.mkdir(exist_ok=True)
    with mount_partition(disk, PARTITION_OFFSET_BYTES, disk.parent / "root", log=log) as root:
        debian_root.fill_root(root, filesystem, mirror.find_mirror(), downloads, log=log)
        # What was written and deleted while building is not part of the machine's life.
        run(["fstrim", root], log=log)


def _change(disk: Path, root: Path, log: Path) -> None:
    with mount_partition(disk, PARTITION_OFFSET_BYTES, root, log=log):
        downloads = CACHE / "downloads"
        debian_root.change_root(root, mirror.find_mirror(), downloads, log=log)


def _partition(disk: Path, log: Path) -> None:
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    table = f"label: dos\nstart={PARTITION_OFFSET_BYTES // 512}, type=83, bootable\n"
    run(["sfdisk", "--quiet", disk], given=table, log=log)
    with disk.open("r+b") as file:
        # The code ends where the disk's signature and the partition table begin.
        file.write(_MBR_CODE.read_bytes()[:440])


def _format(disk: Path, filesystem: str, log: Path) -> None:
    size_kib = (DISK_BYTES - PARTITION_OFFSET_BYTES) >> 10
    extended = f"offset={PARTITION_OFFSET_BYTES},lazy_itable_init=0,nodiscard"
    argv = ["mkfs.ext4", "-q", "-F", "-O", _FEATURES, "-U", filesystem, "-L", "web1"]
    run([*argv, "-E", extended, disk, f"{size_kib}k"], log=log)


def _check_tools() -> None:
    for program, package in _NEEDED.items():
        if shutil.which(program) is None:
            raise HoldfastError(f"{program} is not installed: apt-get install {package}")


if __name__ == "__main__":
    sys.exit(main())
