"""The shape of a disk: a DOS partition table and one ext4 filesystem at 1 MiB.

Owns: partitioning and formatting a sparse raw file. Never does: mount it or fill it.
"""

from __future__ import annotations

from pathlib import Path

from image.workbench import run

PARTITION_OFFSET_BYTES = 1 << 20
# extlinux 6.04 does not read 64-bit block groups; the last two are unknown to older kernels.
_FEATURES = "^64bit,^metadata_csum_seed,^orphan_file"
# The code ends where the disk's signature and the partition table begin.
_MBR_CODE_BYTES = 440


def make_disk(disk: Path, size_bytes: int, uuid: str, label: str, *, log: Path) -> None:
    """Make `disk` a raw file of `size_bytes` with one active partition holding an empty ext4.

    Raises HoldfastError when a tool fails.
    """
    with disk.open("wb") as file:
        file.truncate(size_bytes)
    table = f"label: dos\nstart={PARTITION_OFFSET_BYTES // 512}, type=83, bootable\n"
    run(["sfdisk", "--quiet", disk], given=table, log=log)
    size_kib = (size_bytes - PARTITION_OFFSET_BYTES) >> 10
    extended = f"offset={PARTITION_OFFSET_BYTES},lazy_itable_init=0,nodiscard"
    argv = ["mkfs.ext4", "-q", "-F", "-O", _FEATURES, "-U", uuid, "-L", label]
    run([*argv, "-E", extended, disk, f"{size_kib}k"], log=log)


def write_boot_code(disk: Path, code: bytes) -> None:
    """Put `code` where the firmware starts it, leaving the partition table as it is."""
    with disk.open("r+b") as file:
        file.write(code[:_MBR_CODE_BYTES])
