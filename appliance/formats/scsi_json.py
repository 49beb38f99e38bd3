"""A SCSI disk under the key names of `smartctl --json`, so that other tools can read it.

Owns the names and when a key is there. Values come from the parsed pages.
"""

from __future__ import annotations

from typing import Any

from appliance.formats.sas_port import port_to_json
from appliance.formats.scsi_disk import (
    ASC_IMPENDING_FAILURE,
    ASC_WARNING,
    IN_PROGRESS,
    ScsiCapacity,
    ScsiDisk,
    ScsiScan,
    ScsiTest,
)
from appliance.formats.scsi_environment import environment_to_json

_DEVICE_TYPES = {
    0: "disk",
    1: "tape",
    5: "CD/DVD",
    7: "optical disk(7)",
    8: "medium changer",
    12: "storage array",
    13: "enclosure",
    14: "simplified disk",
    20: "host managed zoned block device",
}
TRANSPORTS = {
    0: "Fibre channel (FCP-4)",
    1: "Parallel SCSI (SPI-4)",
    2: "SSA",
    3: "IEEE 1394 (SBP-3)",
    4: "RDMA (SRP)",
    5: "iSCSI",
    6: "SAS (SPL-4)",
    7: "ADT",
    8: "ATA (ACS-2)",
    9: "UAS",
    10: "SOP",
    11: "PCIe",
    12: "0xc",
    13: "0xd",
    14: "0xe",
    15: "None given [0xf]",
}
_FORM_FACTORS = {1: "5.25", 2: "3.5", 3: "2.5", 4: "1.8", 5: "< 1.8"}
_PROVISIONING = {
    0: "fully provisioned",
    1: "resource provisioned",
    2: "thin provisioned",
}
_START_STOP = {
    "specified_cycles": "specified_cycle_count_over_device_lifetime",
    "cycles": "accumulated_start_stop_cycles",
    "specified_loads": "specified_load_unload_count_over_device_lifetime",
    "loads": "accumulated_load_unload_cycles",
}
_TEST_CODES = (
    *("Default", "Background short", "Background long", "Reserved(3)", "Abort background"),
    *("Foreground short", "Foreground long", "Reserved(7)"),
)
_TEST_RESULTS = {
    0: "Completed",
    1: "Aborted (by user command)",
    2: "Aborted (device reset ?)",
    3: "Unknown error, incomplete",
    4: "Completed, segment failed",
    5: "Failed in first segment",
    6: "Failed in second segment",
    7: "Failed in segment",
    15: "Self test in progress ...",
}
_SCAN_STATES = (
    "no scans active",
    "scan is active",
    "pre-scan is active",
    "halted due to fatal error",
    "halted due to a vendor specific pattern of error",
    "halted due to medium formatted without P-List",
    "halted - vendor specific cause",
    "halted due to temperature out of range",
    "waiting until BMS interval timer expires",
    "waiting until BMS interval timer expires",
)
SENSE_KEYS = (
    *("No Sense", "Recovered Error", "Not Ready", "Medium Error", "Hardware Error"),
    *("Illegal Request", "Unit Attention", "Data Protect", "Blank Check", "Vendor Specific"),
    *("Copy Aborted", "Aborted Command", "Equal", "Volume Overflow", "Miscompare", "Completed"),
)
# ASC 0Bh and 5Dh (SPC-5 annex F).
_WARNINGS = {
    0: "WARNING",
    1: "WARNING - SPECIFIED TEMPERATURE EXCEEDED",
    2: "WARNING - ENCLOSURE DEGRADED",
}
_PREDICTIONS = {
    0x00: "FAILURE PREDICTION THRESHOLD EXCEEDED",
    0x01: "MEDIA FAILURE PREDICTION THRESHOLD EXCEEDED",
    0x02: "LOGICAL UNIT FAILURE PREDICTION THRESHOLD EXCEEDED",
    0x03: "SPARE AREA EXHAUSTION PREDICTION THRESHOLD EXCEEDED",
    0xFF: "FAILURE PREDICTION THRESHOLD EXCEEDED (FALSE)",
}
_FAILING_AREAS = {
    1: "HARDWARE",
    2: "CONTROLLER",
    3: "DATA CHANNEL",
    4: "SERVO",
    5: "SPINDLE",
    6: "FIRMWARE",
}
_FAILURE_CAUSES = (
    *("GENERAL HARD DRIVE FAILURE", "DRIVE ERROR RATE TOO HIGH", "DATA ERROR RATE TOO HIGH"),
    *("SEEK ERROR RATE TOO HIGH", "TOO MANY BLOCK REASSIGNS", "ACCESS TIMES TOO HIGH"),
    *("START UNIT TIMES TOO HIGH", "CHANNEL PARAMETRICS", "CONTROLLER DETECTED"),
    *("THROUGHPUT PERFORMANCE", "SEEK TIME PERFORMANCE", "SPIN-UP RETRY COUNT"),
    "DRIVE CALIBRATION RETRY COUNT",
)
_REASSIGNMENTS = (
    *("Reserved [0x0]", "Require Write or Reassign Blocks command", "Successfully reassigned"),
    *("Reserved [0x3]", "Reassignment by disk failed", "Recovered via rewrite in-place"),
    *("Reassigned by app, has valid data", "Reassigned by app, has no valid data"),
    "Unsuccessfully reassigned by app",
)
_COUNTERS = {
    "errors_corrected_by_eccfast": 0,
    "errors_corrected_by_eccdelayed": 1,
    "errors_corrected_by_rereads_rewrites": 2,
    "total_errors_corrected": 3,
    "correction_algorithm_invocations": 4,
    "total_uncorrected_errors": 6,
}


