"""The times that FAT and exFAT write down."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUARTER_NS = 15 * 60 * 10**9


def fat_time(date: int, time: int, hundredths: int = 0) -> int:
    """A date and time as ns, taken as UTC: FAT does not say of which place."""
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    hour, minute, second = time >> 11, time >> 5 & 63, (time & 31) * 2
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0  # never set
    return (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + min(hundredths, 199) * 10**7


def exfat_time(raw: bytes, at: int, hundredths: int, zone: int) -> int:
    """The same of exFAT, which may say how far from UTC it is, in quarters of an hour."""
    time, date = struct.unpack_from("<HH", raw, at)
    quarters = (zone & 0x7F) - (0x80 if zone & 0x40 else 0) if zone & 0x80 else 0
    return fat_time(date, time, hundredths) - quarters * _QUARTER_NS
