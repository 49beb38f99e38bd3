"""Where a disk sat when it was last seen: what names it after it is gone.

Owns the shape. Never looks for disks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Seat:
    """One disk in one place of one array, or in none.

    Attributes:
        name: the kernel's, of the disk; `member` is that of the disk or partition in the array.
        bay: with `bus_path`, where a person finds it; "" where nobody knows.
        array: the array's UUID, else its name; "" for a disk of no array.
        slot: its place in the array; None for a spare, or where it never had one.
        carries: what would be missed with it, as a person reads it; "" for nothing.
    """

    serial: str
    name: str
    model: str
    bay: str
    bus_path: str
    array: str
    member: str
    slot: int | None
    carries: str
    seen: datetime
