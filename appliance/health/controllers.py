"""Hardware RAID: volumes whose members the controller hides, and what it says about them.

Owns the recognition of such volumes and the attributes their drivers export. Never talks to a
controller: its members show up in the maker's own tool only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.health.kernel_tree import KernelTree, read_text

# Drivers of RAID controllers in the kernel tree (drivers/scsi, drivers/message/fusion). Those that
# also drive plain host adapters are told apart by what the volume calls itself.
_RAID_DRIVERS = frozenset(
    ("megaraid_sas", "mpi3mr", "hpsa", "smartpqi", "aacraid", "arcmsr", "3w-9xxx", "3w-sas")
)
_VOLUME_WORDS = ("LOGICAL VOLUME", "VIRTUAL DISK", "PERC", "MR9", "SERVERAID", "RAID", "LUN")
_MAKERS = ("AVAGO", "LSI", "BROADCOM", "DELL", "HP", "HPE", "ADAPTEC", "IBM", "LENOVO", "ARECA")


@dataclass(frozen=True)
class HiddenMembers:
    """A volume of a controller.

    Attributes:
        driver: the kernel's driver of the controller.
        level: the RAID level as the controller calls it, "" where it says nothing.
        state: the volume's state as the controller calls it, "" where it says nothing.
    """

    driver: str
    level: str
    state: str


def find_hidden_members(tree: KernelTree, disk: Path) -> HiddenMembers | None:
    """What hides behind the disk in sysfs folder `disk`, None for a disk that is one."""
    device = disk / "device"
    vendor, model = (read_text(device / name).upper() for name in ("vendor", "model"))
    calls_itself_volume = vendor.split(" ")[0] in _MAKERS and any(
        word in model for word in _VOLUME_WORDS
    )
    level, state = read_text(device / "raid_level"), ""  # hpsa, smartpqi
    transport = tree.sys / "class/raid_devices"  # mpt2sas, mpt3sas with IR firmware
    if transport.exists() and (volume := transport / device.resolve().name).exists():
        level, state = read_text(volume / "level"), read_text(volume / "state")
    has_level = level not in ("", "N/A")
    if not has_level and not calls_itself_volume:
        return None
    driver = _find_driver(device.resolve())
    if not has_level and driver not in _RAID_DRIVERS:
        return None
    return HiddenMembers(driver, level if has_level else "", state)


def _find_driver(device: Path) -> str:
    """The driver of the nearest PCI device above `device`."""
    for folder in device.parents:
        if (folder / "class").is_file() and (folder / "driver").exists():
            return (folder / "driver").resolve().name
    return ""
