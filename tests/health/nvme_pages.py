"""Pages of NVMe disks, written from the standard: NVM Express 1.4."""

from __future__ import annotations

import struct

from appliance.formats.disk_pages import DiskPages


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
