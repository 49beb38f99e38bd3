"""The logs of an ATA disk under the key names of `smartctl --json`.

Owns the names and when a key is there. The commands before an error are left out.
"""

from __future__ import annotations

from typing import Any

from appliance.formats.ata_disk import AtaDisk
from appliance.formats.ata_log_names import is_log_writable, name_log, name_phy_counter
from appliance.formats.ata_logs import AtaError, ErrorLog, SelfTest, SelfTestLog, Statistic
from appliance.formats.ata_names import (
    SELF_TEST_LOG_STATUSES,
    name_error_state,
    name_offline_status,
    name_self_test_type,
)
from appliance.formats.ata_smart import SmartData
from appliance.formats.page_bytes import read_le


def logs_to_json(disk: AtaDisk, tree: dict[str, Any]) -> dict[str, Any]:
    """What the logs say, by key; `tree` is what the pages before them said."""
    shown = _show_directories(disk)
    if disk.errors is not None:
        shown["ata_smart_error_log"] = _show_errors(disk.errors)
    if disk.self_tests is not None:
        kind = "extended" if disk.self_tests.is_extended else "standard"
        shown["ata_smart_self_test_log"] = {kind: _show_tests(disk.self_tests)}
    if disk.selective and disk.smart is not None:
        shown["ata_smart_selective_self_test_log"] = _show_selective(disk.selective, disk.smart)
    if disk.statistics:
        shown |= _show_statistics(disk, tree)
    if disk.pending is not None:
        shown["ata_pending_defects_log"] = {"count": disk.pending[0]}
    if disk.phy_counters is not None:
        shown["sata_phy_event_counters"] = _show_phy(disk)
    return shown


def _show_directories(disk: AtaDisk) -> dict[str, Any]:
    general, smart = disk.directories.get("gplog-00"), disk.directories.get("log-00")
    if general is None and smart is None:
        return {}
    shown: dict[str, Any] = {}
    if general is not None:
        shown["gp_dir_version"] = general[0]
    if smart is not None:
        shown["smart_dir_version"] = smart[0]
        shown["smart_dir_multi_sector"] = smart[0] == 1
    table = []
    sizes = [found[1] if found else {} for found in (general, smart)]
    for address in range(256):
        sectors = [1 if address == 0 and found else found.get(address, 0) for found in sizes]
        if not any(sectors):
            continue
        row: dict[str, Any] = {"address": address, "name": name_log(address)}
        writable = is_log_writable(address)
        if writable is not None:
            row |= {"read": True, "write": writable}
        for key, count in zip(("gp_sectors", "smart_sectors"), sectors, strict=True):
            if count:
                row[key] = count
        table.append(row)
    return {"ata_log_directory": {**shown, "table": table}}


def _show_errors(log: ErrorLog) -> dict[str, Any]:
    shown: dict[str, Any] = {"revision": log.revision, "count": log.count}
    if log.is_extended:
        shown["sectors"] = log.sectors
    if log.count:
        shown["logged_count"] = min(log.count, 4 * log.sectors if log.is_extended else 5)
    if log.errors:
        shown["table"] = [_show_error(error, is_extended=log.is_extended) for error in log.errors]
    return {"extended" if log.is_extended else "summary": shown}


def _show_error(error: AtaError, *, is_extended: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "error_number": error.number,
        "lifetime_hours": error.hours,
        "completion_registers": {
            "error": error.error,
            "status": error.status,
            "count": error.count,
            "lba": error.lba,
            "device": error.device,
        },
    }
    if is_extended:
        shown["log_index"] = error.index
        shown["device_state"] = {"value": error.state, "string": name_error_state(error.state)}
        shown["completion_registers"]["device_control"] = error.device_control
    return shown


def _show_tests(log: SelfTestLog) -> dict[str, Any]:
    shown: dict[str, Any] = {"revision": log.revision}
    if log.is_extended:
        shown["sectors"] = log.sectors
    if not log.is_used:
        return {**shown, "count": 0}
    total, outdated = log.failed
    return {
        **shown,
        **({"table": [_show_test(test) for test in log.tests]} if log.tests else {}),
        "count": len(log.tests),
        "error_count_total": total,
        "error_count_outdated": outdated,
    }


def _show_test(test: SelfTest) -> dict[str, Any]:
    nibble = test.status >> 4
    status: dict[str, Any] = {
        "value": test.status,
        "string": SELF_TEST_LOG_STATUSES.get(nibble, f"Unknown status (0x{nibble:x})"),
    }
    if test.status & 0xF:
        status["remaining_percent"] = (test.status & 0xF) * 10
    if test.passed is not None:
        status["passed"] = test.passed
    shown = {
        "type": {"value": test.kind, "string": name_self_test_type(test.kind)},
        "status": status,
        "lifetime_hours": test.hours,
    }
    return {**shown, "lba": test.lba} if test.lba is not None else shown


