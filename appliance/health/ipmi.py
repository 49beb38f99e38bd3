"""What the board's management controller measures, where there is one.

Owns the words of `ipmitool sdr elist` and what they mean. Never sets anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.base.process import run
from appliance.formats.finding import Evidence, Finding, Severity
from appliance.health.kernel_tree import KernelTree

_DEVICES = ("ipmi0", "ipmi/0", "ipmidev/0")
_TIMEOUT_S = 30.0
# Status column: nc = non-critical, cr = critical, nr = non-recoverable; ns = no reading.
_BAD: dict[str, Severity] = {"nc": "warning", "cr": "critical", "nr": "critical"}
_WORDS: dict[str, Severity] = {
    "failure detected": "critical",
    "power supply ac lost": "warning",
    "ac lost": "warning",
    "redundancy lost": "warning",
    "redundancy degraded": "warning",
    "non-redundant": "warning",
    "predictive failure": "warning",
    "drive fault": "critical",
    "battery low": "warning",
    "low": "warning",
    "failed": "critical",
}
_COLUMNS = 5


@dataclass(frozen=True)
class Reading:
    """One sensor: name, status (`ok`, `nc`, `cr`, `nr`), and what it says in words."""

    name: str
    status: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def has_controller(tree: KernelTree) -> bool:
    """Whether the kernel talks to a management controller."""
    return any((tree.dev / name).exists() for name in _DEVICES)


def list_readings(tree: KernelTree) -> tuple[list[Reading], str]:
    """(readings, trouble): all sensors, and why there are none although there is a controller."""
    if not has_controller(tree):
        return [], ""
    program = shutil.which("ipmitool")
    if program is None:
        return [], "ipmitool is not installed: apt-get install ipmitool"
    try:
        return parse_readings(run([program, "sdr", "elist", "all"], timeout_s=_TIMEOUT_S)), ""
    except HoldfastError as error:
        return [], str(error)


def parse_readings(text: str) -> list[Reading]:
    """The table that `ipmitool sdr elist all` prints.

    >>> parse_readings("PS1 Status | C8h | ok | 10.1 | Presence detected")[0].text
    'Presence detected'
    """
    readings = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == _COLUMNS and cells[2] != "ns":
            readings.append(Reading(cells[0], cells[2], cells[4]))
    return readings


def judge_readings(readings: list[Reading], now: datetime) -> Iterator[Finding]:
    """Sensors beyond their limits, and supplies, drives and batteries that complain."""
    for reading in readings:
        severity = _BAD.get(reading.status)
        words = [word.strip().lower() for word in reading.text.split(",")]
        said = [_WORDS[word] for word in words if word in _WORDS]
        if severity is None and said:
            severity = "critical" if "critical" in said else "warning"
        if severity is None:
            continue
        yield Finding(
            subject="box",
            rule=f"ipmi.{reading.name}",
            severity=severity,
            summary=f"{reading.name}: {reading.text or reading.status}",
            evidence=(Evidence(reading.name, ((now, reading.text or reading.status),)),),
            consequence="A second failure of this kind may stop the box.",
            action="Look at the part that the sensor names; 'ipmitool sel list' says since when.",
        )
