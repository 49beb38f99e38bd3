"""Disks as the kernel shows them: identity, way, bay, and what lies on them."""

from __future__ import annotations

import pytest

from appliance.health.enclosures import find_bay, list_bays
from appliance.health.inventory import Inventory, Use
from tests.health.kernel_files import MIB, KernelFiles


def test_a_scsi_disk_is_named_by_its_pages(files: KernelFiles) -> None:
    folder = files.disk("sda", serial="S-1", size_bytes=100 * MIB)
    (folder / "device/vpd_pgb1").write_bytes(bytes([0, 0xB1, 0, 60, 0x1C, 0x20]))
    disk = Inventory(files.tree).disks[0]
    assert (disk.model, disk.serial, disk.firmware) == ("MAKER DISK", "S-1", "1.0")
    assert (disk.size_bytes, disk.rotation_rpm, disk.is_rotating) == (100 * MIB, 7200, True)
    assert (disk.transport, disk.bus_path) == ("scsi", "pci-0000:00:1f.2-scsi-0:0:0")


def test_an_ata_disk_is_named_by_what_it_says_itself(files: KernelFiles) -> None:
    folder = files.disk("sda", serial="", model="Long Name Cut 16")
    words = bytearray(512)

    def put(first: int, text: str, length: int) -> None:
        padded = text.ljust(length).encode()
        words[2 * first : 2 * first + length] = bytes(
            byte for at in range(0, length, 2) for byte in (padded[at + 1], padded[at])
        )

    put(10, "WD-SERIAL", 20)
    put(23, "FW1", 8)
    put(27, "Long Name Cut 16 Really", 40)
    words[434:436] = (1).to_bytes(2, "little")
    (folder / "device/vpd_pg89").write_bytes(bytes(60) + bytes(words))
    (folder / "device/vendor").write_text("ATA     \n")
    disk = Inventory(files.tree).disks[0]
    assert (disk.model, disk.serial, disk.firmware) == (
        "Long Name Cut 16 Really",
        "WD-SERIAL",
        "FW1",
    )
    assert disk.rotation_rpm == 0


@pytest.mark.parametrize("page", [b"", b"\0", b"\xff" * 3, b"\0\x80\xff\xffshort", bytes(600)])
def test_odd_pages_cost_nothing_but_themselves(files: KernelFiles, page: bytes) -> None:
    folder = files.disk("sda", serial="")
    (folder / "device/vendor").write_text("ATA     \n")
    for name in ("vpd_pg80", "vpd_pg89", "vpd_pgb1"):
        (folder / "device" / name).write_bytes(page)
    assert Inventory(files.tree).disks[0].size_bytes == 64 * MIB


def test_uses_are_followed_through_partitions_and_arrays(files: KernelFiles) -> None:
    sda = files.disk("sda", serial="A")
    files.partition(sda, "sda1", "8:1")
    files.array("md0", "raid1", {"sda1": "in_sync"})
    files.mount("9:0", "/dev/md0", "/srv/store")
    inventory = Inventory(files.tree)
    assert inventory.disks[0].partitions == ("sda1",)
    assert inventory.disks[0].uses == (
        Use("array", "md0", "md0"),
        Use("filesystem", "/srv/store", "md0"),
    )
    found = inventory.disk_of("sda1")
    assert found is not None
    assert found.name == "sda"


def test_virtual_devices_are_no_disks(files: KernelFiles) -> None:
    for name in ("loop0", "ram0", "zram0", "md0", "dm-0"):
        files.block(name)
    hidden = files.block("nvme0c0n1", "virtual/nvme-subsystem/nvme-subsys0")
    (hidden / "hidden").write_text("1\n")
    files.block("nvme0n1", "virtual/nvme-subsystem/nvme-subsys0x")
    assert [disk.name for disk in Inventory(files.tree).disks] == ["nvme0n1"]


def test_a_disk_is_found_by_every_name_a_person_has(files: KernelFiles) -> None:
    sda = files.disk("sda", serial="A-1")
    files.slot("6:0:0:0", "Slot 03", sda)
    inventory = Inventory(files.tree)
    for word in ("sda", "/dev/sda", "A-1", "Slot 03"):
        assert inventory.find(word) is inventory.disks[0], word
    assert inventory.find("") is None
    assert inventory.find("sdb") is None


def test_a_volume_of_a_raid_controller_is_said_to_hide_its_members(files: KernelFiles) -> None:
    folder = files.disk("sda", serial="V", model="MR9271-8i")
    (folder / "device/vendor").write_text("LSI\n")
    pci = files.tree.sys / "devices/pci0000:00/0000:00:1f.2"
    (pci / "class").write_text("0x010400\n")
    driver = files.tree.sys / "bus/pci/drivers/megaraid_sas"
    driver.mkdir(parents=True)
    (pci / "driver").symlink_to(driver)
    hidden = Inventory(files.tree).disks[0].hidden
    assert hidden is not None
    assert hidden.driver == "megaraid_sas"


def test_a_plain_disk_behind_the_same_controller_hides_nothing(files: KernelFiles) -> None:
    files.disk("sda", serial="V")
    assert Inventory(files.tree).disks[0].hidden is None


def test_an_nvme_disk_sits_in_the_slot_above_it(files: KernelFiles) -> None:
    port = files.tree.sys / "devices/pci0000:00/0000:00:02.0/0000:01:00.0"
    folder = files.block("nvme0n1", "pci0000:00/0000:00:02.0/0000:01:00.0/nvme/nvme0")
    (folder / "device/serial").write_text("NV\n")
    link = files.tree.sys / "bus/pci/devices/0000:01:00.0"
    link.parent.mkdir(parents=True)
    link.symlink_to(port)
    files.write("sys/bus/pci/slots/7/address", "0000:01:00")
    light = files.write("sys/bus/pci/slots/7/attention", "0")
    bay = find_bay(list_bays(files.tree), (folder / "device").resolve())
    assert bay is not None
    assert (bay.name, bay.light) == ("slot 7", light)
    assert Inventory(files.tree).disks[0].bay == "slot 7"


def test_every_bay_of_an_enclosure_has_its_place_and_pci_slots_only_with_a_disk(
    files: KernelFiles,
) -> None:
    files.slot("6:0:0:0", "Slot 03", files.disk("sda", serial="A"))
    files.slot("6:0:0:0", "Slot 04", None).write_text("1\n")
    files.slot("7:0:0:0", "Slot 03", None).unlink()
    files.write("sys/bus/pci/slots/9/address", "0000:09:00")
    places = Inventory(files.tree).list_places()
    assert [
        (place["enclosure"], place["name"], place["disk"], place["has_light"], place["is_lit"])
        for place in places
    ] == [
        ("6:0:0:0", "Slot 03", "sda", True, False),
        ("6:0:0:0", "Slot 04", None, True, True),
        ("7:0:0:0", "Slot 03", None, False, False),
    ]