def scsi_to_json(disk: ScsiDisk) -> dict[str, Any]:
    """What the disk said, by key."""
    tree: dict[str, Any] = {
        "scsi_vendor": disk.vendor,
        "scsi_product": disk.product,
        "scsi_model_name": f"{disk.vendor} {disk.product}".strip(),
        "device_type": {
            "scsi_terminology": "Peripheral Device Type [PDT]",
            "scsi_value": disk.device_type,
            **(
                {"name": _DEVICE_TYPES[disk.device_type]}
                if disk.device_type in _DEVICE_TYPES
                else {}
            ),
        },
        **({"scsi_revision": disk.revision} if disk.revision else {}),
        **({"scsi_version": f"SPC-{disk.version - 2}"} if disk.version > 3 else {}),
        **({"logical_unit_id": disk.unit_id} if disk.unit_id else {}),
        **({"serial_number": disk.serial} if disk.serial else {}),
        **(_show_capacity(disk, disk.capacity) if disk.capacity else {}),
        **({"rotation_rate": disk.rotation_rpm or 0} if disk.rotation is not None else {}),
    }
    if disk.transport is not None:
        name = TRANSPORTS[disk.transport]
        tree["scsi_transport_protocol"] = {"name": name, "value": disk.transport}
    if disk.provisioning is not None:
        tree["scsi_lb_provisioning"] = _show_provisioning(disk)
    if disk.form_factor:
        tree["form_factor"] = {"scsi_value": disk.form_factor}
        if disk.form_factor in _FORM_FACTORS:
            tree["form_factor"]["name"] = f"{_FORM_FACTORS[disk.form_factor]} inches"
    return tree | _show_health(disk) | _show_logs(disk)


def _show_capacity(disk: ScsiDisk, capacity: ScsiCapacity) -> dict[str, Any]:
    size_bytes = capacity.blocks * capacity.block_bytes
    if not size_bytes:
        return {}
    shown: dict[str, Any] = {
        "user_capacity": {"blocks": capacity.blocks, "bytes": size_bytes},
        "logical_block_size": capacity.block_bytes,
    }
    if capacity.physical_exponent:
        shown["physical_block_size"] = capacity.block_bytes << capacity.physical_exponent
    if capacity.protection and (disk.is_protected or capacity.physical_exponent):
        intervals = 1 << capacity.protection_exponent
        shown["scsi_protection_type"] = capacity.protection
        shown["scsi_protection_interval_bytes_per_lb"] = 8 * intervals
    return shown


def _show_provisioning(disk: ScsiDisk) -> dict[str, Any]:
    capacity = disk.capacity
    # Without protection or large physical blocks smartctl does not look at READ CAPACITY for this.
    is_seen = capacity is not None and (disk.is_protected or capacity.physical_exponent > 0)
    is_thin = capacity.is_thin if capacity is not None and is_seen else None
    zeros = disk.provisioning_zeros
    if capacity is not None and is_seen and capacity.reads_zeros == 1 and zeros == 0:
        zeros = 1
    name = _PROVISIONING.get(disk.provisioning or 0, "reserved")
    return {
        "name": "not reported" if disk.provisioning == 0 and is_thin else name,
        "value": disk.provisioning,
        "management_enabled": {"name": "LBPME", "value": -1 if is_thin is None else int(is_thin)},
        "read_zeros": {"name": "LBPRZ", "value": zeros},
    }


def name_exception(asc: int, ascq: int) -> str | None:
    """What an informational exception says; None for what is no such exception."""
    if asc == ASC_WARNING:
        return _WARNINGS.get(ascq, f"WARNING: ascq=0x{ascq:x}")
    if asc != ASC_IMPENDING_FAILURE:
        return None
    area, cause = ascq >> 4, ascq & 0xF
    if area in _FAILING_AREAS and cause < len(_FAILURE_CAUSES):
        return f"{_FAILING_AREAS[area]} IMPENDING FAILURE {_FAILURE_CAUSES[cause]}"
    other = f"FAILURE PREDICTION THRESHOLD EXCEEDED: ascq=0x{ascq:x}"
    return _PREDICTIONS.get(ascq, other)


