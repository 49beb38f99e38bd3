"""Environmental reports of a SCSI disk: log page 0Dh, subpage 01h (SPC-5 7.3.9).

Owns the layout of a report, and its names under the keys of `smartctl --json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_HUMIDITY, _END = 0x100, 0x200
_REPORT_BYTES = 8
_UNKNOWN_C = -128
_NAMES = ("current", "lifetime_maximum", "lifetime_minimum")
_SINCE = ("maximum_since_power_on", "minimum_since_power_on")
_OTHER = ("maximum_other", "minimum_other")


@dataclass(frozen=True)
class Environment:
    """One sensor, in degrees Celsius or per cent.

    `values`: now, highest and lowest of its life, highest and lowest since power on, and where
    it reports them the highest and lowest that may be.
    """

    code: int
    values: tuple[int | None, ...]

    @property
    def is_temperature(self) -> bool:
        """Otherwise it is relative humidity."""
        return self.code < _HUMIDITY


def parse_environment(code: int, value: bytes) -> Environment | None:
    """A parameter of the page; None for what is no report."""
    if len(value) != _REPORT_BYTES or code >= _END:
        return None
    count = 7 if value[0] & 3 == 1 else 5
    if code >= _HUMIDITY:
        return Environment(code, tuple(value[1 : 1 + count]))
    signed = [byte - 256 if byte >= 128 else byte for byte in value[1 : 1 + count]]
    return Environment(code, tuple(None if c == _UNKNOWN_C else c for c in signed))


def environment_to_json(reports: Iterable[Environment]) -> dict[str, Any]:
    """All reports, by key."""
    shown: dict[str, Any] = {}
    numbers = {True: 0, False: 0}
    for report in reports:
        numbers[report.is_temperature] += 1
        kind = "temperature" if report.is_temperature else "relative_humidity"
        names = (*_NAMES, *_SINCE, *_OTHER)
        shown[f"{kind}_{numbers[report.is_temperature]}"] = {
            "parameter_code": report.code,
            **{
                name: "unknown" if value is None else value
                for name, value in zip(names, report.values, strict=False)
            },
        }
    return shown
