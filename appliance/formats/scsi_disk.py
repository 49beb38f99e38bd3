"""Everything a SCSI or SAS disk said in one reading: SPC-5, SBC-4.

Owns the layout of inquiry, vital product data, mode and log pages. Never judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from appliance.formats.disk_pages import DiskPages
from appliance.formats.page_bytes import read_be, read_text, require_bytes
from appliance.formats.sas_port import SasPort, parse_port
from appliance.formats.scsi_environment import Environment, parse_environment

INQUIRY_BYTES = 36
_HEADER_BYTES = 4
_UNKNOWN_C = 0xFF
_NONE_32 = 0xFFFFFFFF
_NONE_64 = 2**64 - 1
_TESTS = 20
COUNTER_PAGES = {"log-02": "write", "log-03": "read", "log-05": "verify"}
START_STOP = {3: "specified_cycles", 4: "cycles", 5: "specified_loads", 6: "loads"}
ASC_WARNING, ASC_IMPENDING_FAILURE = 0x0B, 0x5D
FAILED_TESTS = frozenset(range(3, 8))
IN_PROGRESS = 0xF


@dataclass(frozen=True)
class ScsiCapacity:
    """READ CAPACITY. `protection` is the type, 0 for none; None what the short form hides."""

    blocks: int
    block_bytes: int
    physical_exponent: int = 0
    protection: int = 0
    protection_exponent: int = 0
    is_thin: bool | None = None
    reads_zeros: int | None = None


@dataclass(frozen=True)
class ScsiTest:
    """An entry of the self-test log. `lba` and `sense` are None where nothing failed."""

    number: int
    code: int
    result: int
    segment: int
    hours: int
    lba: int | None
    sense: tuple[int, int, int] | None
    vendor: int = 0

    @property
    def has_failed(self) -> bool:
        """Whether the test found the disk at fault."""
        return self.result in FAILED_TESTS


@dataclass(frozen=True)
class ScsiScanError:
    """Something the background scan met."""

    number: int
    minutes: int
    lba: int
    sense: tuple[int, int, int]
    reassign: int


@dataclass(frozen=True)
class ScsiScan:
    """The background scan: log page 15h."""

    minutes: int
    status: int
    scans: int
    progress: int
    medium_scans: int
    errors: tuple[ScsiScanError, ...]


@dataclass(frozen=True)
class ScsiDisk:
    """None is what the disk did not say.

    Attributes:
        exception: (ASC, ASCQ) of the informational exceptions, where it reports them.
        counters: `read`, `write`, `verify` -> seven counters by their parameter code.
    """

    vendor: str
    product: str
    revision: str
    device_type: int
    version: int
    is_protected: bool
    serial: str = ""
    unit_id: str = ""
    transport: int | None = None
    capacity: ScsiCapacity | None = None
    provisioning: int | None = None
    provisioning_zeros: int = 0
    rotation: int | None = None
    form_factor: int = 0
    has_exceptions: bool | None = None
    has_warnings: bool = False
    log_pages: tuple[int, ...] | None = None
    exception: tuple[int, int] | None = None
    temperature_c: int | None = None
    trip_c: int | None = None
    counters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    start_stop: Mapping[str, int] = field(default_factory=dict)
    manufactured: tuple[str, str] | None = None
    tests: tuple[ScsiTest, ...] | None = None
    endurance_used_percent: int | None = None
    scan: ScsiScan | None = None
    grown_defects: int | None = None
    pending_defects: int | None = None
    ports: tuple[SasPort, ...] = ()
    environment: tuple[Environment, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def rotation_rpm(self) -> int | None:
        """0 of an SSD; None where the disk does not say."""
        if self.rotation == 1:
            return 0
        return self.rotation or None


def parse_scsi(pages: DiskPages) -> ScsiDisk:
    """Read what came. Raises IntegrityError when not even the inquiry did."""
    inquiry = pages.pages.get("inquiry", b"")
    require_bytes(inquiry, INQUIRY_BYTES, "INQUIRY")
    logs = {name: page for name, page in pages.pages.items() if name.startswith("log-")}
    good = {name: page for name, page in logs.items() if _is_log(name, page)}
    exception, warm = _parse_exceptions(good.get("log-2f"))
    now, trip = _parse_temperature(good.get("log-0d"))
    unit_id, transport = _parse_identification(pages.pages.get("vpd-83", b""))
    rotation, form = _parse_rotation(pages.pages)
    enabled, warnings = _parse_exception_mode(pages.pages.get("mode-1c"))
    provisioning = pages.pages.get("vpd-b2", b"")
    return ScsiDisk(
        vendor=read_text(inquiry, 8, 8),
        product=read_text(inquiry, 16, 16),
        revision=read_text(inquiry, 32, 4),
        device_type=inquiry[0] & 0x1F,
        version=inquiry[2] & 7,
        is_protected=bool(inquiry[5] & 1),
        serial=_parse_serial(pages.pages.get("vpd-80", b"")),
        unit_id=unit_id,
        transport=_parse_transport(pages.pages.get("mode-19")) if transport is None else transport,
        capacity=_parse_capacity(pages.pages),
        provisioning=provisioning[6] & 7 if len(provisioning) >= 8 else None,
        provisioning_zeros=provisioning[5] >> 2 & 7 if len(provisioning) >= 8 else 0,
        rotation=rotation,
        form_factor=form,
        has_exceptions=enabled,
        has_warnings=warnings,
        log_pages=_parse_supported(good.get("log-00")),
        exception=exception,
        temperature_c=warm if now is None and "log-0d" not in good else now,
        trip_c=trip,
        counters={
            kind: _parse_counters(good[name])
            for name, kind in COUNTER_PAGES.items()
            if name in good
        },
        start_stop=_parse_start_stop(good.get("log-0e", b"")),
        manufactured=_parse_manufactured(good.get("log-0e", b"")),
        tests=_parse_tests(good["log-10"]) if "log-10" in good else None,
        endurance_used_percent=_parse_endurance(good.get("log-11", b"")),
        scan=_parse_scan(good.get("log-15", b"")),
        grown_defects=_parse_defects(pages.pages.get("defects", b"")),
        pending_defects=_parse_pending(good.get("log-15-01", b"")),
        ports=tuple(
            port
            for code, value in _parameters(good.get("log-18", b""))
            if (port := parse_port(code, value)) is not None
        ),
        environment=tuple(
            report
            for code, value in _parameters(good.get("log-0d-01", b""))
            if (report := parse_environment(code, value)) is not None
        ),
        damaged=dict.fromkeys(logs.keys() - good.keys(), "no such log page"),
    )


def _is_log(name: str, page: bytes) -> bool:
    """Whether the page is the one that was asked for."""
    codes = [int(code, 16) for code in name.split("-")[1:]]
    if len(page) < _HEADER_BYTES or page[0] & 0x3F != codes[0]:
        return False
    return len(codes) == 1 or page[1] == codes[1]


def _parameters(page: bytes) -> Iterator[tuple[int, bytes]]:
    """(code, value) of each parameter of a log page that is there as a whole."""
    end = min(len(page), _HEADER_BYTES + read_be(page, 2, 2))
    at = _HEADER_BYTES
    while at + 4 <= end:
        length = page[at + 3]
        if at + 4 + length > end:
            return
        yield read_be(page, at, 2), page[at + 4 : at + 4 + length]
        at += 4 + length


def _parse_serial(page: bytes) -> str:
    return read_text(page, 4, page[3]) if len(page) > 4 else ""


def _parse_identification(page: bytes) -> tuple[str, int | None]:
    """The name of the logical unit, and the transport that a designator names."""
    text, transport, is_name = "", None, False
    at, end = 4, min(len(page), 4 + read_be(page, 2, 2))
    while at + 4 <= end and at + 4 + page[at + 3] <= end:
        association, kind = page[at + 1] >> 4 & 3, page[at + 1] & 0xF
        value = page[at + 4 : at + 4 + page[at + 3]]
        if association and page[at + 1] & 0x80 and transport is None:
            transport = page[at] >> 4
        if association == 0 and kind in (2, 3) and value:
            text = f"{'' if is_name else text}0x{value.hex()}"
            is_name = False
        elif association == 0 and kind == 8 and not text:
            text, is_name = read_text(value, 0, len(value)), True
        at += 4 + page[at + 3]
    return text, transport


def _find_mode_page(data: bytes | None, number: int) -> bytes:
    """The page behind the header of MODE SENSE(10) and its block descriptors."""
    if data is None or len(data) < 8:
        return b""
    page = data[8 + read_be(data, 6, 2) :]
    return page if len(page) > 2 and page[0] & 0x3F == number else b""


def _parse_transport(data: bytes | None) -> int | None:
    page = _find_mode_page(data, 0x19)
    return page[2] & 0xF if len(page) > 2 and page[1] > 1 and not page[0] & 0x40 else None


def _parse_exception_mode(data: bytes | None) -> tuple[bool | None, bool]:
    """Whether informational exceptions, and warnings of temperature, are switched on."""
    page = _find_mode_page(data, 0x1C)
    return (not page[2] & 0x08, bool(page[2] & 0x10)) if page else (None, False)


def _parse_rotation(pages: Mapping[str, bytes]) -> tuple[int | None, int]:
    page = pages.get("vpd-b1", b"")
    if len(page) >= 8 and read_be(page, 2, 2) > 2:
        return read_be(page, 4, 2), page[7] & 0xF
    geometry = _find_mode_page(pages.get("mode-04"), 4)
    return (read_be(geometry, 20, 2) if geometry else None), 0


def _parse_capacity(pages: Mapping[str, bytes]) -> ScsiCapacity | None:
    long, short = pages.get("capacity", b""), pages.get("short-capacity", b"")
    if len(long) >= 16:
        is_protected = bool(long[12] & 1)
        return ScsiCapacity(
            blocks=read_be(long, 0, 8) + 1,
            block_bytes=read_be(long, 8, 4),
            physical_exponent=long[13] & 0xF,
            protection=1 + (long[12] >> 1 & 7) if is_protected else 0,
            protection_exponent=long[13] >> 4,
            is_thin=bool(long[14] & 0x80),
            reads_zeros=long[14] >> 6 & 1,
        )
    if len(short) >= 8:
        return ScsiCapacity(read_be(short, 0, 4) + 1, read_be(short, 4, 4))
    return None


def _parse_supported(page: bytes | None) -> tuple[int, ...] | None:
    if page is None:
        return None
    return tuple(code & 0x3F for code in page[4 : 4 + read_be(page, 2, 2)])


def _parse_exceptions(page: bytes | None) -> tuple[tuple[int, int] | None, int | None]:
    """(ASC, ASCQ), and a temperature that some disks add."""
    for code, value in _parameters(page or b""):
        if code == 0 and len(value) >= 2:
            warm = value[2] if len(value) > 2 and value[2] not in (0, _UNKNOWN_C) else None
            return (value[0], value[1]), warm
    return None, None


def _parse_temperature(page: bytes | None) -> tuple[int | None, int | None]:
    found: dict[int, int] = {
        code: value[1] for code, value in _parameters(page or b"") if len(value) >= 2
    }
    now, trip = found.get(0), found.get(1)
    return (None if now == _UNKNOWN_C else now, None if trip == _UNKNOWN_C else trip)


def _parse_counters(page: bytes) -> tuple[int, ...]:
    found = {code: read_be(value[-8:], 0, len(value[-8:])) for code, value in _parameters(page)}
    return tuple(found.get(code, 0) for code in range(7))


def _parse_start_stop(page: bytes) -> dict[str, int]:
    return {
        START_STOP[code]: read_be(value, 0, 4)
        for code, value in _parameters(page)
        if code in START_STOP and len(value) >= 4 and read_be(value, 0, 4) != _NONE_32
    }


def _parse_manufactured(page: bytes) -> tuple[str, str] | None:
    """Year and week."""
    for code, value in _parameters(page):
        if code == 1 and len(value) == 6:
            return read_text(value, 0, 4), read_text(value, 4, 2)
    return None


def _parse_tests(page: bytes) -> tuple[ScsiTest, ...]:
    tests: list[ScsiTest] = []
    for code, value in _parameters(page):
        hours = read_be(value, 2, 2)
        if len(tests) == _TESTS or len(value) < 16 or (hours == 0 and value[0] == 0):
            break
        result, lba = value[0] & 0xF, read_be(value, 4, 8)
        tests.append(
            ScsiTest(
                number=code,
                code=value[0] >> 5,
                result=result,
                segment=value[1],
                hours=hours,
                lba=lba if lba != _NONE_64 and 0 < result < IN_PROGRESS else None,
                sense=(value[12] & 0xF, value[13], value[14]) if value[12] & 0xF else None,
                vendor=value[15],
            )
        )
    return tuple(tests)


def _parse_endurance(page: bytes) -> int | None:
    for code, value in _parameters(page):
        if code == 1 and len(value) >= 4:
            return value[3]
    return None


def _parse_scan(page: bytes) -> ScsiScan | None:
    status, errors = None, []
    for code, value in _parameters(page):
        if code == 0 and len(value) >= 12:
            status = value
        elif code != 0 and len(value) >= 20:
            sense = (value[4] & 0xF, value[5], value[6])
            errors.append(
                ScsiScanError(
                    code, read_be(value, 0, 4), read_be(value, 12, 8), sense, value[4] >> 4
                )
            )
    if status is None:
        return None
    return ScsiScan(
        minutes=read_be(status, 0, 4),
        status=status[5],
        scans=read_be(status, 6, 2),
        progress=read_be(status, 8, 2),
        medium_scans=read_be(status, 10, 2),
        errors=tuple(errors),
    )


def _parse_defects(page: bytes) -> int | None:
    """Entries of the grown list."""
    if len(page) < 8 or page[1] & 0x18 != 0x08 or page[1] & 7 > 5:
        return None
    return read_be(page, 4, 4) // (4 if page[1] & 7 == 0 else 8)


def _parse_pending(page: bytes) -> int | None:
    if len(page) < _HEADER_BYTES or page[1] != 1:
        return None
    for code, value in _parameters(page):
        if code == 0 and len(value) >= 4:
            return read_be(value, 0, 4)
    return None
