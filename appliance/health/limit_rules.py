"""Verdicts by limits: wear and its forecast, spare blocks, temperature.

Owns the margins. Limits are the maker's where the disk states them; the others are said to be
general ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from appliance.formats.ata_disk import AtaDisk
from appliance.formats.finding import Finding, Severity
from appliance.formats.nvme_disk import NvmeDisk
from appliance.formats.scsi_disk import ScsiDisk
from appliance.health.disk_exam import Exam
from appliance.health.trends import forecast

WORN_PERCENT = 100
_WEAR_NOTICE, _WEAR_WARNING = 80, 90
_WINDOW = timedelta(days=180)
_SOON, _VERY_SOON = timedelta(days=180), timedelta(days=30)
_YEARS_MAX_HOURS = 20 * 8766
_SPARE_BIT, _TEMPERATURE_BIT = 0x01, 0x02
HDD_LIMIT_C, SSD_LIMIT_C = 60, 70
"""Where data sheets of most disks end, for those that state no limit themselves."""


def judge_wear(exam: Exam) -> Iterator[Finding]:
    """Flash wears with every write, and 100 % is what its maker stands for."""
    used = exam.value("used")
    if used is None:
        return
    series = exam.series("used")
    end = forecast(series, WORN_PERCENT, window=_WINDOW)
    left = None if end is None or used >= WORN_PERCENT else end - exam.now
    severity: Severity | None = None
    if used >= WORN_PERCENT:
        severity = "critical"
    elif used >= _WEAR_WARNING or (left is not None and left < _VERY_SOON):
        severity = "warning"
    elif used >= _WEAR_NOTICE or (left is not None and left < _SOON):
        severity = "notice"
    if severity is None:
        return
    yield exam.finding(
        "wear",
        severity,
        f"{used:g} % of its life is used" + _when_worn(exam, used, left),
        (exam.evidence("used", f"{WORN_PERCENT} %"),),
        consequence="Past 100 % nobody warrants that it keeps data, least of all without power;"
        " most disks then become read-only at some time.",
        action="Order a replacement, then 'holdfast disks replace'; replace the disks of an array"
        " one after the other, because they wear together.",
        measure=used,
    )


def _when_worn(exam: Exam, used: float, left: timedelta | None) -> str:
    """The date, by the last months; else by the average of its life."""
    if used >= WORN_PERCENT:
        return ""
    if left is not None:
        return f"; at the pace of the last months it is worn out on {exam.now + left:%Y-%m-%d}"
    hours = exam.value("power-on-hours")
    if not hours or not used:
        return ""
    left_hours = hours * (WORN_PERCENT - used) / used
    if left_hours > _YEARS_MAX_HOURS:
        return ""
    end = exam.now + timedelta(hours=left_hours)
    return f"; at the pace of its whole life it is worn out on {end:%Y-%m-%d}"


def judge_spare(exam: Exam) -> Iterator[Finding]:
    """Below the threshold, not at it: a disk with both at 0 has just no such thing."""
    if not isinstance(exam.disk, NvmeDisk) or exam.disk.health is None:
        return
    health = exam.disk.health
    spare, threshold = health.spare_percent, health.spare_threshold_percent
    is_said = bool(health.critical_warning & _SPARE_BIT)
    if spare < threshold or is_said:
        yield exam.finding(
            "spare",
            "critical",
            f"{spare} % of its spare blocks are left",
            (
                exam.evidence("spare", f"{threshold} %"),
                exam.said("critical warning", f"0x{health.critical_warning:02x}"),
            ),
            consequence="When they are used up the next bad block is lost data.",
            action="Replace it now: 'holdfast disks replace'.",
            measure=100 - spare,
        )
        return
    used_up = [(seen, 100 - value) for seen, value in exam.series("spare")]
    end = forecast(used_up, 100 - threshold, window=_WINDOW) if threshold else None
    if end is not None and end - exam.now < _SOON and spare > threshold:
        yield exam.finding(
            "spare",
            "warning",
            f"{spare} % of its spare blocks are left; at this pace they reach the threshold on"
            f" {end:%Y-%m-%d}",
            (exam.evidence("spare", f"{threshold} %"),),
            consequence="When they are used up the next bad block is lost data.",
            action="Order a replacement, then 'holdfast disks replace'.",
            measure=100 - spare,
        )


def find_limits(exam: Exam) -> tuple[float, float | None, str]:
    """(warning, critical, whose) limits of the temperature in degrees Celsius."""
    disk = exam.disk
    if isinstance(disk, NvmeDisk):
        warm, hot = disk.controller.warning_c, disk.controller.critical_c
        if warm is not None or hot is not None:
            first = warm if warm is not None else hot
            assert first is not None
            return first, hot, "maker's limit"
        return SSD_LIMIT_C, None, "general limit"
    if isinstance(disk, ScsiDisk):
        if disk.trip_c:
            return disk.trip_c, disk.trip_c, "maker's limit"
        return (SSD_LIMIT_C if disk.rotation_rpm == 0 else HDD_LIMIT_C), None, "general limit"
    assert isinstance(disk, AtaDisk)
    stated = disk.statistic(5, 0x58)
    if stated:
        return stated, None, "maker's limit"
    is_ssd = disk.identity.rotation_rpm == 0
    return (SSD_LIMIT_C if is_ssd else HDD_LIMIT_C), None, "general limit"


def judge_temperature(exam: Exam) -> Iterator[Finding]:
    """Too warm by the maker's limits, or because the disk says so."""
    now_c = exam.value("temperature")
    warn_c, critical_c, whose = find_limits(exam)
    health = exam.disk.health if isinstance(exam.disk, NvmeDisk) else None
    is_said = health is not None and bool(health.critical_warning & _TEMPERATURE_BIT)
    if (now_c is None or now_c < warn_c) and not is_said:
        return
    is_critical = now_c is not None and critical_c is not None and now_c >= critical_c
    evidence = [exam.evidence("temperature", f"{whose} {warn_c:g} °C")] if now_c is not None else []
    if health is not None:
        evidence.append(exam.said("critical warning", f"0x{health.critical_warning:02x}"))
    yield exam.finding(
        "temperature",
        "critical" if is_critical else "warning",
        "it says that it is too hot or too cold"
        if now_c is None or now_c < warn_c
        else f"{now_c:g} °C, {whose} {warn_c:g} °C",
        tuple(evidence),
        consequence="Heat shortens its life, slows it down, and at last makes it switch off.",
        action="Check the fans, the filters and the air in front of the box.",
        # In steps of five degrees, so that warm afternoons are told once.
        measure=0 if now_c is None else max(0, now_c - warn_c) // 5,
    )
