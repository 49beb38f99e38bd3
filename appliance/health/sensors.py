"""Temperatures and fans (kernel: hwmon), memory errors (kernel: EDAC), processor and memory.

Owns the reading and the rules about the box itself. Disks' temperatures are judged with the disks,
by the limits of their makers; here they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from appliance.base.text import size
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.health.kernel_tree import KernelTree, list_names, read_number, read_text

_OF_DISKS = ("drivetemp", "nvme")
_LOAD_PER_CORE_MAX = 4.0
_MEMORY_PERCENT_MIN = 5.0


@dataclass(frozen=True)
class Sensor:
    """One temperature (degrees Celsius) or fan (turns per minute).

    Attributes:
        limit: the warm limit or the least speed, by the chip; None where it has none.
        critical: where the hardware defends itself; None where it says nothing.
    """

    kind: str
    name: str
    value: float
    limit: float | None
    critical: float | None
    is_alarmed: bool


@dataclass(frozen=True)
class Load:
    """Processor and memory. The load is that of five minutes."""

    cores: int
    load: float
    memory_bytes: int
    available_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def read_load() -> Load:
    """How busy the box is."""
    memory = psutil.virtual_memory()
    return Load(
        psutil.cpu_count() or 1, psutil.getloadavg()[1], int(memory.total), int(memory.available)
    )


def list_sensors(tree: KernelTree) -> list[Sensor]:
    """All temperatures and fans of the box."""
    sensors = []
    top = tree.sys / "class/hwmon"
    for chip in list_names(top):
        folder = top / chip
        name = read_text(folder / "name")
        if name in _OF_DISKS:
            continue
        for entry in list_names(folder):
            if found := re.fullmatch(r"(temp|fan)(\d+)_input", entry):
                sensor = _read_sensor(folder, name, found[1], found[2])
                if sensor is not None:
                    sensors.append(sensor)
    return sensors


def _read_sensor(folder: Path, chip: str, kind: str, number: str) -> Sensor | None:
    def read(what: str) -> float | None:
        value = read_number(folder / f"{kind}{number}_{what}")
        return None if value is None else value / (1000.0 if kind == "temp" else 1.0)

    value = read("input")
    if value is None or read("fault"):
        return None
    label = read_text(folder / f"{kind}{number}_label") or f"{kind}{number}"
    limits = (read("max"), read("crit")) if kind == "temp" else (read("min"), None)
    # Chips without a limit of their own say 0, or one beyond sense.
    known = [limit if limit is not None and 0 < limit < 100_000 else None for limit in limits]
    alarm = bool(read("alarm") or read("crit_alarm") or read("min_alarm"))
    return Sensor(kind, f"{chip} {label}", value, known[0], known[1], alarm)


def judge_sensors(sensors: list[Sensor], now: datetime) -> Iterator[Finding]:
    """What is too hot, and which fan does not turn."""
    for sensor in sensors:
        if sensor.kind == "temp":
            finding = _judge_temperature(sensor, now)
        else:
            finding = _judge_fan(sensor, now)
        if finding is not None:
            yield finding


def _judge_temperature(sensor: Sensor, now: datetime) -> Finding | None:
    is_critical = sensor.critical is not None and sensor.value >= sensor.critical
    is_warm = sensor.limit is not None and sensor.value > sensor.limit
    if not (is_critical or is_warm or sensor.is_alarmed):
        return None
    limit = sensor.critical if is_critical else sensor.limit
    held = "" if limit is None else f"{limit:g}"
    return Finding(
        subject="box",
        rule=f"box.temperature.{sensor.name}",
        severity="critical" if is_critical else "warning",
        summary=f"{sensor.name} is at {sensor.value:.0f} degrees Celsius",
        evidence=(Evidence("temperature", ((now, sensor.value),), "C", held),),
        consequence="The box slows down or switches itself off; disks age faster.",
        action="Look at the fans, the dust, and the room.",
        measure=sensor.value // 5,
    )


def _judge_fan(sensor: Sensor, now: datetime) -> Finding | None:
    # A header without a fan reads 0 and has no limit.
    is_slow = sensor.limit is not None and sensor.value < sensor.limit
    if not (is_slow or sensor.is_alarmed):
        return None
    return Finding(
        subject="box",
        rule=f"box.fan.{sensor.name}",
        severity="warning",
        summary=f"{sensor.name} turns {sensor.value:.0f} times a minute",
        evidence=(
            Evidence("speed", ((now, sensor.value),), "rpm", f"{sensor.limit or 0:g} at least"),
        ),
        consequence="The box becomes hot; disks age faster.",
        action="Replace the fan.",
    )


def judge_load(load: Load, now: datetime) -> Iterator[Finding]:
    """A box that is short of memory or overloaded."""
    percent = 100.0 * load.available_bytes / load.memory_bytes if load.memory_bytes else 100.0
    if percent < _MEMORY_PERCENT_MIN:
        yield Finding(
            subject="box",
            rule="box.memory",
            severity="warning",
            summary=f"only {size(load.available_bytes)} of memory are available",
            evidence=(
                Evidence("available", ((now, load.available_bytes),), "bytes", "5 % at least"),
            ),
            consequence="The kernel may end a backup to get memory back.",
            action="Stop recovered VMs ('holdfast vms'), or add memory.",
        )
    if load.load > load.cores * _LOAD_PER_CORE_MAX:
        yield Finding(
            subject="box",
            rule="box.load",
            severity="notice",
            summary=f"the load is {load.load:.0f} on {load.cores} cores",
            evidence=(Evidence("load, 5 minutes", ((now, round(load.load, 1)),)),),
            consequence="Backups and recovered VMs are slow.",
            action="A disk that hangs raises the load too: look at the disks first.",
        )


def judge_memory_errors(tree: KernelTree, now: datetime) -> Iterator[Finding]:
    """Errors that the memory's own check found (EDAC: ce corrected, ue not)."""
    top = tree.sys / "devices/system/edac/mc"
    chips = [name for name in list_names(top) if re.fullmatch(r"mc\d+", name)]
    kinds: tuple[tuple[str, str, Severity], ...] = (
        ("uncorrected", "ue_count", "critical"),
        ("corrected", "ce_count", "warning"),
    )
    for kind, file, severity in kinds:
        count = sum(read_number(top / chip / file) or 0 for chip in chips)
        if count:
            yield Finding(
                subject="box",
                rule=f"box.memory-{kind}",
                severity=severity,
                summary=f"the memory had {count} {kind} errors since the start",
                evidence=(Evidence(file, ((now, count),), "", "0"),),
                consequence="Wrong bytes in memory become wrong bytes in backups.",
                action="Replace the memory module; 'edac-util -v' names it.",
                measure=count,
            )
