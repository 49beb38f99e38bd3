"""The disks of this box: what each is, where it sits, and what lies on it.

Owns the picture that the kernel and udev have. Nothing here opens a disk, so one that hangs stalls
nobody. Virtual block devices (MD, device mapper, loop) are no disks; they appear as uses of disks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance.health.controllers import HiddenMembers, find_hidden_members
from appliance.health.enclosures import PCI, Bay, find_bay, list_bays
from appliance.health.kernel_tree import KernelTree, list_names, read_bytes, read_number, read_text
from appliance.health.mounts import Mount, list_mounts, list_swaps

SECTOR_BYTES = 512  # the unit of `size` in sysfs, whatever the disk's own sectors are
_NO_DISK = re.compile(r"(loop|ram|zram|sr|fd|nbd|mtdblock)\d")
_NON_ROTATING = 1
_RPM_MIN = 0x401
_ATA_IDENTIFY_OFFSET = 60  # of VPD page 89h (SAT-4, ATA Information)

Properties = Callable[[str], Mapping[str, str]]
"""Kernel name of a block device -> what udev knows of it."""


@dataclass(frozen=True)
class Use:
    """One thing that lies on a disk.

    Attributes:
        kind: array, volume, filesystem, swap or other.
        name: `md0`, a volume's name, where the filesystem is mounted, or its kind if it is not.
        device: the kernel name of the disk, the partition or what is stacked on it.
    """

    kind: str
    name: str
    device: str


@dataclass(frozen=True)
class Disk:
    """One disk.

    Attributes:
        name: the kernel's, which another disk may have after a restart.
        rotation_rpm: 0 for a disk without rotation, None where nobody says.
        transport: nvme, sata, sas, usb, virtio, scsi or "".
        bay: as its enclosure calls it, "" where it has none.
        bus_path: the way to it, by which two disks in the same slot at different times are one.
        hidden: set where this is a volume of a controller.
    """

    name: str
    path: str
    model: str
    serial: str
    firmware: str
    wwn: str
    size_bytes: int
    is_rotating: bool
    rotation_rpm: int | None
    transport: str
    bay: str
    bus_path: str
    partitions: tuple[str, ...]
    uses: tuple[Use, ...]
    hidden: HiddenMembers | None = None

    @property
    def subject(self) -> str:
        """What findings call it: the serial number, or its place where it has none."""
        return f"disk {self.serial or self.name}"

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {**asdict(self), "subject": self.subject}


def no_properties(_: str) -> Mapping[str, str]:
    """For a tree that udev does not know."""
    return {}


def stamp_disks(tree: KernelTree) -> tuple[tuple[str, int], ...]:
    """Which block devices there are. One that comes under an old name has another folder."""
    top, stamps = tree.sys / "block", []
    for name in list_names(top):
        with suppress(OSError):
            stamps.append((name, (top / name).stat().st_ino))
    return tuple(stamps)


class Inventory:
    """Looks at the tree once, when it is made; `disks` is what was there, `stamp` which ones."""

    def __init__(self, tree: KernelTree, properties: Properties = no_properties) -> None:
        self._tree = tree
        self._properties = properties
        self.stamp = stamp_disks(tree)
        self._bays: list[Bay] = list_bays(tree)
        self._mounts: list[Mount] = list_mounts(tree)
        self._swaps = list_swaps(tree)
        self.disks = [
            self._read(name) for name in list_names(tree.sys / "block") if self._is_disk(name)
        ]

    def find(self, word: str) -> Disk | None:
        """The disk called `word`: kernel name, device path, serial number, WWN or bay."""
        name = word.removeprefix("/dev/")
        if word.startswith("/"):
            name = Path(word).resolve().name
        for disk in self.disks:
            if name == disk.name or (word and word in (disk.serial, disk.wwn, disk.bay)):
                return disk
        return None

    def disk_of(self, device: str) -> Disk | None:
        """The disk that is `device` or holds it as a partition."""
        for disk in self.disks:
            if device == disk.name or device in disk.partitions:
                return disk
        return None

    def list_places(self) -> list[dict[str, Any]]:
        """Every bay of an enclosure, empty ones too, and PCI slots with a disk; for `--json`."""
        found = {}
        for disk in self.disks:
            bay = find_bay(self._bays, (self._tree.block(disk.name) / "device").resolve())
            if bay is not None:
                found[bay.enclosure, bay.name] = disk.name
        return [
            {
                "name": bay.name,
                "enclosure": bay.enclosure,
                "disk": found.get((bay.enclosure, bay.name)),
                "has_light": bay.light is not None,
                "is_lit": bay.is_lit,
            }
            for bay in self._bays
            if bay.enclosure != PCI or (bay.enclosure, bay.name) in found
        ]

    def _is_disk(self, name: str) -> bool:
        folder = self._tree.block(name)
        if _NO_DISK.match(name) or read_number(folder / "hidden") or not folder.exists():
            return False
        # NVMe with several paths is "virtual" too, and real.
        return "virtual" not in folder.parts or name.startswith("nvme")

    def _read(self, name: str) -> Disk:
        folder = self._tree.block(name)
        device = folder / "device"
        known = self._properties(name)
        ata = _read_ata_identify(device)
        bay = find_bay(self._bays, device.resolve())
        model, serial, firmware = _read_names(folder, known, ata)
        return Disk(
            name=name,
            path=self._tree.path_of(name),
            model=model,
            serial=serial,
            firmware=firmware,
            wwn=_read_wwn(folder, known),
            size_bytes=(read_number(folder / "size") or 0) * SECTOR_BYTES,
            is_rotating=read_number(folder / "queue/rotational") == 1,
            rotation_rpm=_read_rotation(folder, ata),
            transport=find_transport(folder),
            bay=bay.name if bay else "",
            bus_path=known.get("ID_PATH", "") or find_bus_path(device.resolve()),
            partitions=tuple(self._list_partitions(folder)),
            uses=tuple(dict.fromkeys(self._find_uses(folder))),
            hidden=find_hidden_members(self._tree, folder),
        )

    @staticmethod
    def _list_partitions(folder: Path) -> list[str]:
        return [
            name
            for name in list_names(folder)
            if name.startswith(folder.name) and (folder / name / "partition").exists()
        ]

    def _find_uses(self, folder: Path) -> Iterator[Use]:
        """Uses of a disk, its partitions, and of everything that is stacked on them."""
        name = folder.name
        for partition in self._list_partitions(folder):
            yield from self._find_uses(folder / partition)
        holders = list_names(folder / "holders")
        for holder in holders:
            above = self._tree.block(holder)
            volume = read_text(above / "dm/name")
            yield Use("volume" if volume else "array", volume or holder, holder)
            yield from self._find_uses(above)
        number, path = read_text(folder / "dev"), self._tree.path_of(name)
        targets = [
            mount.target for mount in self._mounts if mount.device == number or mount.source == path
        ]
        yield from (Use("filesystem", target, name) for target in targets)
        if path in self._swaps:
            yield Use("swap", path, name)
        kind = self._properties(name).get("ID_FS_TYPE", "")
        if kind and not targets and not holders and path not in self._swaps:
            yield Use("filesystem" if kind != "linux_raid_member" else "other", kind, name)


# ---- attributes ---------------------------------------------------------------------------------


def _read_ata_identify(device: Path) -> bytes:
    """The 512 bytes of IDENTIFY DEVICE that libata keeps, or nothing; others make such pages up."""
    if read_text(device / "vendor") != "ATA":
        return b""
    page = read_bytes(device / "vpd_pg89")
    data = page[_ATA_IDENTIFY_OFFSET : _ATA_IDENTIFY_OFFSET + 512]
    return data if len(data) == 512 else b""


def _ata_text(identify: bytes, first: int, end: int) -> str:
    """Words of IDENTIFY DEVICE as text: two characters a word, the first in the high byte."""
    data = identify[2 * first : 2 * end]
    swapped = bytes(byte for pair in zip(data[1::2], data[::2], strict=True) for byte in pair)
    return swapped.decode("ascii", "replace").strip()


def _read_names(folder: Path, known: Mapping[str, str], ata: bytes) -> tuple[str, str, str]:
    """(model, serial number, firmware)."""
    device = folder / "device"
    if ata:
        return _ata_text(ata, 27, 47), _ata_text(ata, 10, 20), _ata_text(ata, 23, 27)
    model, serial = read_text(device / "model"), read_text(device / "serial")
    vendor = read_text(device / "vendor")
    if vendor and not vendor.startswith("0x") and vendor != "ATA":
        model = f"{vendor} {model}".strip()
    if not serial:
        serial = _parse_unit_serial(read_bytes(device / "vpd_pg80"))
    serial = serial or read_text(folder / "serial")  # virtio
    serial = serial or known.get("ID_SERIAL_SHORT", "")
    firmware = read_text(device / "firmware_rev") or read_text(device / "rev")
    return model, serial, firmware


def _parse_unit_serial(page: bytes) -> str:
    """The serial number of VPD page 80h (SPC-4, Unit Serial Number)."""
    length = int.from_bytes(page[2:4], "big")
    return page[4 : 4 + length].decode("ascii", "replace").replace("\0", " ").strip()


def _read_wwn(folder: Path, known: Mapping[str, str]) -> str:
    for place in (folder / "wwid", folder / "device/wwid"):
        if text := read_text(place):
            return re.sub(r"\s+", " ", text)
    return known.get("ID_WWN_WITH_EXTENSION", "") or known.get("ID_WWN", "")


def _read_rotation(folder: Path, ata: bytes) -> int | None:
    """Revolutions per minute as the disk says (ATA word 217, SCSI VPD page B1h), 0 for none."""
    if folder.name.startswith("nvme"):
        return 0
    said = int.from_bytes(ata[434:436], "little") if ata else 0
    said = said or int.from_bytes(read_bytes(folder / "device/vpd_pgb1")[4:6], "big")
    if said == _NON_ROTATING:
        return 0
    return said if _RPM_MIN <= said < 0xFFFF else None


def find_transport(folder: Path) -> str:
    """How the disk in sysfs folder `folder` is attached, from the way to it."""
    parts = folder.parts
    if folder.name.startswith("nvme"):
        return "nvme"
    for part, transport in (
        (r"ata\d+", "sata"),
        (r"end_device-[\d:]+", "sas"),
        (r"usb\d+", "usb"),
        (r"host\d+", "scsi"),
        (r"virtio\d+", "virtio"),
    ):
        if any(re.fullmatch(part, name) for name in parts):
            return transport
    return ""


def find_bus_path(device: Path) -> str:
    """PCI address and port, as stable as the cabling: `pci-0000:00:1f.2-ata2`."""
    addresses = [part for part in device.parts if re.fullmatch(r"[0-9a-f]{4}:.*\.[0-7]", part)]
    port = [part for part in device.parts if re.fullmatch(r"ata\d+|phy-[\d:]+", part)]
    unit = [part for part in device.parts if re.fullmatch(r"\d+:\d+:\d+:\d+", part)]
    if unit and not port:
        port = [f"scsi-{unit[-1].partition(':')[2]}"]  # without the host's number, which changes
    return "-".join([*(f"pci-{address}" for address in addresses[-1:]), *port])
