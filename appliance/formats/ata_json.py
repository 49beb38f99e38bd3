"""An ATA disk under the key names of `smartctl --json`, so that other tools can read it.

Owns the names and when a key is there. Values come from the parsed pages; what a person reads is
in `ata_names`. Logs are in `ata_log_json`; SCT is left out.
"""

from __future__ import annotations

from typing import Any

from appliance.formats.ata_disk import AtaDisk
from appliance.formats.ata_identify import AtaIdentity
from appliance.formats.ata_log_json import logs_to_json
from appliance.formats.ata_names import (
    FORM_FACTORS,
    MAJOR_VERSIONS,
    MINOR_VERSIONS,
    SATA_SPEED_UNITS,
    SATA_SPEEDS,
    SATA_VERSIONS,
    SELF_TEST_STATUSES,
    name_offline_status,
)
from appliance.formats.ata_smart import Attribute, SmartData

_FLAGS = ("prefailure", "updated_online", "performance", "error_rate", "event_count", "auto_keep")


def ata_to_json(disk: AtaDisk) -> dict[str, Any]:
    """What the disk said, by key."""
    identity = disk.identity
    tree: dict[str, Any] = {
        "model_name": identity.model,
        "serial_number": identity.serial,
        "firmware_version": identity.firmware,
        **_show_identity(identity),
        **_show_versions(identity),
        **_show_features(identity),
        "smart_support": {"available": identity.has_smart is True},
    }
    if identity.has_smart:
        is_on = identity.is_smart_on
        tree["smart_support"]["enabled"] = disk.smart is not None if is_on is None else is_on
    if disk.has_passed is not None:
        tree["smart_status"] = {"passed": disk.has_passed}
    if disk.smart is not None:
        tree |= _show_smart(disk.smart, identity)
    return tree | logs_to_json(disk, tree)


def _show_identity(identity: AtaIdentity) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if identity.wwn is not None:
        shown["wwn"] = identity.wwn._asdict()
    if identity.size_bytes:
        logical, physical = identity.block_bytes
        shown["user_capacity"] = {"blocks": identity.blocks, "bytes": identity.size_bytes}
        shown["logical_block_size"], shown["physical_block_size"] = logical, physical
    if identity.rotation_rpm is not None:
        shown["rotation_rate"] = identity.rotation_rpm
    form = identity.words[168]
    if form:
        shown["form_factor"] = {"ata_value": form}
        if form & 0xF in FORM_FACTORS:
            shown["form_factor"]["name"] = FORM_FACTORS[form & 0xF]
    has_trim = bool(identity.words[169] & 1)
    shown["trim"] = {"supported": has_trim}
    if has_trim:
        shown["trim"]["deterministic"] = bool(identity.words[69] & 0x4000)
        shown["trim"]["zeroed"] = bool(identity.words[69] & 0x20)
    zones = {1: "host_aware", 2: "device_managed"}.get(identity.words[69] & 3)
    if zones:
        shown["zoned_device"] = {"capabilities": zones}
    return shown


def _find_top_bit(word: int) -> int:
    return word.bit_length() - 1


def _show_versions(identity: AtaIdentity) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if identity.has_versions:
        major_word, minor_word = identity.words[80:82]
        major = MAJOR_VERSIONS.get(_find_top_bit(major_word))
        minor = MINOR_VERSIONS.get(minor_word)
        if major and minor and minor.startswith(major):
            text = minor
        else:
            text = major or f"Unknown(0x{major_word:04x})"
            if minor:
                text += f", {minor}"
            elif minor_word not in (0, 0xFFFF):
                text += f" (unknown minor revision code: 0x{minor_word:04x})"
            else:
                text += " (minor revision not indicated)"
        shown["ata_version"] = {
            "string": text,
            "major_value": major_word,
            "minor_value": minor_word,
        }
    transport = identity.words[222]
    if transport not in (0, 0xFFFF) and transport >> 12 == 1:
        shown |= _show_sata(identity, transport & 0xFFF)
    return shown


def _show_sata(identity: AtaIdentity, version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"sata_version": {"value": version}}
    if _find_top_bit(version) in SATA_VERSIONS:
        shown["sata_version"]["string"] = SATA_VERSIONS[_find_top_bit(version)]
    all_word, now_word = identity.words[76:78]
    speeds = 0 if all_word & 1 else all_word & 0xFE
    now = 0 if now_word & 1 else now_word >> 1 & 7
    interface = {}
    for key, value, speed in (("max", speeds, _find_top_bit(speeds)), ("current", now, now)):
        if speed <= 0:
            continue
        interface[key] = {
            "sata_value": value,
            "string": SATA_SPEEDS.get(speed, f">6.0 Gb/s ({speed})"),
        }
        if speed in SATA_SPEED_UNITS:
            interface[key]["units_per_second"] = SATA_SPEED_UNITS[speed]
            interface[key]["bits_per_unit"] = 100000000
    return {**shown, "interface_speed": interface} if interface else shown


def _show_features(identity: AtaIdentity) -> dict[str, Any]:
    words = identity.words
    shown: dict[str, Any] = {}
    if words[83] & 0xC200 == 0x4200 and not words[86] & 0x0200:
        shown["ata_aam"] = {"enabled": False}
    if words[83] & 0xC008 == 0x4008:
        shown["ata_apm"] = _show_apm(words[91] & 0xFF, is_on=bool(words[86] & 8))
    if words[83] & 0xC000 == 0x4000 and words[82] & 0x40:
        shown["read_lookahead"] = {"enabled": bool(words[85] & 0x40)}
    if identity.has_write_cache is not None:
        shown["write_cache"] = {"enabled": identity.has_write_cache}
    if words[128] & 1:
        shown["ata_security"] = _show_security(words[128])
    return shown


