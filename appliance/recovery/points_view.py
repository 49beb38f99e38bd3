"""What mounting and booting need to know about points. Owns the view, not what is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PointEntry:
    """A point as a directory shows it. `directory_time` is spelled `2026-11-21T09:30:00Z`."""

    directory_time: str
    disk_sizes: tuple[int, ...]
    mtime_s: float


class DiskReader(Protocol):
    """One disk of one point, which stays readable until `close`, forgotten or not."""

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there, shorter only at the end; from any thread.

        Raises IntegrityError where the store's bytes are damaged.
        """

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """(length, has data) of ranges from `offset` on; at least one, fewer than asked or all."""

    def close(self) -> None:
        """Let go of the point."""


class PointsView(Protocol):
    """The points of a store as they are at each call, those made later too."""

    def machines(self) -> list[str]:
        """Machines that have points."""

    def points(self, machine: str) -> list[PointEntry]:
        """Points of `machine`; empty or NotFoundError for one that has none."""

    def open_disk(self, machine: str, directory_time: str, disk: int) -> DiskReader:
        """Pin the point and read disk number `disk`. Raises NotFoundError where there is none."""
