"""What the board's management controller measures, where there is one.

Owns the words of `ipmitool sdr elist` and what they mean. Never sets anything.
"""

from __future__ import annotations

import re
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
# How the words of a sensor begin, as ipmitool spells the states of the standard (IPMI 2.0, table
# 42-3); the longest that fits counts. "Redundancy Degraded from Fully Redundant" is one state.
_WORDS: dict[str, Severity | None] = {
    "failure detected": "critical",
    "predictive failure": "warning",
    "power supply ac lost": "warning",
    "ac lost": "warning",
    "ac out-of-range": "warning",
    "config error": "warning",
    "power supply inactive": "warning",
    "redundancy lost": "warning",
    "redundancy degraded": "warning",
    "non-redundant": "warning",
    "non-redundant: insufficient resources": "critical",
    "drive fault": "critical",
    "in critical array": "critical",
    "in failed array": "critical",
    "rebuild aborted": "warning",
    "correctable ecc": "warning",
    "uncorrectable ecc": "critical",
    "limit exceeded": "warning",
    "battery low": "warning",
    "low": "warning",
    "lower": None,  # thresholds of readings: the status says how bad that is
    "failed": "critical",
}
_COLUMNS = 5
_SUPPLY = re.compile(r"(?:PS|PSU|Power Supply)[ _-]?\d+(?: Status)?$", re.IGNORECASE)


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
        said = [_rate(word.strip().lower()) for word in reading.text.split(",")]
        if severity is None and any(said):
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
    yield from _judge_supplies(readings, now)


def _rate(word: str) -> Severity | None:
    """How bad one state is, None for a good one."""
    fitting = [known for known in _WORDS if word.startswith(known)]
    return _WORDS[max(fitting, key=len)] if fitting else None


def _judge_supplies(readings: list[Reading], now: datetime) -> Iterator[Finding]:
    """One supply where there is a place for two: nothing is broken, and one cable is enough."""
    places = [reading for reading in readings if _SUPPLY.match(reading.name)]
    there = [reading for reading in places if "presence detected" in reading.text.lower()]
    if len(places) < 2 or len(there) != 1:
        return
    missing = ", ".join(reading.name for reading in places if reading not in there)
    yield Finding(
        subject="box",
        rule="ipmi.one-supply",
        severity="notice",
        summary=f"the box runs on one power supply of {len(places)}: {there[0].name}",
        evidence=(Evidence("not there", ((now, missing),)),),
        consequence="When that supply or its cable fails, the box is off.",
        action="Put in the second supply, and plug it into another circuit.",
    )
