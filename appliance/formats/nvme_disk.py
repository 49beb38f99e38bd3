"""Everything an NVMe disk said in one reading: NVM Express 1.4, 5.14 and 5.15.

Owns the layout of its pages and its names under the keys of `smartctl --json`. Never judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.formats.disk_pages import DiskPages
from appliance.formats.page_bytes import read_be, read_le, read_text, require_bytes

CONTROLLER_BYTES = NAMESPACE_BYTES = 4096
HEALTH_BYTES = 512
ERROR_BYTES = 64
TESTS_BYTES = 564
KELVIN = 273
CRITICAL_BITS = {
    0x01: "spare_below_threshold",
    0x02: "temperature_above_or_below_threshold",
    0x04: "reliability_degraded",
    0x08: "media_read_only",
    0x10: "volatile_memory_backup_failed",
    0x20: "persistent_memory_region_unreliable",
}
# Log 02h: key -> offset of a counter of 16 bytes.
COUNTERS = {
    "data_units_read": 32,
    "data_units_written": 48,
    "host_reads": 64,
    "host_writes": 80,
    "controller_busy_time": 96,
    "power_cycles": 112,
    "power_on_hours": 128,
    "unsafe_shutdowns": 144,
    "media_errors": 160,
    "num_err_log_entries": 176,
}
_SAFE_MAX = 2**53 - 1


@dataclass(frozen=True)
class NvmeController:
    """Identify Controller. Temperatures in degrees Celsius, None where there is no limit."""

    vendor: int
    subsystem_vendor: int
    serial: str
    model: str
    firmware: str
    oui: int
    controller_id: int
    version: int
    namespaces: int
    total_bytes: int
    unallocated_bytes: int
    warning_c: int | None
    critical_c: int | None
    error_entries: int
    can_self_test: bool
    has_write_cache: bool


@dataclass(frozen=True)
class NvmeNamespace:
    """Identify Namespace: sizes in logical blocks."""

    nsid: int
    size: int
    capacity: int
    used: int
    block_bytes: int
    eui64: bytes


@dataclass(frozen=True)
class NvmeHealth:
    """The SMART / health log."""

    critical_warning: int
    temperature_c: int | None
    spare_percent: int
    spare_threshold_percent: int
    used_percent: int
    counters: Mapping[str, int]
    warning_minutes: int
    critical_minutes: int
    sensors_c: tuple[int | None, ...]


@dataclass(frozen=True)
class NvmeTest:
    """An entry of the self-test log."""

    code: int
    result: int
    hours: int
    segment: int
    lba: int | None
    nsid: int | None

    @property
    def has_failed(self) -> bool:
        """Whether the test found the disk at fault, and not somebody stopped it."""
        return self.result in (5, 6, 7)


@dataclass(frozen=True)
class NvmeTests:
    """The self-test log, newest first. `running_percent` is None while none runs."""

    running_code: int
    running_percent: int | None
    tests: tuple[NvmeTest, ...]


@dataclass(frozen=True)
class NvmeError:
    """An entry of the error log."""

    count: int
    status: int
    lba: int | None
    nsid: int | None


@dataclass(frozen=True)
class NvmeDisk:
    """None is what the disk did not say."""

    controller: NvmeController
    namespace: NvmeNamespace | None = None
    health: NvmeHealth | None = None
    tests: NvmeTests | None = None
    errors: tuple[NvmeError, ...] | None = None
    active_slot: int | None = None
    slots: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)


def parse_nvme(pages: DiskPages) -> NvmeDisk:
    """Read what came. Raises IntegrityError when not even Identify Controller did."""
    controller = _parse_controller(pages.pages.get("controller", b""))
    damaged = {}
    found: dict[str, bytes] = {}
    for name, size_bytes in (
        ("namespace", NAMESPACE_BYTES),
        ("log-02", HEALTH_BYTES),
        ("log-06", TESTS_BYTES),
        ("log-03", HEALTH_BYTES),
        ("log-01", ERROR_BYTES),
    ):
        page = pages.pages.get(name)
        if page is not None and len(page) < size_bytes:
            damaged[name] = f"{len(page)} bytes, expected at least {size_bytes}"
        elif page is not None:
            found[name] = page
    slots = found.get("log-03")
    return NvmeDisk(
        controller,
        namespace=_parse_namespace(found["namespace"], pages.nsid)
        if "namespace" in found
        else None,
        health=_parse_health(found["log-02"]) if "log-02" in found else None,
        tests=_parse_tests(found["log-06"]) if "log-06" in found else None,
        errors=_parse_errors(found["log-01"]) if "log-01" in found else None,
        active_slot=slots[0] & 7 if slots else None,
        slots=tuple(read_text(slots, 8 * slot, 8) for slot in range(1, 8)) if slots else (),
        damaged=damaged,
    )


def _to_celsius(kelvin: int) -> int | None:
    return kelvin - KELVIN if kelvin else None


def _parse_controller(page: bytes) -> NvmeController:
    require_bytes(page, CONTROLLER_BYTES, "Identify Controller")
    return NvmeController(
        vendor=read_le(page, 0, 2),
        subsystem_vendor=read_le(page, 2, 2),
        serial=read_text(page, 4, 20),
        model=read_text(page, 24, 40),
        firmware=read_text(page, 64, 8),
        oui=read_le(page, 73, 3),
        controller_id=read_le(page, 78, 2),
        version=read_le(page, 80, 4),
        namespaces=read_le(page, 516, 4),
        total_bytes=read_le(page, 280, 16),
        unallocated_bytes=read_le(page, 296, 16),
        warning_c=_to_celsius(read_le(page, 266, 2)),
        critical_c=_to_celsius(read_le(page, 268, 2)),
        error_entries=page[262] + 1,
        can_self_test=bool(read_le(page, 256, 2) & 0x10),
        has_write_cache=bool(page[525] & 1),
    )


def _parse_namespace(page: bytes, nsid: int) -> NvmeNamespace | None:
    if not read_le(page, 0, 8):
        return None  # not allocated, or not attached to this controller
    shift = page[128 + 4 * (page[26] & 0xF) + 2]
    return NvmeNamespace(
        nsid=nsid,
        size=read_le(page, 0, 8),
        capacity=read_le(page, 8, 8),
        used=read_le(page, 16, 8),
        block_bytes=1 << shift if shift < 32 else 0,
        eui64=page[120:128],
    )


def _parse_health(page: bytes) -> NvmeHealth:
    return NvmeHealth(
        critical_warning=page[0],
        temperature_c=_to_celsius(read_le(page, 1, 2)),
        spare_percent=page[3],
        spare_threshold_percent=page[4],
        used_percent=page[5],
        counters={key: read_le(page, at, 16) for key, at in COUNTERS.items()},
        warning_minutes=read_le(page, 192, 4),
        critical_minutes=read_le(page, 196, 4),
        sensors_c=tuple(_to_celsius(read_le(page, 200 + 2 * i, 2)) for i in range(8)),
    )


def _parse_tests(page: bytes) -> NvmeTests:
    tests = []
    for at in range(4, TESTS_BYTES, 28):
        result, code = page[at] & 0xF, page[at] >> 4
        if result == 0xF:
            break  # not used
        valid = page[at + 2]
        tests.append(
            NvmeTest(
                code,
                result,
                read_le(page, at + 4, 8),
                page[at + 1],
                read_le(page, at + 16, 8) if valid & 2 else None,
                read_le(page, at + 12, 4) if valid & 1 else None,
            )
        )
    running = page[0] & 0xF
    return NvmeTests(running, page[1] & 0x7F if running else None, tuple(tests))


def _parse_errors(page: bytes) -> tuple[NvmeError, ...]:
    errors = []
    for at in range(0, len(page) - ERROR_BYTES + 1, ERROR_BYTES):
        count = read_le(page, at, 8)
        if count:
            lba, nsid = read_le(page, at + 16, 8), read_le(page, at + 24, 4)
            errors.append(
                NvmeError(
                    count,
                    read_le(page, at + 12, 2),
                    lba if lba != 2**64 - 1 else None,
                    nsid if nsid != 2**32 - 1 else None,
                )
            )
    return tuple(errors)


def nvme_to_json(disk: NvmeDisk) -> dict[str, Any]:
    """What the disk said, under the names of `smartctl --json`."""
    controller = disk.controller
    major, minor, patch = (
        controller.version >> 16,
        controller.version >> 8 & 0xFF,
        controller.version & 0xFF,
    )
    text = f"{major}.{minor}" + (f".{patch}" if patch else "")
    tree: dict[str, Any] = {
        "model_name": controller.model,
        "serial_number": controller.serial,
        "firmware_version": controller.firmware,
        "nvme_pci_vendor": {
            "id": controller.vendor,
            "subsystem_id": controller.subsystem_vendor,
        },
        "nvme_ieee_oui_identifier": controller.oui,
        "nvme_controller_id": controller.controller_id,
        "nvme_version": {
            "string": text if controller.version else "<1.2",
            "value": controller.version,
        },
        "nvme_number_of_namespaces": controller.namespaces,
        "smart_support": {"available": True, "enabled": True},
    }
    if controller.total_bytes or controller.unallocated_bytes:
        tree["nvme_total_capacity"] = controller.total_bytes
        tree["nvme_unallocated_capacity"] = controller.unallocated_bytes
    if disk.namespace is not None:
        tree |= _show_namespace(disk.namespace)
    if disk.health is not None:
        tree |= _show_health(disk.health, controller)
    if disk.tests is not None:
        tree["nvme_self_test_log"] = _show_tests(disk.tests)
    return tree


def _show_namespace(namespace: NvmeNamespace) -> dict[str, Any]:
    def show_blocks(blocks: int) -> dict[str, int]:
        return {"blocks": blocks, "bytes": blocks * namespace.block_bytes}

    shown: dict[str, Any] = {
        "id": namespace.nsid,
        "size": show_blocks(namespace.size),
        "capacity": show_blocks(namespace.capacity),
        "utilization": show_blocks(namespace.used),
        "formatted_lba_size": namespace.block_bytes,
    }
    if any(namespace.eui64):
        oui, extension = read_be(namespace.eui64, 0, 3), read_be(namespace.eui64, 3, 5)
        shown["eui64"] = {"oui": oui, "ext_id": extension}
    return {
        "nvme_namespaces": [shown],
        "user_capacity": show_blocks(namespace.capacity),
        "logical_block_size": namespace.block_bytes,
    }


def _show_health(health: NvmeHealth, controller: NvmeController) -> dict[str, Any]:
    warning = health.critical_warning
    status: dict[str, Any] = {"value": warning}
    if warning:
        status |= {key: bool(warning & bit) for bit, key in CRITICAL_BITS.items()}
        status["other"] = warning & ~sum(CRITICAL_BITS)
    log: dict[str, Any] = {
        "critical_warning": warning,
        "available_spare": health.spare_percent,
        "available_spare_threshold": health.spare_threshold_percent,
        "percentage_used": health.used_percent,
    }
    for key, value in health.counters.items():
        log |= _show_counter(key, value)
    if health.temperature_c is not None:
        log["temperature"] = health.temperature_c
    if controller.warning_c is not None or health.warning_minutes:
        log["warning_temp_time"] = health.warning_minutes
    if controller.critical_c is not None or health.critical_minutes:
        log["critical_comp_time"] = health.critical_minutes
    sensors = list(health.sensors_c)
    while sensors and sensors[-1] is None:
        sensors.pop()
    if sensors:
        log["temperature_sensors"] = sensors
    tree: dict[str, Any] = {
        "smart_status": {"passed": not warning, "nvme": status},
        "nvme_smart_health_information_log": log,
    }
    if health.temperature_c is not None:
        tree["temperature"] = {"current": health.temperature_c}
    if health.counters["power_cycles"] <= _SAFE_MAX:
        tree["power_cycle_count"] = health.counters["power_cycles"]
    if health.counters["power_on_hours"] <= _SAFE_MAX:
        tree["power_on_time"] = {"hours": health.counters["power_on_hours"]}
    return tree


def _show_counter(key: str, value: int) -> dict[str, Any]:
    """A number, and in other forms what readers of JSON would round."""
    shown: dict[str, Any] = {key: value}
    if value > _SAFE_MAX:
        shown[f"{key}_s"] = str(value)
    if value >= 2**64:
        shown[f"{key}_le"] = list(value.to_bytes((value.bit_length() + 7) // 8, "little"))
    return shown


_TEST_CODES = {1: "Short", 2: "Extended", 0xE: "Vendor specific"}
_TEST_RESULTS = {
    0: "Completed without error",
    1: "Aborted: Self-test command",
    2: "Aborted: Controller Reset",
    3: "Aborted: Namespace removed",
    4: "Aborted: Format NVM command",
    5: "Fatal or unknown test error",
    6: "Completed: unknown failed segment",
    7: "Completed: failed segments",
    8: "Aborted: unknown reason",
    9: "Aborted: sanitize operation",
}


def _show_tests(tests: NvmeTests) -> dict[str, Any]:
    shown: dict[str, Any] = {"current_self_test_operation": {"value": tests.running_code}}
    if tests.running_percent is not None:
        shown["current_self_test_completion_percent"] = tests.running_percent
    table = [
        {
            "self_test_code": {
                "value": test.code,
                "string": _TEST_CODES.get(test.code, f"Unknown (0x{test.code:x})"),
            },
            "self_test_result": {
                "value": test.result,
                "string": _TEST_RESULTS.get(test.result, f"Unknown (0x{test.result:x})"),
            },
            "power_on_hours": test.hours,
            **({"segment": test.segment} if test.result == 7 else {}),
            **({"nsid": test.nsid} if test.nsid is not None else {}),
            **({"lba": test.lba} if test.lba is not None else {}),
        }
        for test in tests.tests
    ]
    return {**shown, "table": table} if table else shown
