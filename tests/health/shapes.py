"""Disks of many shapes, written from the standards: pages out of readable descriptions.

Every function of SHAPES makes the pages that one disk would give. `python -m tests.health.shapes`
lists them. Layouts: ACS-4, ATA8-ACS, NVM Express 1.4, SPC-5, SBC-4, SAT-4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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


# ---- ATA ----------------------------------------------------------------------------------------


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


# ---- NVMe ---------------------------------------------------------------------------------------


def controller(**fields: int) -> bytes:
    page = bytearray(4096)
    struct.pack_into("<HH", page, 0, 0x1B36, 0x1AF4)
    page[4:24] = b"HF-N001".ljust(20)
    page[24:64] = b"HOLDFAST TEST NVME".ljust(40)
    page[64:72] = b"N1.0".ljust(8)
    page[73:76] = bytes((0x00, 0x54, 0x52))
    numbers: dict[str, tuple[str, int, int]] = {
        "id": ("<H", 78, 1),
        "version": ("<I", 80, 0x010400),
        "oacs": ("<H", 256, 0x10),
        "frmw": ("<B", 260, 0x06),
        "lpa": ("<B", 261, 0x02),
        "elpe": ("<B", 262, 3),
        "warning": ("<H", 266, 273 + 80),
        "critical": ("<H", 268, 273 + 85),
        "namespaces": ("<I", 516, 1),
        "vwc": ("<B", 525, 1),
    }
    for name, (form, at, value) in numbers.items():
        struct.pack_into(form, page, at, fields.get(name, value))
    return bytes(page)


def namespace(blocks: int = 1953525168, shift: int = 9) -> bytes:
    page = bytearray(4096)
    struct.pack_into("<QQQ", page, 0, blocks, blocks, blocks)
    page[130] = shift
    page[120:128] = bytes.fromhex("0054520011223344") if blocks else bytes(8)
    return bytes(page)


def health(
    *,
    warning: int = 0,
    kelvin: int = 273 + 36,
    spare: int = 100,
    threshold: int = 10,
    used: int = 2,
    **counters: int,
) -> bytes:
    page = bytearray(512)
    page[0], page[3], page[4], page[5] = warning, spare, threshold, used
    struct.pack_into("<H", page, 1, kelvin)
    places = {
        "data_read": (32, 1234567),
        "data_written": (48, 7654321),
        "reads": (64, 33333333),
        "writes": (80, 44444444),
        "busy": (96, 555),
        "cycles": (112, 66),
        "hours": (128, 7777),
        "unsafe": (144, 8),
        "media_errors": (160, 0),
        "error_entries": (176, 0),
    }
    for name, (at, value) in places.items():
        page[at : at + 16] = counters.get(name, value).to_bytes(16, "little")
    struct.pack_into("<II", page, 192, counters.get("warm", 0), counters.get("hot", 0))
    struct.pack_into("<H", page, 200, counters.get("sensor", kelvin))
    return bytes(page)


def nvme_tests(*tests: tuple[int, int, int, int | None], running: int = 0) -> bytes:
    """(code, result, hours, LBA), newest first."""
    page = bytearray(564)
    page[0], page[1] = running, 40 if running else 0
    for index in range(20):
        at = 4 + 28 * index
        if index >= len(tests):
            page[at] = 0x0F
            continue
        code, result, hours, lba = tests[index]
        page[at], page[at + 2] = code << 4 | result, 0 if lba is None else 2
        struct.pack_into("<Q", page, at + 4, hours)
        struct.pack_into("<Q", page, at + 16, lba or 0)
    return bytes(page)


def nvme(nsid: int = 1, **others: bytes) -> DiskPages:
    pages = {
        "controller": controller(),
        "namespace": namespace(),
        "log-02": health(),
        "log-03": bytes((1,)) + bytes(7) + b"N1.0    " + bytes(496),
        "log-01": bytes(256),
        "log-06": nvme_tests(),
        **{name.replace("_", "-"): page for name, page in others.items()},
    }
    return DiskPages("nvme", pages, nsid=nsid)


# ---- SCSI and SAS -------------------------------------------------------------------------------


def log_page(page: int, *parameters: tuple[int, bytes], subpage: int = 0) -> bytes:
    body = b"".join(
        struct.pack(">HBB", code, 0x03, len(value)) + value for code, value in parameters
    )
    return struct.pack(">BBH", page | (0x40 if subpage else 0), subpage, len(body)) + body


def counters(page: int, *values: int) -> bytes:
    return log_page(page, *((code, struct.pack(">Q", v)) for code, v in enumerate(values)))


def inquiry(vendor: str = "HOLDFAST", product: str = "TEST SAS", version: int = 6) -> bytes:
    page = bytearray(96)
    page[2], page[3], page[4], page[7] = version, 2, 91, 2
    page[8:16], page[16:32] = vendor.encode().ljust(8), product.encode().ljust(16)
    page[32:36] = b"S001"
    return bytes(page)


def vital(page: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0, page, len(body)) + body


def characteristics(rotation: int, form: int = 3) -> bytes:
    body = bytearray(60)
    struct.pack_into(">H", body, 0, rotation)
    body[3] = form
    return vital(0xB1, bytes(body))


def scsi_tests(*tests: tuple[int, int, int, int | None]) -> bytes:
    """(code, result, hours, LBA), newest first."""
    parameters = []
    for index in range(20):
        value = bytearray(16)
        if index < len(tests):
            code, result, hours, lba = tests[index]
            value[0] = code << 5 | result
            struct.pack_into(">H", value, 2, hours)
            struct.pack_into(">Q", value, 4, 2**64 - 1 if lba is None else lba)
            if lba is not None:
                value[12:15] = bytes((3, 0x11, 0))
        parameters.append((index + 1, bytes(value)))
    return log_page(0x10, *parameters)


def scan(minutes: int, *errors: tuple[int, int]) -> bytes:
    """Log 15h: (minutes, LBA) of unrecovered reads."""
    status = struct.pack(">IBBHHH", minutes, 0, 1, 40, 0x8000, 40)
    return log_page(
        0x15,
        (0, status),
        *(
            (1 + i, struct.pack(">IBBB5xQ", at, 0x43, 0x11, 0, lba))
            for i, (at, lba) in enumerate(errors)
        ),
    )


def phys(*errors: tuple[int, int, int, int]) -> bytes:
    """Log 18h of a SAS disk: four link counters for each phy."""
    value = struct.pack(">BBBB", 6, 0, 1, len(errors))
    for index, numbers in enumerate(errors):
        body = bytearray(48)
        body[1], body[3], body[4], body[5] = index, 44, 0x10, 0x0B
        struct.pack_into(">IIII", body, 32, *numbers)
        value += bytes(body)
    return log_page(0x18, (1, value))


UNIT = bytes((1, 3, 0, 8)) + bytes.fromhex("5000c50012345678")
PORT = bytes((0x61, 0x93, 0, 8)) + bytes.fromhex("5000c50012345679")


def sas(rotation: int = 10500, **others: bytes) -> DiskPages:
    pages = {
        "inquiry": inquiry(),
        "vpd-00": vital(0, bytes((0x00, 0x80, 0x83, 0xB1, 0xB2))),
        "vpd-80": vital(0x80, b"HF-SAS-0001         "),
        "vpd-83": vital(0x83, UNIT + PORT),
        "vpd-b1": characteristics(rotation),
        "vpd-b2": vital(0xB2, bytes(4)),
        "capacity": struct.pack(">QI", 1172123567, 512) + bytes((0, 3)) + bytes(18),
        "mode-1c": bytes(8) + bytes((0x1C, 10, 0x10, 6)) + bytes(8),
        "log-02": counters(0x02, 0, 7, 0, 7, 12, 41234567890123, 0),
        "log-03": counters(0x03, 12, 3, 0, 15, 15, 91234567890123, 0),
        "log-05": counters(0x05, 0, 0, 0, 0, 0, 0, 0),
        "log-0d": log_page(0x0D, (0, bytes((0, 31))), (1, bytes((0, 60)))),
        "log-0e": log_page(
            0x0E,
            (1, b"202312"),
            (3, struct.pack(">I", 50000)),
            (4, struct.pack(">I", 91)),
            (5, struct.pack(">I", 300000)),
            (6, struct.pack(">I", 804)),
        ),
        "log-10": scsi_tests(),
        "log-15": scan(841260),
        "log-2f": log_page(0x2F, (0, bytes((0, 0, 31, 60)))),
        "defects": bytes((0, 0x0C, 0, 1, 0, 0, 0, 0)),
        **{name.replace("_", "-"): page for name, page in others.items()},
    }
    codes = sorted({int(name[4:6], 16) for name in pages if name.startswith("log-")} | {0})
    pages["log-00"] = struct.pack(">BBH", 0, 0, len(codes)) + bytes(codes)
    return DiskPages("scsi", pages)


def without(pages: DiskPages, *names: str) -> DiskPages:
    """The disk refuses some pages."""
    kept = {name: page for name, page in pages.pages.items() if name not in names}
    return replace(pages, pages=kept, faults=dict.fromkeys(names, "unsupported"))


def spoil(page: bytes) -> bytes:
    """The same with a checksum that is wrong."""
    return page[:-1] + bytes((page[-1] ^ 0x55,))


@dataclass(frozen=True)
class Shape:
    """A disk, and the rules that must speak of it in one reading without any history."""

    make: Callable[[], DiskPages]
    rules: tuple[str, ...] = ()


def _pending(count: int) -> tuple[Row, ...]:
    return change(HEALTHY, (197, 0x32, 200, 200, 0, count), (198, 0x30, 200, 200, 0, count))


def _ssd_errors() -> DiskPages:
    made = sata_ssd(change(SSD, (187, 0x32, 90, 90, 0, 3)))
    pages = {
        **made.pages,
        "gplog-03": extended_error_log(9),
        "gplog-07": extended_self_tests((2, 0x78, 8100, 0x1_0000_0001)),
    }
    return replace(made, pages=pages)


PACKED = change(
    HEALTHY,
    (3, 0x27, 178, 175, 21, 422 << 16 | 430),
    (5, 0x33, 200, 200, 140, 7 << 32 | 3 << 16 | 0),
    (9, 0x32, 81, 81, 0, 0x12_34 << 32 | 0x56 << 24 | 20123),
    (188, 0x32, 100, 99, 0, 5 << 32 | 5 << 16 | 0),
    (190, 0x22, 67, 50, 45, 0x2A14_0021),
    (194, 0x22, 33, 50, 0, 0x0000_0014_0000_0021),
)
MOVED = sealed_thresholds(tuple(reversed(HEALTHY)))
DEFECTS = bytes((0, 0x0C, 0, 1)) + struct.pack(">I", 8 * 143)

SHAPES: dict[str, Shape] = {
    "hdd-healthy": Shape(ata),
    "hdd-reallocated": Shape(
        lambda: ata(change(HEALTHY, (5, 0x33, 190, 190, 140, 211), (196, 0x32, 190, 190, 0, 40))),
        ("disk.reallocated-sectors",),
    ),
    "hdd-pending": Shape(
        lambda: ata(_pending(16), log_01=error_log(7)),
        ("disk.pending-sectors", "disk.uncorrectable-sectors"),
    ),
    "hdd-reported-uncorrect": Shape(
        lambda: ata(change(HEALTHY, (187, 0x32, 88, 88, 0, 12)), log_01=error_log(12)),
        ("disk.reported-errors",),
    ),
    "hdd-crc": Shape(
        lambda: ata(change(HEALTHY, (199, 0x32, 200, 150, 0, 4711))), ("disk.link-errors",)
    ),
    "hdd-timeouts": Shape(
        lambda: ata(change(HEALTHY, (188, 0x32, 100, 90, 0, 60 << 32 | 61 << 16 | 62))),
        ("disk.command-timeouts",),
    ),
    "hdd-threshold-now": Shape(
        lambda: ata(change(HEALTHY, (5, 0x33, 120, 120, 140, 1808)), passed=False),
        ("disk.reallocated-sectors", "disk.threshold", "disk.predicted-failure"),
    ),
    "hdd-threshold-past": Shape(
        lambda: ata(change(HEALTHY, (190, 0x22, 60, 40, 45, 40))), ("disk.threshold",)
    ),
    "hdd-zero-thresholds": Shape(
        lambda: ata(tuple((*row[:2], 1, 1, 0, row[5]) for row in HEALTHY)),
    ),
    "hdd-no-thresholds": Shape(lambda: without(ata(), "thresholds")),
    "hdd-thresholds-elsewhere": Shape(lambda: ata(thresholds=MOVED)),
    "hdd-no-status": Shape(
        lambda: without(ata(change(HEALTHY, (5, 0x33, 120, 120, 140, 1808))), "status"),
        ("disk.reallocated-sectors", "disk.threshold", "disk.predicted-failure"),
    ),
    "hdd-wrong-checksum": Shape(
        lambda: ata(data=spoil(smart_data(_pending(99)))), ("disk.spoiled-pages",)
    ),
    "hdd-packed-values": Shape(lambda: ata(PACKED)),
    "hdd-self-test-failed": Shape(
        lambda: ata(
            test_status=0x79,
            log_06=self_tests((1, 0x00, 13000, 0), (2, 0x79, 14000, 0x00AB_CDEF)),
        ),
        ("disk.self-test",),
    ),
    "hdd-self-test-outdated": Shape(
        lambda: ata(log_06=self_tests((1, 0x77, 9000, 4711), (2, 0x00, 14000, 0)))
    ),
    "hdd-self-test-running": Shape(
        lambda: ata(test_status=0xF4, log_06=self_tests((2, 0xF4, 14021, 0)))
    ),
    "hdd-short-log": Shape(lambda: ata(log_06=self_tests((2, 0x79, 14000, 5))[:100])),
    "hdd-hot": Shape(
        lambda: ata(change(HEALTHY, (194, 0x22, 90, 90, 0, 63))), ("disk.temperature",)
    ),
    "hdd-512n-old": Shape(
        lambda: ata(
            identify=identify(
                "HOLDFAST OLD HDD", exponent=0, rpm=0, words={80: 0x00F8, 81: 0x1B, 222: 0, 168: 0}
            )
        )
    ),
    "hdd-no-smart": Shape(lambda: DiskPages("ata", {"identify": identify(smart=False)})),
    "ssd-healthy": Shape(sata_ssd),
    "ssd-worn": Shape(lambda: sata_ssd(used_percent=97), ("disk.wear",)),
    "ssd-errors": Shape(
        _ssd_errors,
        ("disk.reported-errors", "disk.self-test"),
    ),
    "nvme-healthy": Shape(nvme),
    "nvme-spare-zero-threshold": Shape(lambda: nvme(log_02=health(spare=0, threshold=0))),
    "nvme-spare-at-threshold": Shape(lambda: nvme(log_02=health(spare=10, threshold=10))),
    "nvme-spare-low": Shape(
        lambda: nvme(log_02=health(spare=4, threshold=10, warning=1)),
        ("disk.spare",),
    ),
    "nvme-read-only": Shape(
        lambda: nvme(log_02=health(warning=0x0C, media_errors=91)),
        ("disk.read-only", "disk.reliability", "disk.media-errors"),
    ),
    "nvme-hot": Shape(
        lambda: nvme(log_02=health(warning=2, kelvin=273 + 87, warm=90, hot=12)),
        ("disk.temperature",),
    ),
    "nvme-backup-failed": Shape(
        lambda: nvme(log_02=health(warning=0x30)), ("disk.volatile-backup", "disk.reliability")
    ),
    "nvme-worn": Shape(lambda: nvme(log_02=health(used=118)), ("disk.wear",)),
    "nvme-no-namespace": Shape(lambda: without(nvme(0), "namespace")),
    "nvme-unattached-namespace": Shape(lambda: nvme(namespace=namespace(0))),
    "nvme-self-test-failed": Shape(
        lambda: nvme(log_06=nvme_tests((2, 7, 7700, 0x1000), (1, 0, 7600, None))),
        ("disk.self-test",),
    ),
    "nvme-short-health": Shape(lambda: nvme(log_02=health()[:200])),
    "nvme-huge-counters": Shape(
        lambda: nvme(log_02=health(hours=2**70, data_read=2**128 - 1)),
    ),
    "nvme-old": Shape(
        lambda: without(
            nvme(controller=controller(version=0, warning=0, critical=0, oacs=0)),
            *("log-06", "log-03"),
        )
    ),
    "sas-healthy": Shape(sas),
    "sas-grown-defects": Shape(lambda: sas(defects=DEFECTS), ("disk.grown-defects",)),
    "sas-predicted": Shape(
        lambda: sas(log_2f=log_page(0x2F, (0, bytes((0x5D, 0x10, 31, 60))))),
        ("disk.predicted-failure",),
    ),
    "sas-uncorrected": Shape(
        lambda: sas(log_03=counters(0x03, 12, 3, 9, 24, 15, 91234567890123, 6)),
        ("disk.reported-errors",),
    ),
    "sas-self-test-failed": Shape(
        lambda: sas(log_10=scsi_tests((2, 7, 14000, 0x00AB_CDEF), (1, 0, 13000, None))),
        ("disk.self-test",),
    ),
    "sas-ssd-worn": Shape(
        lambda: sas(1, log_11=log_page(0x11, (1, bytes((0, 0, 0, 96))))), ("disk.wear",)
    ),
    "sas-scan-errors": Shape(
        lambda: sas(log_15=scan(841260, (840000, 0x1234), (841000, 0x99_0000_1234))),
        ("disk.scan-errors",),
    ),
    "sas-link": Shape(
        lambda: sas(log_18=phys((9000, 800, 30, 2), (0, 0, 0, 0))), ("disk.link-errors",)
    ),
    "sas-hot": Shape(
        lambda: sas(log_0d=log_page(0x0D, (0, bytes((0, 61))), (1, bytes((0, 60))))),
        ("disk.temperature",),
    ),
    "scsi-bare": Shape(
        lambda: DiskPages(
            "scsi",
            {
                "inquiry": inquiry("QEMU", "QEMU HARDDISK", 5),
                "short-capacity": struct.pack(">II", 20479, 512),
            },
        )
    ),
}


if __name__ == "__main__":
    for name, shape in SHAPES.items():
        print(f"{name:28} {', '.join(shape.rules) or 'quiet'}")
