"""From disks to filesystems: which volumes a point has, what is on each, and which is the root.

Owns the names `disk0p2` and `disk0-vg-lv`, and what a volume is recognised by. Runs confined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import HoldfastError, IntegrityError
from appliance.browse.blocks import Disks, Volume
from appliance.browse.exfat import ExFat
from appliance.browse.ext import Ext
from appliance.browse.fat import Fat
from appliance.browse.lvm import read_logical, read_physical
from appliance.browse.node import Filesystem
from appliance.browse.ntfs import Ntfs
from appliance.browse.partitions import read_partitions
from appliance.browse.xfs import Xfs

# Magic numbers: offset, bytes, word. What has a reader comes first.
_READABLE: tuple[tuple[int, bytes, str, Callable[[Volume], Filesystem]], ...] = (
    (0x438, b"\x53\xef", "ext", Ext),
    (0, b"XFSB", "xfs", Xfs),
    (3, b"NTFS    ", "ntfs", Ntfs),
    (3, b"EXFAT   ", "exfat", ExFat),
    (0x36, b"FAT1", "fat", Fat),
    (0x52, b"FAT32   ", "fat", Fat),
)
_KNOWN = (
    (0, b"LUKS\xba\xbe", "LUKS, encrypted"),
    (3, b"-FVE-FS-", "BitLocker, encrypted"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (4086, b"SWAPSPACE2", "swap"),
    (4086, b"SWAP-SPACE", "swap"),
    (0x8001, b"CD001", "ISO 9660"),
    (0, b"hsqs", "squashfs"),
    (4096, b"\xfc\x4e\x2b\xa9", "md array"),
    (0x1018, b"\x10\x20\xf5\xf2", "F2FS"),
    (3, b"ReFS\0", "ReFS"),
    (32, b"NXSB", "APFS"),
    (1024, b"H+\0\4", "HFS+"),
    (0x8000, b"JFS1", "JFS"),
    (0x10034, b"ReIsEr", "ReiserFS"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS"),
)
_MEMBER = "LVM2 member"
# What a root filesystem has, and what each is worth.
_ROOT_SIGNS = (
    (b"etc/fstab", 8),
    (b"etc/passwd", 4),
    (b"usr", 2),
    (b"etc", 1),
    (b"Windows/System32", 8),
    (b"Program Files", 2),
)


@dataclass
class Found:
    """A volume, what is on it, and the open filesystem once it was probed."""

    name: str
    volume: Volume
    kind: str = ""
    reader: Callable[[Volume], Filesystem] | None = None
    filesystem: Filesystem | None = None


def scan(disks: Disks) -> tuple[list[Found], list[str]]:
    """The volumes of all disks, and what could not be looked into."""
    found: list[Found] = []
    remarks: list[str] = []
    for number in range(len(disks.sizes_bytes)):
        whole = Volume.of_disk(disks, number)
        try:
            parts = read_partitions(whole)
        except Exception as error:
            remarks.append(f"disk{number}: {reason_of(error)}")
            continue
        if not parts:
            found.append(Found(f"disk{number}", whole))
        for part in parts:
            name = f"disk{number}p{part.number}"
            found.append(Found(name, whole.part(part.offset, part.length)))
    found += _logical_volumes(found, remarks)
    for volume in found:
        if not volume.kind:
            _recognise(volume, remarks)
    return found, remarks


def _logical_volumes(found: list[Found], remarks: list[str]) -> list[Found]:
    physicals = []
    for volume in found:
        try:
            physical = read_physical(volume.volume)
        except Exception as error:
            remarks.append(f"{volume.name}: {reason_of(error)}")
            continue
        if physical is not None:
            volume.kind = _MEMBER
            physicals.append(physical)
    made: list[Found] = []
    try:
        logicals = list(read_logical(physicals))
    except Exception as error:
        remarks.append(f"LVM: {reason_of(error)}")
        return made
    for logical in logicals:
        name = f"disk{logical.disk}-{logical.group}-{logical.name}"
        if logical.volume is None:
            remarks.append(f"{name}: {logical.trouble}")
        else:
            made.append(Found(name, logical.volume))
    return made


def reason_of(error: Exception) -> str:
    """What a parser stumbled over, as one line. A lost owner is not a reason: that ends us."""
    if isinstance(error, ConnectionError):
        raise error
    if isinstance(error, HoldfastError):
        return str(error)
    text = f"{type(error).__name__} {error}".split("\n", 1)[0][:200]
    return f"the filesystem is damaged ({text})"


def _recognise(found: Found, remarks: list[str]) -> None:
    for offset, magic, kind, reader in _READABLE:
        if _holds(found.volume, offset, magic, remarks, found.name):
            found.kind, found.reader = kind, reader
            return
    for offset, magic, kind in _KNOWN:
        if _holds(found.volume, offset, magic, remarks, found.name):
            found.kind = kind
            return


def _holds(volume: Volume, offset: int, magic: bytes, remarks: list[str], name: str) -> bool:
    if offset + len(magic) > volume.size_bytes:
        return False
    try:
        return volume.read(offset, len(magic)) == magic
    except IntegrityError as error:
        remarks.append(f"{name}: {error}")
        return False


def probe(found: Found) -> dict[str, Any]:
    """Open the filesystem and say what it is. Raises whatever its reader raises."""
    if found.reader is None:
        return {"kind": found.kind, "label": "", "note": "", "score": 0, "is_open": False}
    filesystem = found.filesystem = found.reader(found.volume)
    filesystem.node(filesystem.root)
    return {
        "kind": filesystem.kind,
        "label": filesystem.label,
        "note": filesystem.note,
        "score": _score(filesystem),
        "is_open": True,
    }


def _score(filesystem: Filesystem) -> int:
    """How much it looks like the root of a system; above zero for anything that can be one."""
    return sum(worth for path, worth in _ROOT_SIGNS if _has(filesystem, path))


def _has(filesystem: Filesystem, path: bytes) -> bool:
    number = filesystem.root
    for part in path.split(b"/"):
        try:
            found = find_entry(filesystem, number, part)
        except IntegrityError:
            return False
        if found is None:
            return False
        number = found
    return True


def find_entry(filesystem: Filesystem, directory: int, name: bytes) -> int | None:
    """The number of an entry; without regard to case where the filesystem has none for it."""
    blind = None
    folded = name.decode("utf-8", "surrogateescape").casefold()
    for found, number in filesystem.entries(directory):
        if found == name:
            return number
        if filesystem.is_case_blind and blind is None:
            text = found.decode("utf-8", "surrogateescape")
            blind = number if text.casefold() == folded else None
    return blind
