"""The names that ATA disks' attributes, versions and states go by.

Owns the tables alone. Attribute names and formats are those of smartctl's defaults, because people
know them; a maker may mean something else by a number that no standard fixes. Versions: ACS-5,
words 80, 81, 168 and 222 of IDENTIFY DEVICE.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

RawFormat = Literal["raw48", "raw24", "raw16", "average", "temperature"]


class AttributeName(NamedTuple):
    """`only` is HDD or SSD where a number means something on such disks alone."""

    name: str
    raw: RawFormat = "raw48"
    only: Literal["", "HDD", "SSD"] = ""


ATTRIBUTES: dict[int, AttributeName] = {
    1: AttributeName("Raw_Read_Error_Rate"),
    2: AttributeName("Throughput_Performance"),
    3: AttributeName("Spin_Up_Time", "average"),
    4: AttributeName("Start_Stop_Count"),
    5: AttributeName("Reallocated_Sector_Ct", "raw16"),
    6: AttributeName("Read_Channel_Margin", only="HDD"),
    7: AttributeName("Seek_Error_Rate", only="HDD"),
    8: AttributeName("Seek_Time_Performance", only="HDD"),
    9: AttributeName("Power_On_Hours", "raw24"),
    10: AttributeName("Spin_Retry_Count", only="HDD"),
    11: AttributeName("Calibration_Retry_Count", only="HDD"),
    12: AttributeName("Power_Cycle_Count"),
    13: AttributeName("Read_Soft_Error_Rate"),
    175: AttributeName("Program_Fail_Count_Chip", only="SSD"),
    176: AttributeName("Erase_Fail_Count_Chip", only="SSD"),
    177: AttributeName("Wear_Leveling_Count", only="SSD"),
    178: AttributeName("Used_Rsvd_Blk_Cnt_Chip", only="SSD"),
    179: AttributeName("Used_Rsvd_Blk_Cnt_Tot", only="SSD"),
    180: AttributeName("Unused_Rsvd_Blk_Cnt_Tot", only="SSD"),
    181: AttributeName("Program_Fail_Cnt_Total"),
    182: AttributeName("Erase_Fail_Count_Total", only="SSD"),
    183: AttributeName("Runtime_Bad_Block"),
    184: AttributeName("End-to-End_Error"),
    187: AttributeName("Reported_Uncorrect"),
    188: AttributeName("Command_Timeout"),
    189: AttributeName("High_Fly_Writes", only="HDD"),
    190: AttributeName("Airflow_Temperature_Cel", "temperature"),
    191: AttributeName("G-Sense_Error_Rate", only="HDD"),
    192: AttributeName("Power-Off_Retract_Count"),
    193: AttributeName("Load_Cycle_Count", only="HDD"),
    194: AttributeName("Temperature_Celsius", "temperature"),
    195: AttributeName("Hardware_ECC_Recovered"),
    196: AttributeName("Reallocated_Event_Count", "raw16"),
    197: AttributeName("Current_Pending_Sector"),
    198: AttributeName("Offline_Uncorrectable"),
    199: AttributeName("UDMA_CRC_Error_Count"),
    200: AttributeName("Multi_Zone_Error_Rate", only="HDD"),
    201: AttributeName("Soft_Read_Error_Rate", only="HDD"),
    202: AttributeName("Data_Address_Mark_Errs", only="HDD"),
    203: AttributeName("Run_Out_Cancel"),
    204: AttributeName("Soft_ECC_Correction"),
    205: AttributeName("Thermal_Asperity_Rate"),
    206: AttributeName("Flying_Height", only="HDD"),
    207: AttributeName("Spin_High_Current", only="HDD"),
    208: AttributeName("Spin_Buzz", only="HDD"),
    209: AttributeName("Offline_Seek_Performnce", only="HDD"),
    220: AttributeName("Disk_Shift", only="HDD"),
    221: AttributeName("G-Sense_Error_Rate", only="HDD"),
    222: AttributeName("Loaded_Hours", only="HDD"),
    223: AttributeName("Load_Retry_Count", only="HDD"),
    224: AttributeName("Load_Friction", only="HDD"),
    225: AttributeName("Load_Cycle_Count", only="HDD"),
    226: AttributeName("Load-in_Time", only="HDD"),
    227: AttributeName("Torq-amp_Count", only="HDD"),
    228: AttributeName("Power-off_Retract_Count"),
    230: AttributeName("Head_Amplitude", only="HDD"),
    231: AttributeName("Temperature_Celsius", only="HDD"),
    232: AttributeName("Available_Reservd_Space"),
    233: AttributeName("Media_Wearout_Indicator", only="SSD"),
    240: AttributeName("Head_Flying_Hours", "raw24", only="HDD"),
    241: AttributeName("Total_LBAs_Written"),
    242: AttributeName("Total_LBAs_Read"),
    250: AttributeName("Read_Error_Retry_Rate"),
    254: AttributeName("Free_Fall_Sensor", only="HDD"),
}

FORM_FACTORS = {
    1: "5.25 inches",
    2: "3.5 inches",
    3: "2.5 inches",
    4: "1.8 inches",
    5: "< 1.8 inches",
    6: "mSATA",
    7: "M.2",
    8: "MicroSSD",
    9: "CFast",
}
MAJOR_VERSIONS = {
    1: "ATA-1",
    2: "ATA-2",
    3: "ATA-3",
    4: "ATA/ATAPI-4",
    5: "ATA/ATAPI-5",
    6: "ATA/ATAPI-6",
    7: "ATA/ATAPI-7",
    8: "ATA8-ACS",
    9: "ACS-2",
    10: "ACS-3",
    11: "ACS-4",
    12: "ACS-5",
    13: "ACS >5 (13)",
    14: "ACS >5 (14)",
    15: "ACS >5 (15)",
}
MINOR_VERSIONS = {
    0x0001: "ATA-1 X3T9.2/781D prior to revision 4",
    0x0002: "ATA-1 published, ANSI X3.221-1994",
    0x0003: "ATA-1 X3T9.2/781D revision 4",
    0x0004: "ATA-2 published, ANSI X3.279-1996",
    0x0005: "ATA-2 X3T10/948D prior to revision 2k",
    0x0006: "ATA-3 X3T10/2008D revision 1",
    0x0007: "ATA-2 X3T10/948D revision 2k",
    0x0008: "ATA-3 X3T10/2008D revision 0",
    0x0009: "ATA-2 X3T10/948D revision 3",
    0x000A: "ATA-3 published, ANSI X3.298-1997",
    0x000B: "ATA-3 X3T10/2008D revision 6",
    0x000C: "ATA-3 X3T13/2008D revision 7 and 7a",
    0x000D: "ATA/ATAPI-4 X3T13/1153D revision 6",
    0x000E: "ATA/ATAPI-4 T13/1153D revision 13",
    0x000F: "ATA/ATAPI-4 X3T13/1153D revision 7",
    0x0010: "ATA/ATAPI-4 T13/1153D revision 18",
    0x0011: "ATA/ATAPI-4 T13/1153D revision 15",
    0x0012: "ATA/ATAPI-4 published, ANSI NCITS 317-1998",
    0x0013: "ATA/ATAPI-5 T13/1321D revision 3",
    0x0014: "ATA/ATAPI-4 T13/1153D revision 14",
    0x0015: "ATA/ATAPI-5 T13/1321D revision 1",
    0x0016: "ATA/ATAPI-5 published, ANSI NCITS 340-2000",
    0x0017: "ATA/ATAPI-4 T13/1153D revision 17",
    0x0018: "ATA/ATAPI-6 T13/1410D revision 0",
    0x0019: "ATA/ATAPI-6 T13/1410D revision 3a",
    0x001A: "ATA/ATAPI-7 T13/1532D revision 1",
    0x001B: "ATA/ATAPI-6 T13/1410D revision 2",
    0x001C: "ATA/ATAPI-6 T13/1410D revision 1",
    0x001D: "ATA/ATAPI-7 published, ANSI INCITS 397-2005",
    0x001E: "ATA/ATAPI-7 T13/1532D revision 0",
    0x001F: "ACS-3 T13/2161-D revision 3b",
    0x0021: "ATA/ATAPI-7 T13/1532D revision 4a",
    0x0022: "ATA/ATAPI-6 published, ANSI INCITS 361-2002",
    0x0027: "ATA8-ACS T13/1699-D revision 3c",
    0x0028: "ATA8-ACS T13/1699-D revision 6",
    0x0029: "ATA8-ACS T13/1699-D revision 4",
    0x0031: "ACS-2 T13/2015-D revision 2",
    0x0033: "ATA8-ACS T13/1699-D revision 3e",
    0x0039: "ATA8-ACS T13/1699-D revision 4c",
    0x0042: "ATA8-ACS T13/1699-D revision 3f",
    0x0052: "ATA8-ACS T13/1699-D revision 3b",
    0x005E: "ACS-4 T13/BSR INCITS 529 revision 5",
    0x006D: "ACS-3 T13/2161-D revision 5",
    0x0082: "ACS-2 published, ANSI INCITS 482-2012",
    0x009C: "ACS-4 published, ANSI INCITS 529-2018",
    0x0107: "ATA8-ACS T13/1699-D revision 2d",
    0x010A: "ACS-3 published, ANSI INCITS 522-2014",
    0x0110: "ACS-2 T13/2015-D revision 3",
    0x011B: "ACS-3 T13/2161-D revision 4",
}
SATA_VERSIONS = {
    0: "ATA8-AST",
    1: "SATA 1.0a",
    2: "SATA II Ext",
    3: "SATA 2.5",
    4: "SATA 2.6",
    5: "SATA 3.0",
    6: "SATA 3.1",
    7: "SATA 3.2",
    8: "SATA 3.3",
    9: "SATA 3.4",
    10: "SATA 3.5",
    11: "SATA >3.5 (11)",
}
SATA_SPEEDS = {1: "1.5 Gb/s", 2: "3.0 Gb/s", 3: "6.0 Gb/s"}
SATA_SPEED_UNITS = {1: 15, 2: 30, 3: 60}
OFFLINE_STATUSES = {
    0: "was never started",
    2: "was completed without error",
    4: "was suspended by an interrupting command from host",
    5: "was aborted by an interrupting command from host",
    6: "was aborted by the device with a fatal error",
}
SELF_TEST_STATUSES = {
    0: "completed without error",
    1: "was aborted by the host",
    2: "was interrupted by the host with a reset",
    3: "could not complete due to a fatal or unknown error",
    4: "completed with error (unknown test element)",
    5: "completed with error (electrical test element)",
    6: "completed with error (servo/seek test element)",
    7: "completed with error (read test element)",
    8: "completed with error (handling damage?)",
}
SELF_TEST_LOG_STATUSES = {
    0x0: "Completed without error",
    0x1: "Aborted by host",
    0x2: "Interrupted (host reset)",
    0x3: "Fatal or unknown error",
    0x4: "Completed: unknown failure",
    0x5: "Completed: electrical failure",
    0x6: "Completed: servo/seek failure",
    0x7: "Completed: read failure",
    0x8: "Completed: handling damage??",
    0xF: "Self-test routine in progress",
}
SELF_TEST_TYPES = {
    0x00: "Offline",
    0x01: "Short offline",
    0x02: "Extended offline",
    0x03: "Conveyance offline",
    0x04: "Selective offline",
    0x7F: "Abort offline test",
    0x81: "Short captive",
    0x82: "Extended captive",
    0x83: "Conveyance captive",
    0x84: "Selective captive",
}


def name_attribute(number: int, rotation_rpm: int | None) -> str:
    """The name of attribute `number` of a disk: 0 rpm is an SSD, None does not say."""
    known = ATTRIBUTES.get(number)
    if known is None:
        return "Unknown_Attribute"
    if known.only == "HDD" and rotation_rpm == 0:
        return "Unknown_SSD_Attribute"
    if known.only == "SSD" and rotation_rpm:
        return "Unknown_HDD_Attribute"
    return known.name


def name_self_test_type(kind: int) -> str:
    """What test `kind` of a self-test log was."""
    is_vendor = 0x40 <= kind <= 0x7E or kind >= 0x90
    return SELF_TEST_TYPES.get(kind, f"{'Vendor' if is_vendor else 'Reserved'} (0x{kind:02x})")


def name_offline_status(status: int) -> str:
    """What the off-line data collection does."""
    state = status & 0x7F
    if status == 3:
        return "is in progress"
    if state == 3 or (state not in OFFLINE_STATUSES and state < 0x40):
        return "is in a Reserved state"
    return OFFLINE_STATUSES.get(state, "is in a Vendor Specific state")


_ERROR_STATES = {
    0: "in an unknown state",
    1: "sleeping",
    2: "in standby mode",
    3: "active or idle",
    4: "doing SMART Offline or Self-test",
}


def name_error_state(state: int) -> str:
    """What the disk was doing when an error came."""
    low = state & 0xF
    other = "in a reserved state" if low < 0xB else "in a vendor specific state"
    return _ERROR_STATES.get(low, other)
