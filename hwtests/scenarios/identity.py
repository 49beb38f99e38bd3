"""The inventory beside `lsblk`, `smartctl` and `nvme`: the same disks, the same names."""

from __future__ import annotations

import json
from typing import Any

from hwtests.bench import Bench, await_true, succeed
from hwtests.guest import Guest
from hwtests.scenario import Scenario

_LSBLK = "NAME,SIZE,MODEL,SERIAL,ROTA,TYPE,TRAN"
_VIRTUAL = ("loop", "ram", "zram", "nullb", "md", "dm-", "sr")


def _disks(bench: Bench) -> dict[str, dict[str, Any]]:
    listed = succeed(bench.holdfast("--json", "disks")).json()["disks"]
    return {disk["name"]: disk for disk in listed}


def beside_lsblk(bench: Bench) -> str:
    """Every field that lsblk knows."""
    said = succeed(bench.run("lsblk", "--json", "--bytes", "--nodeps", "-o", _LSBLK))
    theirs = {
        disk["name"]: disk
        for disk in json.loads(said.out)["blockdevices"]
        if disk["type"] == "disk" and not disk["name"].startswith(_VIRTUAL)
    }
    ours = _disks(bench)
    assert ours.keys() == theirs.keys(), f"{sorted(ours)} instead of {sorted(theirs)}"
    compared = 0
    for name, their in theirs.items():
        our = ours[name]
        pairs = [(our["size_bytes"], int(their["size"])), (our["is_rotating"], their["rota"])]
        if their["serial"]:
            pairs.append((our["serial"], their["serial"].strip()))
        if their["tran"] in ("nvme", "sata", "usb", "sas"):
            pairs.append((our["transport"], their["tran"]))
        if their["model"]:
            pairs.append((our["model"].endswith(their["model"].strip()), True))
        compared += len(pairs)
        for mine, other in pairs:
            assert mine == other, f"{name}: {mine!r} instead of {other!r}: {our} {their}"
    return f"{len(ours)} disks, {compared} fields compared, 0 different"


def beside_smartctl(bench: Bench) -> str:
    """Model, serial number, firmware and capacity of every disk that smartctl can ask."""
    compared = 0
    for name, our in _disks(bench).items():
        said = bench.run("smartctl", "-i", "-j", f"/dev/{name}")
        their = json.loads(said.out)
        model = their.get("model_name") or their.get("scsi_model_name") or ""
        pairs = [(our["serial"], their.get("serial_number", "").strip())]
        pairs += [(our["model"], model)] if model else []
        if "firmware_version" in their:
            pairs.append((our["firmware"], their["firmware_version"]))
        if "user_capacity" in their:
            pairs.append((our["size_bytes"], their["user_capacity"]["bytes"]))
        if "rotation_rate" in their and our["rotation_rpm"] is not None:
            pairs.append((our["rotation_rpm"], their["rotation_rate"]))
        for mine, other in pairs:
            if other != "":
                compared += 1
                assert mine == other, f"{name}: {mine!r} instead of {other!r}"
    return f"{compared} fields compared, 0 different"


def self_test(guest: Guest) -> str:
    """The product starts a short test; smartctl sees it in the disk's log."""
    (name,) = guest.disks("tested", 1)
    before = _count_tests(guest, name)
    succeed(guest.holdfast("--json", "disks", "test", name))
    await_true(lambda: _count_tests(guest, name) > before, "an entry in the self-test log")
    return f"{name}: started, logged"


def _count_tests(bench: Bench, name: str) -> int:
    said = json.loads(bench.run("smartctl", "-l", "selftest", "-j", f"/dev/{name}").out)
    return int(said["ata_smart_self_test_log"]["standard"]["count"])


def beside_nvme(bench: Bench) -> str:
    """What `nvme list` says."""
    said = succeed(bench.run("nvme", "list", "-o", "json"))
    theirs = {
        disk["DevicePath"].removeprefix("/dev/"): disk for disk in json.loads(said.out)["Devices"]
    }
    ours = {name: disk for name, disk in _disks(bench).items() if disk["transport"] == "nvme"}
    assert ours.keys() == theirs.keys(), f"{sorted(ours)} instead of {sorted(theirs)}"
    for name, our in ours.items():
        their = theirs[name]
        assert our["serial"] == their["SerialNumber"].strip(), (our, their)
        assert our["model"] == their["ModelNumber"].strip(), (our, their)
        assert our["firmware"] == their["Firmware"].strip(), (our, their)
        assert our["size_bytes"] == their["PhysicalSize"], (our, their)
    return f"{len(ours)} disks, {4 * len(ours)} fields compared, 0 different"


def hidden_members(guest: Guest) -> str:
    """A volume of a real RAID controller's driver is not taken for a disk."""
    (name,) = guest.disks("hidden", 1)
    hidden = _disks(guest)[name]["hidden"]
    assert hidden, _disks(guest)[name]
    assert hidden["driver"] == "megaraid_sas"
    text = guest.holdfast("disks").out
    assert "members hidden" in text, text
    return f"{name}: {hidden['driver']}, members hidden"


SCENARIOS = (
    Scenario("short self-test of a SATA disk", "in its log", self_test, needs=frozenset(("qemu",))),
    Scenario("inventory beside lsblk", "the same disks and fields", beside_lsblk, is_core=True),
    Scenario("inventory beside smartctl -i -j", "the same fields", beside_smartctl),
    Scenario(
        "inventory beside nvme list -o json",
        "the same disks and fields",
        beside_nvme,
        is_core=True,
    ),
    Scenario(
        "volume of a hardware RAID controller",
        "members hidden",
        hidden_members,
        needs=frozenset(("qemu",)),
    ),
)