def _show_apm(level: int, *, is_on: bool) -> dict[str, Any]:
    if not is_on:
        return {"enabled": False}
    shown: dict[str, Any] = {"enabled": True, "level": level}
    if 1 <= level <= 254:
        shown["max_performance"] = level == 254
        shown["min_power"] = level in (1, 128)
        shown["with_standby"] = level < 128
    return shown


def _show_security(state: int) -> dict[str, Any]:
    is_on, is_locked, is_frozen = bool(state & 2), bool(state & 4), bool(state & 8)
    if not is_on:
        text = "Disabled, " + ("frozen [SEC2]" if is_frozen else "NOT FROZEN [SEC1]")
        return {"state": state, "string": text, "enabled": False, "frozen": is_frozen}
    text = f"ENABLED, PW level {'MAX' if state & 0x100 else 'HIGH'}"
    shown = {"enabled": True, "pw_level_max": bool(state & 0x100), "locked": is_locked}
    if is_locked:
        text += ", **LOCKED** [SEC4]" + (", PW ATTEMPTS EXCEEDED" if state & 0x10 else "")
        shown["pw_attempts_exceeded"] = bool(state & 0x10)
    else:
        text += f", not locked, {'frozen [SEC6]' if is_frozen else 'not frozen [SEC5]'}"
        shown["frozen"] = is_frozen
    return {"state": state, "string": text, **shown}


def _show_smart(smart: SmartData, identity: AtaIdentity) -> dict[str, Any]:
    tree: dict[str, Any] = {"ata_smart_data": _show_data(smart, identity)}
    abilities = identity.words[206]
    if abilities & 1:
        tree["ata_sct_capabilities"] = {
            "value": abilities,
            "error_recovery_control_supported": bool(abilities & 8),
            "feature_control_supported": bool(abilities & 0x10),
            "data_table_supported": bool(abilities & 0x20),
        }
    if smart.attributes:
        tree["ata_smart_attributes"] = {
            "revision": smart.revision,
            "table": [_show_attribute(item) for item in smart.attributes],
        }
    if smart.power_on_hours is not None:
        tree["power_on_time"] = {"hours": smart.power_on_hours}
    if smart.power_cycles is not None:
        tree["power_cycle_count"] = smart.power_cycles
    if smart.temperature_c is not None:
        tree["temperature"] = {"current": smart.temperature_c}
    return tree


def _show_data(smart: SmartData, identity: AtaIdentity) -> dict[str, Any]:
    offline, able = smart.offline_status, smart.offline_capability
    status: dict[str, Any] = {"value": offline, "string": name_offline_status(offline)}
    if offline & 0x7F in (2, 6):
        status["passed"] = offline & 0x7F == 2
    shown: dict[str, Any] = {
        "offline_data_collection": {
            "status": status,
            "completion_seconds": smart.offline_seconds,
        },
        "capabilities": {"values": [able, smart.smart_capability]},
    }
    can = shown["capabilities"]
    if able:
        for bit, key in (
            (0x01, "exec_offline_immediate_supported"),
            (0x04, "offline_is_aborted_upon_new_cmd"),
            (0x08, "offline_surface_scan_supported"),
            (0x10, "self_tests_supported"),
            (0x20, "conveyance_self_test_supported"),
            (0x40, "selective_self_test_supported"),
        ):
            can[key] = bool(able & bit)
    if smart.smart_capability:
        can["attribute_autosave_enabled"] = bool(smart.smart_capability & 1)
    can["error_logging_supported"] = bool(
        identity.has_feature_log(0) or smart.error_log_capability & 1
    )
    can["gp_logging_supported"] = identity.has_gp_logs
    minutes: dict[str, int] = {}
    if able & 0x10:
        minutes |= {"short": smart.short_minutes, "extended": smart.extended_minutes}
    if able & 0x20:
        minutes["conveyance"] = smart.conveyance_minutes
    test: dict[str, Any] = {"status": _show_test_status(smart)} if able & 0x10 else {}
    if minutes:
        test["polling_minutes"] = minutes
    return {**shown, "self_test": test} if test else shown


def _show_test_status(smart: SmartData) -> dict[str, Any]:
    status = smart.self_test_status
    shown: dict[str, Any] = {"value": status}
    if status >> 4 in SELF_TEST_STATUSES:
        shown["string"] = SELF_TEST_STATUSES[status >> 4]
        if status >> 4 not in (1, 2, 3):
            shown["passed"] = status >> 4 == 0
    elif status >> 4 == 0xF:
        shown["string"] = f"in progress, {status & 0xF}0% remaining"
        shown["remaining_percent"] = (status & 0xF) * 10
    return shown


def _show_attribute(item: Attribute) -> dict[str, Any]:
    flags = item.flags
    letters = "".join(
        letter if flags >> bit & 1 else "-" for bit, letter in enumerate("POSRCK")
    ) + ("+" if flags & 0xFFC0 else " ")
    shown: dict[str, Any] = {
        "id": item.number,
        "name": item.name,
        "value": item.value,
        "worst": item.worst,
        "flags": {
            "value": flags,
            "string": letters,
            **{key: bool(flags >> bit & 1) for bit, key in enumerate(_FLAGS)},
        },
        "raw": {"value": item.raw, "string": item.raw_text},
    }
    if flags & 0xFFC0:
        shown["flags"]["other"] = flags & 0xFFC0
    if item.threshold is not None:
        shown["thresh"], shown["when_failed"] = item.threshold, item.when_failed
    return shown
