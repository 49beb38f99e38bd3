"""Logs of ATA disks: errors, self-tests, statistics, pending sectors, link errors (ACS-4 9).

Owns their layout. Never judges.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.formats.ata_log_names import STATISTICS, StatisticName
from appliance.formats.page_bytes import has_checksum, read_le, require_bytes

SECTOR_BYTES = 512
_NO_LBA = 0xFFFFFFFFFFFF
_TESTS, _TEST_BYTES = 21, 24
_EXTENDED_TESTS, _EXTENDED_BYTES = 19, 26
_ABORTED = (1, 2, 3)
_ERRORS_MAX = 8
"""As many as smartctl shows; the count says how many there were."""
FAILED_TESTS = frozenset(range(3, 9))
IN_PROGRESS = 0xF


@dataclass(frozen=True)
class SelfTest:
    """One finished or running test; `lba` is where it failed, if it says so."""

    kind: int
    status: int
    hours: int
    lba: int | None

    @property
    def has_failed(self) -> bool:
        """Whether the test found the disk at fault."""
        return self.status >> 4 in FAILED_TESTS

    @property
    def passed(self) -> bool | None:
        """None for what was aborted."""
        return None if self.status >> 4 in _ABORTED else not self.has_failed


@dataclass(frozen=True)
class SelfTestLog:
    """Newest first."""

    revision: int
    tests: tuple[SelfTest, ...]
    is_extended: bool
    sectors: int = 1
    is_used: bool = True

    @property
    def failed(self) -> tuple[int, int]:
        """How many failed, and how many of them before the newest extended test that passed."""
        total = outdated = 0
        passed = False
        for test in self.tests:
            total += test.has_failed
            outdated += test.has_failed and passed
            passed = passed or (test.status >> 4 == 0 and test.kind & 0x7F == 2)
        return total, outdated


@dataclass(frozen=True)
class AtaError:
    """One command that failed: what the registers held then. `index` is its place in the log."""

    number: int
    index: int
    hours: int
    state: int
    error: int
    status: int
    count: int
    lba: int
    device: int
    device_control: int


@dataclass(frozen=True)
class ErrorLog:
    """How many errors the disk has ever reported, and the newest of them, newest first."""

    revision: int
    count: int
    errors: tuple[AtaError, ...]
    is_extended: bool
    sectors: int = 1


@dataclass(frozen=True)
class Statistic:
    """One entry of the device statistics. `value` is None while the disk does not know it."""

    page: int
    offset: int
    name: str
    size_bytes: int
    flags: int
    value: int | None


@dataclass(frozen=True)
class StatisticsPage:
    """One page of log 04h."""

    number: int
    name: str
    revision: int
    entries: tuple[Statistic, ...]


@dataclass(frozen=True)
class PhyCounter:
    """One counter of the serial ATA link."""

    number: int
    size_bytes: int
    value: int


def parse_directory(page: bytes) -> tuple[int, dict[int, int]]:
    """Version of a log directory, and address -> sectors. Raises IntegrityError."""
    require_bytes(page, SECTOR_BYTES, "log directory")
    sizes = {address: read_le(page, 2 * address, 2) for address in range(1, 256)}
    return read_le(page, 0, 2), {address: size for address, size in sizes.items() if size}


def parse_self_tests(page: bytes) -> SelfTestLog:
    """SMART log 06h. Raises IntegrityError."""
    require_bytes(page, SECTOR_BYTES, "self-test log")
    newest = page[508]
    tests = []
    for index in range(_TESTS, 0, -1):
        at = 2 + (index - 1 + newest) % _TESTS * _TEST_BYTES
        entry = page[at : at + _TEST_BYTES]
        if newest and any(entry):
            lba = read_le(entry, 5, 4)
            tests.append(_make_test(entry[0], entry[1], entry[2:4], lba, 0xFFFFFFFF))
    return SelfTestLog(read_le(page, 0, 2), tuple(tests), False, is_used=newest != 0)


def parse_extended_self_tests(pages: bytes) -> SelfTestLog:
    """General purpose log 07h, all its sectors. Raises IntegrityError."""
    require_bytes(pages, SECTOR_BYTES, "extended self-test log")
    sectors = len(pages) // SECTOR_BYTES
    total = sectors * _EXTENDED_TESTS
    newest = read_le(pages, 2, 2)
    tests = []
    for step in range(total):
        index = (newest - 1 - step) % total
        at = index // _EXTENDED_TESTS * SECTOR_BYTES + 4 + index % _EXTENDED_TESTS * _EXTENDED_BYTES
        entry = pages[at : at + _EXTENDED_BYTES]
        if newest and any(entry):
            lba = read_le(entry, 5, 6)
            tests.append(_make_test(entry[0], entry[1], entry[2:4], lba, _NO_LBA))
    return SelfTestLog(pages[0], tuple(tests), True, sectors, newest != 0)


def _make_test(kind: int, status: int, hours: bytes, lba: int, no_lba: int) -> SelfTest:
    is_failed = status >> 4 in FAILED_TESTS
    return SelfTest(
        kind, status, int.from_bytes(hours, "little"), lba if is_failed and lba < no_lba else None
    )


def parse_errors(page: bytes) -> ErrorLog:
    """SMART log 01h, the summary. Raises IntegrityError."""
    require_bytes(page, SECTOR_BYTES, "error log")
    pointer, count = page[1], read_le(page, 452, 2)
    errors = []
    for step in range(5 if 1 <= pointer <= 5 else 0):
        index = (pointer - 1 - step) % 5
        entry = page[2 + 90 * index : 92 + 90 * index]
        if any(entry):
            at = entry[60:]
            errors.append(
                AtaError(
                    number=count - step,
                    index=index,
                    hours=read_le(at, 28, 2),
                    state=at[27],
                    error=at[1],
                    status=at[7],
                    count=at[2],
                    lba=read_le(at, 3, 3),
                    device=at[6],
                    device_control=0,
                )
            )
    return ErrorLog(page[0], count if pointer else 0, tuple(errors), False)


def parse_extended_errors(pages: bytes) -> ErrorLog:
    """General purpose log 03h, from its first sector on. Raises IntegrityError."""
    require_bytes(pages, SECTOR_BYTES, "extended error log")
    pointer, count = read_le(pages, 2, 2), read_le(pages, 500, 2)
    total = len(pages) // SECTOR_BYTES * 4
    errors = []
    for step in range(min(count, total, _ERRORS_MAX) if 1 <= pointer <= total else 0):
        index = (pointer - 1 - step) % total
        start = index // 4 * SECTOR_BYTES + 4 + index % 4 * 124
        if any(pages[start : start + 124]):
            errors.append(_make_error(pages[start + 90 : start + 124], count - step, index))
    return ErrorLog(pages[0], count if pointer else 0, tuple(errors), True, len(pages) // 512)


def _make_error(at: bytes, number: int, index: int) -> AtaError:
    return AtaError(
        number=number,
        index=index,
        hours=read_le(at, 32, 2),
        state=at[31],
        error=at[1],
        status=at[11],
        count=read_le(at, 2, 2),
        lba=at[4] | at[6] << 8 | at[8] << 16 | at[5] << 24 | at[7] << 32 | at[9] << 40,
        device=at[10],
        device_control=at[12],
    )


def parse_statistics(page: bytes, number: int) -> StatisticsPage | None:
    """One page of log 04h; None for one that is empty or calls itself otherwise."""
    if len(page) < SECTOR_BYTES or page[2] != number or number == 0:
        return None
    names = STATISTICS.get(number, ())
    entries = []
    for index, offset in enumerate(range(8, SECTOR_BYTES - 7, 8), 1):
        flags = page[offset + 7]
        known = names[index] if index < len(names) else None
        if not flags & 0x80:
            continue
        if known is None and (page[offset + 5] or page[offset + 6]):
            break  # what follows what is known is garbage in some firmwares
        entries.append(_make_statistic(page, number, offset, flags, known))
    name = names[0].name if names else _name_unknown(number, "Vendor Specific Statistics")
    return StatisticsPage(number, name, read_le(page, 0, 2), tuple(entries))


def _name_unknown(number: int, vendor: str) -> str:
    return vendor if number == 0xFF else "Unknown" + vendor[len("Vendor Specific") :]


def _make_statistic(
    page: bytes, number: int, offset: int, flags: int, known: StatisticName | None
) -> Statistic:
    size = known.size_bytes if known else 7
    value = None
    if flags & 0x40:
        value = read_le(page, offset, abs(size))
        if size < 0 and value >= 128:
            value -= 256
    name = known.name if known else _name_unknown(number, "Vendor Specific")
    return Statistic(number, offset, name, abs(size), flags, value)


def list_statistics_pages(page: bytes) -> tuple[int, ...]:
    """The pages that page 0 of log 04h names. Empty for what is no such page."""
    if len(page) < SECTOR_BYTES or page[2] != 0:
        return ()
    return tuple(number for number in page[9 : 9 + page[8]] if number)


def parse_pending(page: bytes) -> tuple[int, tuple[int, ...]]:
    """General purpose log 0Ch: how many sectors are pending, and where. Raises IntegrityError."""
    require_bytes(page, SECTOR_BYTES, "pending defects log")
    count = read_le(page, 0, 4)
    listed = range(16, min(len(page), 16 + 16 * count) - 15, 16)
    return count, tuple(read_le(page, at + 8, 8) for at in listed)


def parse_phy_counters(page: bytes) -> tuple[PhyCounter, ...]:
    """General purpose log 11h. Raises IntegrityError."""
    require_bytes(page, SECTOR_BYTES, "link counters")
    counters = []
    at = 4
    while at + 2 <= SECTOR_BYTES - 1:
        head = read_le(page, at, 2)
        size = (head >> 12 & 7) * 2
        if head & 0x8FFF == 0 or size == 0 or at + 2 + size > SECTOR_BYTES - 1:
            break
        counters.append(PhyCounter(head & 0x8FFF, size, read_le(page, at + 2, size)))
        at += 2 + size
    return tuple(counters)


def check_sectors(pages: bytes) -> bool:
    """Whether every sector adds up."""
    starts = range(0, len(pages) - SECTOR_BYTES + 1, SECTOR_BYTES)
    return all(has_checksum(pages[at : at + SECTOR_BYTES]) for at in starts)
