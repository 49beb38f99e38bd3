"""A glance is short, sees what is new, and blames no disk for what another one did."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.health import inventory as inventory_module
from appliance.health.glances import Glances
from appliance.health.inventory import Inventory, no_properties
from appliance.health.kernel_log import _RECORD_BYTES, judge_kernel_log
from tests.health.kernel_files import KernelFiles, names

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ERROR = "3,{},5140900,-;critical medium error, dev sda, sector 4660 op 0x0:(READ)\n"
ARRIVAL = "5,{},5140900,-;sd 2:0:0:0: [sda] 131072 512-byte logical blocks: (67.1 MB/64.0 MiB)\n"


@pytest.fixture
def glances(files: KernelFiles) -> Glances:
    for number, serial in enumerate("AB"):
        files.disk(f"sd{serial.lower()}", serial=serial, host=number)
    files.array("md0", "raid1", {"sda": "in_sync", "sdb": "in_sync"})
    return Glances(files.tree, no_properties)


def test_a_failed_member_is_named_without_looking_at_the_disks_again(
    files: KernelFiles, glances: Glances, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the disks are as they were")

    monkeypatch.setattr(inventory_module.Inventory, "_read", fail)
    assert glances.glance_at_arrays((), NOON) == []
    files.write("sys/block/md0/md/degraded", "1")
    files.write("sys/block/md0/md/dev-sdb/state", "faulty")
    files.write("sys/block/md0/md/dev-sdb/slot", "none")
    (finding,) = glances.glance_at_arrays((), NOON)
    assert finding.rule == "array.degraded"
    assert "sdb (serial B)" in finding.summary


def test_a_disk_that_came_since_is_known(files: KernelFiles, glances: Glances) -> None:
    before = glances.glance_at_arrays((), NOON)
    files.disk("sdc", serial="C", host=3)
    files.array("md1", "raid1", {"sdc": "faulty"}, slots=2)
    (new,) = [item for item in glances.glance_at_arrays((), NOON) if item not in before]
    assert "sdc (serial C)" in new.summary


def test_what_a_look_saw_is_used(files: KernelFiles, glances: Glances) -> None:
    disk = files.tree.sys / "block/sda"
    files.partition(disk.resolve(), "sda1")
    glances.note_look(Inventory(files.tree), has_supplies=True)
    files.array("md1", "raid1", {"sda1": "faulty"}, slots=2)
    files.write("sys/block/md0/md/array_state", "clean")
    (finding,) = glances.glance_at_arrays((), NOON)
    assert "serial A" in finding.summary


def test_supplies_are_asked_while_there_are_any(files: KernelFiles, glances: Glances) -> None:
    files.write("sys/class/power_supply/rack/type", "UPS")
    files.write("sys/class/power_supply/rack/status", "Discharging")
    found = glances.glance_at_power(NOON)
    assert found is not None
    assert [(item.subject, item.rule) for item in found] == [("ups rack", "power.ups")]
    glances.note_look(Inventory(files.tree), has_supplies=False)
    assert glances.glance_at_power(NOON) is None


def test_a_port_that_lost_its_link_is_found(files: KernelFiles, glances: Glances) -> None:
    port = "sys/class/net/eth0"
    files.write(f"{port}/flags", "0x1003")
    files.write(f"{port}/carrier", "1")
    (files.tree.root / port / "device").mkdir()
    assert glances.glance_at_ports(NOON) == []
    files.write(f"{port}/carrier", "0")
    (finding,) = glances.glance_at_ports(NOON)
    assert (finding.subject, finding.rule) == ("port eth0", "network.link")


def write_log(files: KernelFiles, *records: str) -> None:
    """The kernel gives one record at each read; so does a file of records as long as a read."""
    text = "".join(record.format(at).ljust(_RECORD_BYTES) for at, record in enumerate(records))
    (files.tree.dev / "kmsg").write_text(text)


def test_a_disk_is_not_blamed_for_the_one_before_it(files: KernelFiles) -> None:
    files.disk("sda", serial="NEW")
    inventory = Inventory(files.tree)
    write_log(files, ERROR)
    assert names(list(judge_kernel_log(files.tree, inventory, NOON))) == ["disk.medium-errors"]
    write_log(files, ERROR, ARRIVAL)
    assert list(judge_kernel_log(files.tree, inventory, NOON)) == []
    write_log(files, ARRIVAL, ERROR)
    assert names(list(judge_kernel_log(files.tree, inventory, NOON))) == ["disk.medium-errors"]
