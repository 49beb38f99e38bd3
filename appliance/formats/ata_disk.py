"""Everything an ATA disk said in one reading, out of its pages.

Owns which page means what, and that one damaged page costs what it holds and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from appliance.base.errors import IntegrityError
from appliance.formats.ata_identify import AtaIdentity, parse_identify
from appliance.formats.ata_logs import (
    SECTOR_BYTES,
    ErrorLog,
    PhyCounter,
    SelfTestLog,
    StatisticsPage,
    check_sectors,
    parse_directory,
    parse_errors,
    parse_extended_errors,
    parse_extended_self_tests,
    parse_pending,
    parse_phy_counters,
    parse_self_tests,
    parse_statistics,
)
from appliance.formats.ata_smart import SmartData, parse_smart_data
from appliance.formats.disk_pages import DiskPages

_PASSED, _FAILED = b"\x4f\xc2", b"\xf4\x2c"
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class AtaDisk:
    """None, or empty, is what the disk did not say.

    Attributes:
        has_passed: the disk's own verdict; from the attributes where it gives none.
        spoiled: names of pages whose checksum is wrong: shown, never judged by.
        damaged: names of pages that could not be read at all, and why.
    """

    identity: AtaIdentity
    smart: SmartData | None = None
    has_passed: bool | None = None
    directories: Mapping[str, tuple[int, Mapping[int, int]]] = field(default_factory=dict)
    errors: ErrorLog | None = None
    self_tests: SelfTestLog | None = None
    selective: bytes = b""
    statistics: tuple[StatisticsPage, ...] = ()
    pending: tuple[int, tuple[int, ...]] | None = None
    phy_counters: tuple[PhyCounter, ...] | None = None
    spoiled: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)

    def statistic(self, page: int, offset: int) -> int | None:
        """One value of the device statistics."""
        for entry in (entry for found in self.statistics for entry in found.entries):
            if (entry.page, entry.offset) == (page, offset):
                return entry.value
        return None


class _Reader:
    """Parses pages by name; what cannot be parsed is noted."""

    def __init__(self, pages: Mapping[str, bytes]) -> None:
        self.pages = pages
        self.damaged: dict[str, str] = {}

    def read(self, name: str, parse: Callable[[bytes], _Value]) -> _Value | None:
        if name not in self.pages:
            return None
        try:
            return parse(self.pages[name])
        except IntegrityError as error:
            self.damaged[name] = str(error)
            return None


def parse_ata(pages: DiskPages) -> AtaDisk:
    """Read what came. Raises IntegrityError when not even IDENTIFY DEVICE did."""
    identity = parse_identify(pages.pages.get("identify", b""))
    reader = _Reader(pages.pages)
    thresholds = pages.pages.get("thresholds", b"")
    smart = reader.read(
        "data", lambda page: parse_smart_data(page, thresholds, identity.rotation_rpm)
    )
    directories = {
        name: found
        for name in ("gplog-00", "log-00")
        if (found := reader.read(name, parse_directory)) is not None
    }
    errors = reader.read("gplog-03", parse_extended_errors) or reader.read("log-01", parse_errors)
    tests = reader.read("gplog-07", parse_extended_self_tests)
    return AtaDisk(
        identity=identity,
        smart=smart,
        has_passed=_read_status(pages.pages.get("status"), smart),
        directories=directories,
        errors=errors,
        self_tests=tests or reader.read("log-06", parse_self_tests),
        selective=pages.pages.get("log-09", b""),
        statistics=_parse_statistics(pages.pages),
        pending=reader.read("gplog-0c", parse_pending),
        phy_counters=reader.read("gplog-11", parse_phy_counters),
        spoiled=_find_spoiled(pages.pages),
        damaged=reader.damaged,
    )


def _read_status(registers: bytes | None, smart: SmartData | None) -> bool | None:
    if registers in (_PASSED, _FAILED):
        return registers == _PASSED
    if smart is None or all(item.threshold is None for item in smart.attributes):
        return None
    return not any(item.when_failed == "now" and item.is_prefailure for item in smart.attributes)


def _parse_statistics(pages: Mapping[str, bytes]) -> tuple[StatisticsPage, ...]:
    """Log 04h is kept as its pages one behind the other, page 0 first."""
    log = pages.get("gplog-04") or pages.get("log-04") or b""
    found = []
    for at in range(SECTOR_BYTES, len(log) - SECTOR_BYTES + 1, SECTOR_BYTES):
        page = parse_statistics(log[at : at + SECTOR_BYTES], log[at + 2])
        if page is not None:
            found.append(page)
    return tuple(found)


_WITH_CHECKSUM = ("data", "thresholds", "log-01", "log-06", "gplog-03", "gplog-07", "gplog-11")


def _find_spoiled(pages: Mapping[str, bytes]) -> tuple[str, ...]:
    names = [name for name in _WITH_CHECKSUM if name in pages and len(pages[name]) >= SECTOR_BYTES]
    return tuple(name for name in names if not check_sectors(pages[name]))