def _show_health(disk: ScsiDisk) -> dict[str, Any]:
    tree: dict[str, Any] = {"smart_support": {"available": disk.has_exceptions is not None}}
    if disk.has_exceptions is not None:
        tree["smart_support"]["enabled"] = disk.has_exceptions
        tree["temperature_warning"] = {"enabled": disk.has_warnings}
    asc, ascq = disk.exception or (0, 0)
    text = name_exception(asc, ascq)
    if text is not None:
        scsi = {"asc": asc, "ascq": ascq, "ie_string": text}
        tree["smart_status"] = {"passed": False, "scsi": scsi}
    elif disk.has_exceptions is not None:
        tree["smart_status"] = {"passed": True}
    temperature = {"current": disk.temperature_c, "drive_trip": disk.trip_c}
    known = {key: value for key, value in temperature.items() if value is not None}
    return {**tree, "temperature": known} if known else tree


def _show_logs(disk: ScsiDisk) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    start_stop: dict[str, Any] = {_START_STOP[key]: value for key, value in disk.start_stop.items()}
    if disk.manufactured is not None:
        start_stop["year_of_manufacture"] = disk.manufactured[0]
        start_stop["week_of_manufacture"] = disk.manufactured[1]
    if start_stop:
        tree["scsi_start_stop_cycle_counter"] = start_stop
    if disk.endurance_used_percent is not None:
        tree["scsi_percentage_used_endurance_indicator"] = disk.endurance_used_percent
    if disk.grown_defects is not None:
        tree["scsi_grown_defect_list"] = disk.grown_defects
    if disk.pending_defects is not None:
        tree["scsi_pending_defects"] = {"count": disk.pending_defects}
    counters = {
        kind: {
            **{key: values[code] for key, code in _COUNTERS.items()},
            "gigabytes_processed": f"{values[5] / 1e9:.3f}",
        }
        for kind, values in disk.counters.items()
        if kind != "verify" or any(values)
    }
    if counters:
        tree["scsi_error_counter_log"] = counters
    for index, test in enumerate(disk.tests or ()):
        tree[f"scsi_self_test_{index}"] = _show_test(test)
    if disk.environment:
        tree["scsi_environmental_reports"] = environment_to_json(disk.environment)
    for index, port in enumerate(disk.ports):
        tree[f"scsi_sas_port_{index}"] = port_to_json(port)
    if disk.scan is not None:
        tree["scsi_background_scan"] = _show_scan(disk.scan)
        hours, minutes = divmod(disk.scan.minutes, 60)
        tree["power_on_time"] = {"hours": hours, "minutes": minutes}
    return tree


def _show_test(test: ScsiTest) -> dict[str, Any]:
    result = _TEST_RESULTS.get(test.result, f"Reserved({test.result})")
    shown: dict[str, Any] = {
        "code": {"value": test.code, "string": _TEST_CODES[test.code]},
        "result": {"value": test.result, "string": result},
    }
    if test.segment:
        shown["failed_segment"] = {"value": test.segment, "aka": "self_test_number"}
    if test.hours == 0 and test.result == IN_PROGRESS:
        shown["self_test_in_progress"] = True
    else:
        shown["power_on_time"] = {"hours": test.hours, "aka": "accumulated_power_on_hours"}
    if test.lba is not None:
        shown["lba_first_failure"] = {"value": test.lba, "aka": "address_of_first_failure"}
    if test.sense is not None:
        shown |= _show_sense(test.sense)
        shown["vendor_specific"] = test.vendor
    return shown


def _show_sense(sense: tuple[int, int, int]) -> dict[str, Any]:
    key, asc, ascq = sense
    return {
        "sense_key": {"value": key, "string": SENSE_KEYS[key]},
        "asc": asc,
        "ascq": ascq,
    }


def _show_scan(scan: ScsiScan) -> dict[str, Any]:
    status: dict[str, Any] = {
        "value": scan.status,
        "number_scans_performed": scan.scans,
        "scan_progress": f"{scan.progress * 100 / 65536:.2f}%",
        "number_medium_scans_performed": scan.medium_scans,
    }
    if scan.status < len(_SCAN_STATES):
        status["string"] = _SCAN_STATES[scan.status]
    shown: dict[str, Any] = {"status": status}
    for error in scan.errors:
        shown[f"result_{error.number}"] = {
            "parameter_code": error.number,
            "accumulated_power_on": {"minutes": error.minutes},
            "lba": error.lba,
            **_show_sense(error.sense),
            "reassign_status": {
                "value": error.reassign,
                **(
                    {"string": _REASSIGNMENTS[error.reassign]}
                    if error.reassign < len(_REASSIGNMENTS)
                    else {}
                ),
            },
        }
    return shown
