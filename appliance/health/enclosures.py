"""Bays: where a disk sits, and the light beside it.

Owns the kernel's enclosure class (SES) and PCI hot-plug slots: which disk is in which bay, and
switching a bay's light on and off. Never touches a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.base.durable import named_os_errors
from appliance.base.errors import HoldfastError, NotFoundError, UsageError
from appliance.health.kernel_tree import KernelTree, list_names, read_text

PCI = "pci"
"""The `enclosure` of PCI slots."""


@dataclass(frozen=True)
class Bay:
    """One place for a disk.

    Attributes:
        name: what a person calls it: the slot as the enclosure names it, or the PCI slot.
        enclosure: the enclosure's SCSI address, or PCI.
        device: the sysfs folder of what sits there, None for an empty bay.
        light: the sysfs file that switches the light, None where the bay has none.
    """

    name: str
    enclosure: str
    device: Path | None
    light: Path | None

    @property
    def is_lit(self) -> bool:
        """Whether the light is on."""
        return self.light is not None and read_text(self.light) not in ("", "0")


def list_bays(tree: KernelTree) -> list[Bay]:
    """All bays of enclosures and all PCI slots, in the order of their names."""
    return [*_list_enclosure_bays(tree), *_list_pci_slots(tree)]


def find_bay(bays: list[Bay], device: Path) -> Bay | None:
    """The bay in which `device` sits, or a part of which it is (an NVMe below a PCI slot)."""
    for bay in bays:
        if bay.device is not None and (bay.device == device or bay.device in device.parents):
            return bay
    return None


def light_bay(bays: list[Bay], name: str, *, is_on: bool) -> Bay:
    """Switch the light of the bay called `name`, as it is said by `ENCLOSURE/NAME` or `NAME`.

    Raises NotFoundError for no such bay, UsageError for a name that several enclosures use,
    HoldfastError for a bay without a light or one that ignores us.
    """
    found = [bay for bay in bays if name in (bay.name, f"{bay.enclosure}/{bay.name}")]
    if not found:
        known = ", ".join(f"{bay.enclosure}/{bay.name}" for bay in bays) or "none is known"
        raise NotFoundError(f"there is no bay {name}: {known}")
    if len(found) > 1:
        names = ", ".join(f"{bay.enclosure}/{bay.name}" for bay in found)
        raise UsageError(f"several bays are called {name}: say one of {names}")
    bay = found[0]
    if bay.light is None:
        raise HoldfastError(f"bay {name} has no light: look for the serial number on the disk")
    with named_os_errors(bay.light):
        bay.light.write_text("1" if is_on else "0")
    if bay.is_lit != is_on:
        raise HoldfastError(f"bay {name} did not switch its light: look for the serial number")
    return bay


def _list_enclosure_bays(tree: KernelTree) -> list[Bay]:
    bays = []
    top = tree.sys / "class/enclosure"
    for enclosure in list_names(top):
        for component in list_names(top / enclosure):
            folder = top / enclosure / component
            # A component has a status; `device`, `power` and `subsystem` beside it do not.
            if not (folder / "status").exists():
                continue
            device, light = folder / "device", folder / "locate"
            bays.append(
                Bay(
                    name=component.strip(),
                    enclosure=enclosure,
                    device=device.resolve() if device.exists() else None,
                    light=light if light.exists() else None,
                )
            )
    return bays


def _list_pci_slots(tree: KernelTree) -> list[Bay]:
    bays = []
    top = tree.sys / "bus/pci/slots"
    for slot in list_names(top):
        address = read_text(top / slot / "address")
        # The slot names a device, its functions follow: 0000:01:00 -> 0000:01:00.0
        device = tree.sys / "bus/pci/devices" / f"{address}.0"
        light = top / slot / "attention"
        bays.append(
            Bay(
                name=f"slot {slot}",
                enclosure=PCI,
                device=device.resolve() if address and device.exists() else None,
                light=light if light.exists() else None,
            )
        )
    return bays
