"""Pages of ATA disks, written from the standards: ACS-4, ATA8-ACS."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from appliance.formats.disk_pages import DiskPages

SECTOR = 512
Row = tuple[int, int, int, int, int, int]
"""Number, flags, value, worst, threshold, raw."""


def seal(page: bytearray) -> bytes:
    """Make every sector add up to zero."""
    for at in range(0, len(page), SECTOR):
        page[at + 511] = 0
        page[at + 511] = -sum(page[at : at + SECTOR]) & 0xFF
    return bytes(page)


def swap(text: str, size: int) -> bytes:
    raw = text.encode().ljust(size)
    return b"".join(raw[i + 1 : i + 2] + raw[i : i + 1] for i in range(0, size, 2))


def identify(
    model: str = "HOLDFAST TEST HDD",
    serial: str = "HF-0001",
    *,
    rpm: int = 7200,
    blocks: int = 7814037168,
    exponent: int = 3,
    smart: bool = True,
    gp_logs: bool = False,
    words: Mapping[int, int] | None = None,
) -> bytes:
    page = bytearray(SECTOR)
    page[20:40], page[46:54], page[54:94] = swap(serial, 20), swap("FW01", 8), swap(model, 40)
    gpl = 0x20 if gp_logs else 0
    values = {
        49: 0x0200,
        60: 0x0FFF_FFFF & 0xFFFF,
        61: 0x0FFF_FFFF >> 16,
        69: 0x4020 if rpm == 1 else 0,
        76: 0x000E,
        77: 0x0006,
        80: 0x07F0,
        81: 0x006D,
        82: 0x0060 | smart,
        83: 0x4400,
        84: 0x4103 | gpl,
        85: 0x0060 | smart,
        86: 0x0400,
        87: 0x4103 | gpl,
        106: 0x6000 | exponent if exponent else 0,
        108: 0x5000,
        109: 0xC500,
        110: 0x1234,
        111: 0x5678,
        128: 0x0009,
        168: 3 if rpm == 1 else 2,
        169: rpm == 1,
        206: 0x0000,
        217: rpm,
        222: 0x107F,
        **{100 + i: blocks >> 16 * i & 0xFFFF for i in range(4)},
        **(words or {}),
    }
    for word, value in values.items():
        struct.pack_into("<H", page, 2 * word, value)
    page[510] = 0xA5
    return seal(page)


HEALTHY: tuple[Row, ...] = (
    (1, 0x2F, 200, 200, 51, 0),
    (3, 0x27, 178, 175, 21, 6100),
    (4, 0x32, 100, 100, 0, 84),
    (5, 0x33, 200, 200, 140, 0),
    (7, 0x2E, 200, 200, 0, 0),
    (9, 0x32, 81, 81, 0, 14021),
    (10, 0x32, 100, 253, 0, 0),
    (12, 0x32, 100, 100, 0, 80),
    (192, 0x32, 200, 200, 0, 51),
    (193, 0x32, 200, 200, 0, 311),
    (194, 0x22, 119, 103, 0, 33),
    (196, 0x32, 200, 200, 0, 0),
    (197, 0x32, 200, 200, 0, 0),
    (198, 0x30, 200, 200, 0, 0),
    (199, 0x32, 200, 200, 0, 0),
)


def change(rows: tuple[Row, ...], *changed: Row) -> tuple[Row, ...]:
    """`rows` with some attributes replaced or added."""
    table = {row[0]: row for row in rows} | {row[0]: row for row in changed}
    return tuple(table[number] for number in sorted(table))


def smart_data(rows: tuple[Row, ...] = HEALTHY, *, test_status: int = 0, able: int = 0x7B) -> bytes:
    page = bytearray(SECTOR)
    page[0] = 16
    for index, (number, flags, value, worst, _, raw) in enumerate(rows):
        entry = struct.pack("<BHBB", number, flags, value, worst) + raw.to_bytes(6, "little")
        page[2 + 12 * index : 13 + 12 * index] = entry
    page[362], page[363] = 0x82, test_status
    struct.pack_into("<H", page, 364, 4980)
    page[367], page[370], page[372], page[373] = able, 1, 2, 0xFF
    struct.pack_into("<H", page, 368, 3)
    page[374] = 5
    struct.pack_into("<H", page, 375, 530)
    return seal(page)


def sealed_thresholds(rows: tuple[Row, ...] = HEALTHY) -> bytes:
    page = bytearray(SECTOR)
    page[0] = 16
    for index, row in enumerate(rows):
        page[2 + 12 * index], page[3 + 12 * index] = row[0], row[4]
    return seal(page)


Test = tuple[int, int, int, int]
"""Kind, status, hours, LBA."""


def self_tests(*tests: Test) -> bytes:
    """Log 06h, oldest first."""
    page = bytearray(SECTOR)
    page[0], page[508] = 1, len(tests)
    for index, (kind, status, hours, lba) in enumerate(tests):
        struct.pack_into("<BBHBI", page, 2 + 24 * index, kind, status, hours, 0, lba)
    return seal(page)


def extended_self_tests(*tests: Test) -> bytes:
    """General purpose log 07h of one sector, oldest first."""
    page = bytearray(SECTOR)
    page[0], page[2] = 1, len(tests)
    for index, (kind, status, hours, lba) in enumerate(tests):
        at = 4 + 26 * index
        struct.pack_into("<BBHB", page, at, kind, status, hours, 0)
        page[at + 5 : at + 11] = lba.to_bytes(6, "little")
    return seal(page)


def error_log(count: int = 0, lba: int = 0x123456) -> bytes:
    """Log 01h: `count` uncorrectable reads at one LBA."""
    page = bytearray(SECTOR)
    page[0], page[1] = 1, (count - 1) % 5 + 1 if count else 0
    for index in range(min(count, 5)):
        at = 2 + 90 * index + 60
        page[at + 1], page[at + 7] = 0x40, 0x51
        page[at + 3 : at + 6] = (lba & 0xFFFFFF).to_bytes(3, "little")
        page[at + 6] = 0xE0 | lba >> 24 & 0xF
    struct.pack_into("<H", page, 452, count)
    return seal(page)


def extended_error_log(count: int = 0, lba: int = 0x1_2345_6789) -> bytes:
    """General purpose log 03h of one sector."""
    page = bytearray(SECTOR)
    page[0] = 1
    struct.pack_into("<H", page, 2, (count - 1) % 4 + 1 if count else 0)
    for index in range(min(count, 4)):
        at = 4 + 124 * index + 90
        page[at + 1], page[at + 11] = 0x40, 0x51
        for place, shift in ((4, 0), (6, 8), (8, 16), (5, 24), (7, 32), (9, 40)):
            page[at + place] = lba >> shift & 0xFF
    struct.pack_into("<H", page, 500, count)
    return seal(page)


def directory(**sectors: int) -> bytes:
    """A log directory: `a04=8` says that log 04h has 8 sectors."""
    page = bytearray(SECTOR)
    page[0] = 1
    for name, count in sectors.items():
        struct.pack_into("<H", page, 2 * int(name[1:], 16), count)
    return bytes(page)


def statistics(pages: Mapping[int, Mapping[int, int | None]]) -> bytes:
    """Log 04h: page -> offset -> value, None for one that is not valid yet."""
    first = bytearray(SECTOR)
    first[0], first[8], first[9 : 10 + len(pages)] = 1, 1 + len(pages), bytes((0, *pages))
    log = bytes(first)
    for number, entries in pages.items():
        page = bytearray(SECTOR)
        page[0], page[2] = 1, number
        for offset, value in entries.items():
            page[offset : offset + 6] = (value or 0).to_bytes(6, "little", signed=True)
            if number == 5 or value is None:
                page[offset + 1 : offset + 6] = bytes(5)
            if number == 5 and offset in (0x50, 0x60):
                page[offset : offset + 4] = (value or 0).to_bytes(4, "little")
            page[offset + 7] = 0x80 if value is None else 0xC0
        log += bytes(page)
    return log


def ata(
    rows: tuple[Row, ...] = HEALTHY,
    *,
    test_status: int = 0,
    passed: bool = True,
    **others: bytes,
) -> DiskPages:
    """A hard disk without general purpose logs."""
    pages = {
        "identify": identify(),
        "data": smart_data(rows, test_status=test_status),
        "thresholds": sealed_thresholds(rows),
        "status": b"\x4f\xc2" if passed else b"\xf4\x2c",
        "log-00": directory(a01=1, a06=1, a09=1),
        "log-01": error_log(),
        "log-06": self_tests(),
        **{name.replace("_", "-"): page for name, page in others.items()},
    }
    return DiskPages("ata", pages)


SSD: tuple[Row, ...] = (
    (5, 0x33, 100, 100, 10, 0),
    (9, 0x32, 98, 98, 0, 8123),
    (12, 0x32, 99, 99, 0, 312),
    (177, 0x13, 97, 97, 0, 41),
    (179, 0x13, 100, 100, 10, 0),
    (181, 0x32, 100, 100, 10, 0),
    (187, 0x32, 100, 100, 0, 0),
    (190, 0x32, 68, 52, 0, 32),
    (199, 0x3E, 100, 100, 0, 0),
    (241, 0x32, 99, 99, 0, 31234567890),
)


def sata_ssd(rows: tuple[Row, ...] = SSD, used_percent: int = 3) -> DiskPages:
    """A solid state disk with general purpose logs."""
    statistic = {
        1: {0x08: 312, 0x10: 8123, 0x18: 31234567890},
        4: {0x08: 0, 0x10: 2},
        5: {0x08: 32, 0x20: 48, 0x28: 19, 0x50: 0, 0x58: 70, 0x60: 0, 0x68: 0},
        6: {0x08: 3, 0x18: 0},
        7: {0x08: used_percent},
    }
    return ata(
        rows,
        identify=identify("HOLDFAST TEST SSD", "HF-S001", rpm=1, exponent=0, gp_logs=True),
        gplog_00=directory(a03=1, a04=8, a07=1, a11=1),
        gplog_03=extended_error_log(),
        gplog_04=statistics(statistic),
        gplog_07=extended_self_tests((1, 0, 8000, 0)),
        gplog_11=phy_counters({1: 0, 10: 4}),
        log_00=directory(a01=1, a04=8, a06=1, a09=1),
    )


def phy_counters(counters: Mapping[int, int]) -> bytes:
    page = bytearray(SECTOR)
    at = 4
    for number, value in counters.items():
        struct.pack_into("<HH", page, at, 0x1000 | number, value)
        at += 4
    return seal(page)
