"""Pages of SCSI and SAS disks, written from the standards: SPC-5, SBC-4."""

from __future__ import annotations

import struct

from appliance.formats.disk_pages import DiskPages


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
    spots = [name[4:].split("-") for name in pages if name.startswith("log-")]
    if any(len(spot) == 2 for spot in spots):
        both = [(int(spot[0], 16), int((*spot, "0")[1], 16)) for spot in spots]
        body = b"".join(bytes(pair) for pair in sorted({(0, 0), (0, 0xFF), *both}))
        pages["log-00-ff"] = struct.pack(">BBH", 0x40, 0xFF, len(body)) + body
    codes = sorted({int(name[4:6], 16) for name in pages if name.startswith("log-")} | {0})
    pages["log-00"] = struct.pack(">BBH", 0, 0, len(codes)) + bytes(codes)
    return DiskPages("scsi", pages)
