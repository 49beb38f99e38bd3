"""Sensors, supplies, caches, ports, clock, pools: each says what is wrong, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from appliance.formats.finding import Finding
from appliance.health import ipmi, network, pools, power, sensors, timekeeping
from appliance.health.inventory import Inventory
from appliance.health.mounts import list_mounts, list_swaps
from tests.health.kernel_files import KernelFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def rules(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in findings]


def put(files: KernelFiles, folder: str, **values: str) -> None:
    for name, value in values.items():
        files.write(f"{folder}/{name}", value)


def test_temperatures_are_held_against_the_chips_own_limits(files: KernelFiles) -> None:
    chip = "sys/class/hwmon/hwmon0"
    put(files, chip, name="coretemp", temp1_input="91000", temp1_max="80000", temp1_crit="100000")
    put(files, chip, temp2_input="101000", temp2_crit="100000", temp2_label="Core 1")
    put(files, chip, temp3_input="40000", temp3_max="0")
    put(files, "sys/class/hwmon/hwmon1", name="nvme", temp1_input="99000", temp1_crit="80000")
    found = list(sensors.judge_sensors(sensors.list_sensors(files.tree), NOW))
    assert rules(found) == [
        ("box.temperature.coretemp temp1", "warning"),
        ("box.temperature.coretemp Core 1", "critical"),
    ]


def test_a_fan_that_stopped_is_found_and_an_empty_header_is_not(files: KernelFiles) -> None:
    chip = "sys/class/hwmon/hwmon0"
    put(files, chip, name="nct", fan1_input="0", fan1_min="500", fan2_input="0", fan2_min="0")
    found = list(sensors.judge_sensors(sensors.list_sensors(files.tree), NOW))
    assert rules(found) == [("box.fan.nct fan1", "warning")]


def test_memory_errors_are_counted(files: KernelFiles) -> None:
    put(files, "sys/devices/system/edac/mc/mc0", ue_count="1", ce_count="7")
    put(files, "sys/devices/system/edac/mc/mc1", ue_count="0", ce_count="1")
    found = list(sensors.judge_memory_errors(files.tree, NOW))
    assert [(item.rule, item.measure) for item in found] == [
        ("box.memory-uncorrected", 1),
        ("box.memory-corrected", 8),
    ]


def test_load_and_memory_have_limits() -> None:
    quiet = sensors.Load(4, 1.0, 100, 50)
    busy = sensors.Load(4, 40.0, 100, 1)
    assert not list(sensors.judge_load(quiet, NOW))
    assert rules(list(sensors.judge_load(busy, NOW))) == [
        ("box.memory", "warning"),
        ("box.load", "notice"),
    ]


def test_a_cache_that_nobody_flushes_is_critical(files: KernelFiles) -> None:
    folder = files.disk("sda", serial="A")
    (folder / "queue/write_cache").write_text("write through\n")
    cache = folder / "device/scsi_disk/2:0:0:0"
    cache.mkdir(parents=True)
    (cache / "cache_type").write_text("write back\n")
    disks = Inventory(files.tree).disks
    found = list(power.judge_caches(files.tree, disks, [], NOW))
    assert rules(found) == [("power.cache-not-flushed", "critical")]
    (folder / "queue/write_cache").write_text("write back\n")
    assert not list(power.judge_caches(files.tree, disks, [], NOW))


def test_a_mount_without_barriers_is_critical(files: KernelFiles) -> None:
    files.mount("8:1", "/dev/sda1", "/srv/a", "rw,nobarrier")
    files.mount("8:2", "/dev/sda2", "/srv/b", "rw,barrier=1")
    found = list(power.judge_caches(files.tree, [], list_mounts(files.tree), NOW))
    assert [(item.subject, item.rule) for item in found] == [
        ("filesystem /srv/a", "power.no-barriers")
    ]


def test_mounts_with_white_space_and_torn_lines_are_read(files: KernelFiles) -> None:
    files.write(
        "proc/self/mountinfo",
        "36 35 8:1 / /a\\040b rw shared:1 - ext4 /dev/sda1 rw\n36 35 8:1\n\n36 35 8:1 / /c rw -",
    )
    assert [mount.target for mount in list_mounts(files.tree)] == ["/a b"]
    files.write("proc/swaps", "Filename Type Size\n/dev/sda2 partition 1 0 -2\n")
    assert list_swaps(files.tree) == {"/dev/sda2"}


def test_a_ups_is_followed_down_to_its_end(files: KernelFiles) -> None:
    put(files, "sys/class/power_supply/rack", type="UPS", status="Discharging", capacity="80")
    put(files, "sys/class/power_supply/AC", type="Mains", online="1")
    (ups,) = power.list_ups(files.tree)
    assert rules(list(power.judge_ups([ups], NOW))) == [("power.ups", "warning")]
    assert not power.Power([ups]).wants_stop
    put(files, "sys/class/power_supply/rack", capacity="10")
    (ups,) = power.list_ups(files.tree)
    assert rules(list(power.judge_ups([ups], NOW))) == [("power.ups", "critical")]
    assert power.Power([ups]).wants_stop


@pytest.mark.parametrize(
    ("text", "on_battery", "low"),
    [
        ("ups.status: OL CHRG\nbattery.charge: 100", False, False),
        ("ups.status: OB DISCHRG", True, False),
        ("ups.status: OB LB", True, True),
        ("ups.status: FSD OB LB", True, True),
        ("battery.charge: nonsense\nrubbish", False, False),
    ],
)
def test_nut_says_it_in_words(text: str, on_battery: bool, low: bool) -> None:
    ups = power.parse_nut("rack", text)
    assert (ups.is_on_battery, ups.is_low) == (on_battery, low)


def test_the_management_controller_names_a_dead_supply() -> None:
    text = (
        "Inlet Temp       | 04h | ok  |  7.1 | 24 degrees C\n"
        "PS1 Status       | C8h | ok  | 10.1 | Presence detected\n"
        "PS2 Status       | C9h | ok  | 10.2 | Presence detected, Failure detected\n"
        "PS Redundancy    | 77h | ok  |  7.1 | Redundancy Lost\n"
        "Fan3             | 32h | cr  |  7.1 | 0 RPM\n"
        "CPU2             | 33h | ns  |  3.2 | No Reading\n"
        "rubbish\n"
    )
    found = list(ipmi.judge_readings(ipmi.parse_readings(text), NOW))
    assert rules(found) == [
        ("ipmi.PS2 Status", "critical"),
        ("ipmi.PS Redundancy", "warning"),
        ("ipmi.Fan3", "critical"),
    ]


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("Fully Redundant", None),
        ("Presence detected", None),
        ("Non-Redundant: Sufficient from Redundant", "warning"),
        ("Non-Redundant: Insufficient Resources", "critical"),
        ("Redundancy Degraded from Fully Redundant", "warning"),
        ("Presence detected, AC out-of-range, but present", "warning"),
        ("Power Supply AC lost", "warning"),
        ("Drive Present, In Failed Array", "critical"),
        ("Drive Present, Rebuild In Progress", None),
        ("Lower Non-critical going low ", None),
        ("24 degrees C", None),
        ("", None),
    ],
)
def test_the_states_of_the_management_controller_are_told_apart(
    text: str, severity: str | None
) -> None:
    found = list(ipmi.judge_readings([ipmi.Reading("Part", "ok", text)], NOW))
    assert [item.severity for item in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("second", "is_told"), [("Presence detected", False), ("", True), ("Failure detected", True)]
)
def test_one_supply_where_two_fit_is_said(second: str, is_told: bool) -> None:
    text = (
        "PS1 Status       | C8h | ok  | 10.1 | Presence detected\n"
        f"PS2 Status       | C9h | ok  | 10.2 | {second}\n"
        "Inlet Temp       | 04h | ok  |  7.1 | 24 degrees C\n"
    )
    found = list(ipmi.judge_readings(ipmi.parse_readings(text), NOW))
    assert ("ipmi.one-supply" in [item.rule for item in found]) is is_told
    assert not list(ipmi.judge_readings(ipmi.parse_readings(text.splitlines()[0]), NOW))


def test_without_a_controller_nobody_is_asked(files: KernelFiles) -> None:
    assert ipmi.list_readings(files.tree) == ([], "")


def test_ports_without_link_and_slow_ones_are_found(files: KernelFiles) -> None:
    for name, values in (
        ("eth0", {"flags": "0x1003", "carrier": "1", "speed": "100", "duplex": "full"}),
        ("eth1", {"flags": "0x1003", "carrier": "0"}),
        ("eth2", {"flags": "0x1002"}),
        ("lo", {"flags": "0x1003", "carrier": "0"}),
    ):
        put(files, f"sys/class/net/{name}", **values)
        if name != "lo":
            (files.tree.sys / "class/net" / name / "device").mkdir()
    ports = network.list_ports(files.tree)
    found = list(network.judge_ports(ports, NOW))
    assert [(item.subject, item.rule, item.severity) for item in found] == [
        ("port eth0", "network.slow", "warning"),
        ("port eth1", "network.link", "notice"),
    ]
    put(files, "sys/class/net/eth0", carrier="0")
    ports = network.list_ports(files.tree)
    assert {item.severity for item in network.judge_ports(ports, NOW)} == {"critical"}


def test_a_clock_that_was_set_is_found_once_per_boot() -> None:
    hour_ago = [(NOW - timedelta(hours=1), 1000.0)]
    state = timekeeping.ClockState(is_synchronised=True, boot="x", booted_s=1000.0 + 7200)
    (finding,) = timekeeping.judge_clock(state, hour_ago, NOW)
    assert finding.rule == "clock.jump"
    assert "forward by 2 h" in finding.summary
    slewed = timekeeping.ClockState(is_synchronised=True, boot="x", booted_s=1002.0)
    assert not list(timekeeping.judge_clock(slewed, hour_ago, NOW))


def test_a_clock_that_nobody_keeps_is_a_warning() -> None:
    state = timekeeping.ClockState(is_synchronised=False, boot="x", booted_s=1.0)
    assert rules(list(timekeeping.judge_clock(state, [], NOW))) == [
        ("clock.not-synchronised", "warning")
    ]


def test_pools_are_shown_and_a_degraded_one_is_a_finding(files: KernelFiles) -> None:
    folder = files.block("dm-0", size_bytes=1 << 30)
    files.write("sys/devices/virtual/block/dm-0/dm/uuid", "LVM-abc")
    files.write("sys/devices/virtual/block/dm-0/dm/name", "vg-store")
    (folder / "slaves/sda1").mkdir()
    files.write("proc/spl/kstat/zfs/tank/state", "DEGRADED")
    found = pools.list_pools(files.tree)
    assert [(pool.kind, pool.name, pool.devices) for pool in found] == [
        ("lvm", "vg-store", ("sda1",)),
        ("zfs", "tank", ()),
    ]
    assert rules(list(pools.judge_pools(found, NOW))) == [("pool.state", "warning")]