def _show_selective(page: bytes, smart: SmartData) -> dict[str, Any]:
    """Log 09h: five spans of blocks, and how far the test of one of them is."""
    current, span, flags = read_le(page, 492, 8), read_le(page, 500, 2), read_le(page, 502, 2)
    status = smart.self_test_status
    table = []
    for index in range(5):
        at, is_active = 2 + 16 * index, index + 1 == span
        row: dict[str, Any] = {
            "lba_min": read_le(page, at, 8),
            "lba_max": read_le(page, at + 8, 8),
            "status": {
                "value": status,
                "string": _SELECTIVE.get(status >> 4, "Unknown_status ")
                if is_active
                else "Not_testing",
            },
        }
        if is_active:
            row["status"]["remaining_percent"] = status & 0xF
            row |= {"current_lba_min": current, "current_lba_max": current + 0xFFFF}
        table.append(row)
    shown: dict[str, Any] = {"revision": read_le(page, 0, 2), "table": table}
    if span > 5:
        shown["current_read_scan"] = {
            "lba_min": current,
            "lba_max": current + 0xFFFF,
            "status": {
                "value": smart.offline_status,
                "string": name_offline_status(smart.offline_status),
            },
        }
    shown["flags"] = {"value": flags, "remainder_scan_enabled": bool(flags & 2)}
    if flags & 2:
        shown["flags"]["remainder_scan_active"] = bool(flags & 0x10)
        shown["flags"]["power_up_scan_pending"] = bool(flags & 8)
    return {**shown, "power_up_scan_resume_minutes": read_le(page, 508, 2)}


_SELECTIVE = {
    0: "Completed",
    1: "Aborted_by_host",
    2: "Interrupted",
    3: "Fatal_error",
    4: "Completed_unknown_failure",
    5: "Completed_electrical_failure",
    6: "Completed_servo/seek_failure",
    7: "Completed_read_failure",
    8: "Completed_handling_damage??",
    15: "Self_test_in_progress",
}


_TOP_LEVEL = {
    (1, 0x08): ("power_cycle_count",),
    (1, 0x10): ("power_on_time", "hours"),
    (5, 0x08): ("temperature", "current"),
    (5, 0x20): ("temperature", "lifetime_max"),
    (5, 0x28): ("temperature", "lifetime_min"),
    (5, 0x50): ("temperature", "lifetime_over_limit_minutes"),
    (5, 0x58): ("temperature", "op_limit_max"),
    (5, 0x60): ("temperature", "lifetime_under_limit_minutes"),
    (5, 0x68): ("temperature", "op_limit_min"),
}


def _show_statistics(disk: AtaDisk, tree: dict[str, Any]) -> dict[str, Any]:
    """The statistics, and the keys that they give for all kinds of disks."""
    general: dict[str, Any] = {}
    for entry in (entry for page in disk.statistics for entry in page.entries):
        place = _TOP_LEVEL.get((entry.page, entry.offset))
        if place is None or entry.value is None:
            continue
        if len(place) == 1:
            general[place[0]] = entry.value
        else:
            known = general.get(place[0], tree.get(place[0], {}))
            general[place[0]] = {**known, place[1]: entry.value}
    pages = [
        {
            "number": page.number,
            "name": page.name,
            "revision": page.revision,
            "table": [_show_statistic(entry) for entry in page.entries],
        }
        for page in disk.statistics
    ]
    return {**general, "ata_device_statistics": {"pages": pages}}


def _show_statistic(entry: Statistic) -> dict[str, Any]:
    bits = [(0x40, "V"), (0x20, "N"), (0x10, "D"), (0x08, "C")]
    letters = "".join(letter if entry.flags & bit else "-" for bit, letter in bits)
    shown: dict[str, Any] = {
        "offset": entry.offset,
        "name": entry.name,
        "size": entry.size_bytes,
        "flags": {
            "value": entry.flags,
            "string": letters + ("+" if entry.flags & 7 else " "),
            "valid": bool(entry.flags & 0x40),
            "normalized": bool(entry.flags & 0x20),
            "supports_dsn": bool(entry.flags & 0x10),
            "monitored_condition_met": bool(entry.flags & 8),
        },
    }
    if entry.flags & 7:
        shown["flags"]["other"] = entry.flags & 7
    return shown if entry.value is None else {**shown, "value": entry.value}


def _show_phy(disk: AtaDisk) -> dict[str, Any]:
    table = [
        {
            "id": counter.number,
            "name": name_phy_counter(counter.number),
            "size": counter.size_bytes,
            "value": counter.value,
            "overflow": counter.value == (1 << 8 * counter.size_bytes) - 1,
        }
        for counter in disk.phy_counters or ()
    ]
    return {**({"table": table} if table else {}), "reset": False}
