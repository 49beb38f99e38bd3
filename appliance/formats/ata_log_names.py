"""The names of ATA logs, of the device statistics and of the link's counters.

Owns the tables alone: ACS-5 A.2, ACS-4 9.5, Serial ATA 3.2.
"""

from __future__ import annotations

from typing import NamedTuple


class StatisticName(NamedTuple):
    """An entry of the device statistics; a size of -1 is one signed byte."""

    size_bytes: int
    name: str


# Page -> its name, then its entries in their order (ACS-4 9.5).
STATISTICS: dict[int, tuple[StatisticName, ...]] = {
    0: (StatisticName(2, "List of supported log pages"),),
    1: (
        StatisticName(2, "General Statistics"),
        StatisticName(4, "Lifetime Power-On Resets"),
        StatisticName(4, "Power-on Hours"),
        StatisticName(6, "Logical Sectors Written"),
        StatisticName(6, "Number of Write Commands"),
        StatisticName(6, "Logical Sectors Read"),
        StatisticName(6, "Number of Read Commands"),
        StatisticName(6, "Date and Time TimeStamp"),
        StatisticName(4, "Pending Error Count"),
        StatisticName(2, "Workload Utilization"),
        StatisticName(6, "Utilization Usage Rate"),
        StatisticName(7, "Resource Availability"),
        StatisticName(1, "Random Write Resources Used"),
    ),
    2: (
        StatisticName(2, "Free-Fall Statistics"),
        StatisticName(4, "Number of Free-Fall Events Detected"),
        StatisticName(4, "Overlimit Shock Events"),
    ),
    3: (
        StatisticName(2, "Rotating Media Statistics"),
        StatisticName(4, "Spindle Motor Power-on Hours"),
        StatisticName(4, "Head Flying Hours"),
        StatisticName(4, "Head Load Events"),
        StatisticName(4, "Number of Reallocated Logical Sectors"),
        StatisticName(4, "Read Recovery Attempts"),
        StatisticName(4, "Number of Mechanical Start Failures"),
        StatisticName(4, "Number of Realloc. Candidate Logical Sectors"),
        StatisticName(4, "Number of High Priority Unload Events"),
    ),
    4: (
        StatisticName(2, "General Errors Statistics"),
        StatisticName(4, "Number of Reported Uncorrectable Errors"),
        StatisticName(4, "Resets Between Cmd Acceptance and Completion"),
        StatisticName(4, "Physical Element Status Changed"),
    ),
    5: (
        StatisticName(2, "Temperature Statistics"),
        StatisticName(-1, "Current Temperature"),
        StatisticName(-1, "Average Short Term Temperature"),
        StatisticName(-1, "Average Long Term Temperature"),
        StatisticName(-1, "Highest Temperature"),
        StatisticName(-1, "Lowest Temperature"),
        StatisticName(-1, "Highest Average Short Term Temperature"),
        StatisticName(-1, "Lowest Average Short Term Temperature"),
        StatisticName(-1, "Highest Average Long Term Temperature"),
        StatisticName(-1, "Lowest Average Long Term Temperature"),
        StatisticName(4, "Time in Over-Temperature"),
        StatisticName(-1, "Specified Maximum Operating Temperature"),
        StatisticName(4, "Time in Under-Temperature"),
        StatisticName(-1, "Specified Minimum Operating Temperature"),
    ),
    6: (
        StatisticName(2, "Transport Statistics"),
        StatisticName(4, "Number of Hardware Resets"),
        StatisticName(4, "Number of ASR Events"),
        StatisticName(4, "Number of Interface CRC Errors"),
    ),
    7: (
        StatisticName(2, "Solid State Device Statistics"),
        StatisticName(1, "Percentage Used Endurance Indicator"),
    ),
}

LOG_NAMES = {
    0x00: "Log Directory",
    0x01: "Summary SMART error log",
    0x02: "Comprehensive SMART error log",
    0x03: "Ext. Comprehensive SMART error log",
    0x04: "Device Statistics log",
    0x05: "Reserved for CFA",
    0x06: "SMART self-test log",
    0x07: "Extended self-test log",
    0x08: "Power Conditions log",
    0x09: "Selective self-test log",
    0x0A: "Device Statistics Notification",
    0x0B: "Reserved for CFA",
    0x0C: "Pending Defects log",
    0x0D: "LPS Mis-alignment log",
    0x0E: "Reserved for ZAC-2",
    0x0F: "Sense Data for Successful NCQ Cmds log",
    0x10: "NCQ Command Error log",
    0x11: "SATA Phy Event Counters log",
    0x12: "SATA NCQ Non-Data log",
    0x13: "SATA NCQ Send and Receive log",
    0x14: "Hybrid Information log",
    0x15: "Rebuild Assist log",
    0x16: "Out Of Band Management Control log",
    0x17: "Reserved for Serial ATA",
    0x18: "Command Duration Limits log",
    0x19: "LBA Status log",
    0x20: "Streaming performance log [OBS-8]",
    0x21: "Write stream error log",
    0x22: "Read stream error log",
    0x23: "Delayed sector log [OBS-8]",
    0x24: "Current Device Internal Status Data log",
    0x25: "Saved Device Internal Status Data log",
    0x2F: "Set Sector Configuration",
    0x30: "IDENTIFY DEVICE data log",
    0x42: "Mutate Configurations log",
    0x47: "Concurrent Positioning Ranges log",
    0x53: "Sense Data log",
    0xE0: "SCT Command/Status",
    0xE1: "SCT Data Transfer",
}
PHY_COUNTERS = {
    0x001: "Command failed due to ICRC error",
    0x002: "R_ERR response for data FIS",
    0x003: "R_ERR response for device-to-host data FIS",
    0x004: "R_ERR response for host-to-device data FIS",
    0x005: "R_ERR response for non-data FIS",
    0x006: "R_ERR response for device-to-host non-data FIS",
    0x007: "R_ERR response for host-to-device non-data FIS",
    0x008: "Device-to-host non-data FIS retries",
    0x009: "Transition from drive PhyRdy to drive PhyNRdy",
    0x00A: "Device-to-host register FISes sent due to a COMRESET",
    0x00B: "CRC errors within host-to-device FIS",
    0x00D: "Non-CRC errors within host-to-device FIS",
    0x00F: "R_ERR response for host-to-device data FIS, CRC",
    0x010: "R_ERR response for host-to-device data FIS, non-CRC",
    0x012: "R_ERR response for host-to-device non-data FIS, CRC",
    0x013: "R_ERR response for host-to-device non-data FIS, non-CRC",
}


def name_log(address: int) -> str:
    """What log `address` holds."""
    if 0xA0 <= address <= 0xDF:
        return "Device vendor specific log"
    if 0x80 <= address <= 0x9F:
        return "Host vendor specific log"
    return LOG_NAMES.get(address, "Reserved")


def name_phy_counter(number: int) -> str:
    """What link counter `number` counts."""
    return PHY_COUNTERS.get(number, "Vendor specific" if number & 0x8000 else "Unknown")


_READ_ONLY = {*range(0x09), 0x0C, 0x0D, *range(0x0F, 0x15), 0x19, *range(0x20, 0x26)} | {
    0x30,
    0x42,
    0x47,
    0x53,
}
_WRITABLE = {0x09, 0x0A, 0x15, 0x16, 0x18, *range(0x80, 0xA0), 0xE0, 0xE1}


def is_log_writable(address: int) -> bool | None:
    """Whether the host may write log `address`; None where no standard says."""
    if address in _READ_ONLY:
        return False
    return True if address in _WRITABLE else None
