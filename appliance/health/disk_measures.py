"""The numbers of a disk that verdicts are about, by one name for every kind of disk.

Owns where each number comes from and how a standard or a maker calls it. Pages with a wrong
checksum give no numbers. Never judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.formats.ata_disk import AtaDisk
from appliance.formats.ata_smart import SmartData
from appliance.formats.disk_report import Disk
from appliance.formats.nvme_disk import NvmeDisk
from appliance.formats.scsi_disk import ScsiDisk

_DATA_UNIT_BYTES = 512_000
_ATTRIBUTES = {
    5: ("reallocated", "sectors"),
    187: ("reported-errors", "errors"),
    188: ("command-timeouts", "commands"),
    197: ("pending", "sectors"),
    198: ("uncorrectable", "sectors"),
    199: ("link-errors", "errors"),
}
# Device statistics (page, offset): what they count where no attribute does.
_STATISTICS = {
    (3, 0x20): ("reallocated", "sectors"),
    (4, 0x08): ("reported-errors", "errors"),
    (6, 0x18): ("link-errors", "errors"),
    (1, 0x40): ("pending", "sectors"),
    (5, 0x08): ("temperature", "°C"),
    (7, 0x08): ("used", "%"),
    (1, 0x10): ("power-on-hours", "hours"),
}
_WEAR_VALUES = (177, 231, 233)
"""Attributes of solid state disks whose value falls from 100 as they wear."""
_UNRECOVERED = (3, 4)
"""Sense keys: medium error, hardware error."""


@dataclass(frozen=True)
class Measure:
    """One number. `what` is what the disk calls it."""

    key: str
    what: str
    value: float
    unit: str = ""


def measure_disk(disk: Disk) -> dict[str, Measure]:
    """What can be read off this disk, by key; what it does not say is missing."""
    if isinstance(disk, AtaDisk):
        found = _measure_ata(disk)
    elif isinstance(disk, NvmeDisk):
        found = _measure_nvme(disk)
    else:
        found = _measure_scsi(disk)
    measures: dict[str, Measure] = {}
    for measure in found:
        measures.setdefault(measure.key, measure)
    return measures


def _measure_ata(disk: AtaDisk) -> Iterator[Measure]:
    smart = None if "data" in disk.spoiled else disk.smart
    if smart is not None:
        yield from _measure_attributes(smart)
    yield from _measure_statistics(disk)
    if disk.pending is not None:
        yield Measure("pending", "pending defects log", disk.pending[0], "sectors")
    if smart is not None and disk.identity.rotation_rpm == 0:
        yield from _measure_wear(smart)


def _measure_attributes(smart: SmartData) -> Iterator[Measure]:
    for attribute in smart.attributes:
        if attribute.number in _ATTRIBUTES:
            key, unit = _ATTRIBUTES[attribute.number]
            what = f"attribute {attribute.number} {attribute.name}"
            yield Measure(key, what, attribute.count, unit)
    if smart.temperature_c is not None:
        yield Measure("temperature", "temperature", smart.temperature_c, "°C")
    if smart.power_on_hours is not None:
        yield Measure("power-on-hours", "power-on time", smart.power_on_hours, "hours")


def _measure_statistics(disk: AtaDisk) -> Iterator[Measure]:
    for entry in (entry for page in disk.statistics for entry in page.entries):
        if (entry.page, entry.offset) in _STATISTICS and entry.value is not None:
            key, unit = _STATISTICS[entry.page, entry.offset]
            yield Measure(key, entry.name, entry.value, unit)


def _measure_wear(smart: SmartData) -> Iterator[Measure]:
    for number in _WEAR_VALUES:
        attribute = smart.find(number)
        if attribute is not None and 1 <= attribute.value <= 100:
            what = f"attribute {number} {attribute.name}"
            yield Measure("used", what, 100 - attribute.value, "%")


def _measure_nvme(disk: NvmeDisk) -> Iterator[Measure]:
    health = disk.health
    if health is None:
        return
    if health.temperature_c is not None:
        yield Measure("temperature", "composite temperature", health.temperature_c, "°C")
    yield Measure("used", "percentage used", health.used_percent, "%")
    yield Measure("spare", "available spare", health.spare_percent, "%")
    yield Measure(
        "media-errors", "media and data integrity errors", health.counters["media_errors"], "errors"
    )
    yield Measure("power-on-hours", "power-on time", health.counters["power_on_hours"], "hours")
    yield Measure(
        "written",
        "data written",
        health.counters["data_units_written"] * _DATA_UNIT_BYTES,
        "bytes",
    )


def _measure_scsi(disk: ScsiDisk) -> Iterator[Measure]:
    if disk.temperature_c is not None:
        yield Measure("temperature", "log page 0Dh", disk.temperature_c, "°C")
    for report in disk.environment:
        if report.is_temperature and report.values[0] is not None:
            yield Measure("temperature", "log page 0Dh/01h", report.values[0], "°C")
    if disk.grown_defects is not None:
        yield Measure("grown-defects", "grown defect list", disk.grown_defects, "sectors")
    if disk.pending_defects is not None:
        yield Measure("pending", "log page 15h/01h", disk.pending_defects, "sectors")
    if disk.endurance_used_percent is not None:
        yield Measure("used", "log page 11h", disk.endurance_used_percent, "%")
    if disk.counters:
        lost = sum(values[6] for values in disk.counters.values())
        what = "total uncorrected errors (log pages 02h, 03h, 05h)"
        yield Measure("reported-errors", what, lost, "errors")
    if disk.ports:
        errors = sum(sum(phy.errors) for port in disk.ports for phy in port.phys)
        yield Measure("link-errors", "phy errors (log page 18h)", errors, "errors")
    if disk.scan is not None:
        lost = sum(error.sense[0] in _UNRECOVERED for error in disk.scan.errors)
        yield Measure("scan-errors", "background scan (log page 15h)", lost, "errors")
        yield Measure("power-on-hours", "power-on time", disk.scan.minutes // 60, "hours")
