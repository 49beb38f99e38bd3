"""What a backup asks of the source of one disk."""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """One disk to read, by position and from several threads."""

    @property
    def label(self) -> str:
        """What a point calls it."""

    @property
    def kind(self) -> str:
        """`image` or `block`."""

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""

    @property
    def is_inconsistent(self) -> bool:
        """Whether it may change while it is read."""

    @property
    def descriptor(self) -> int | None:
        """An open file that the C library may read by position, where there is one."""

    def has_data(self, start: int, end: int) -> bool:
        """Whether anything but a hole lies in bytes [start, end)."""

    def read(self, offset: int, out: memoryview) -> list[tuple[int, int]]:
        """Fill `out`; gives (offset, length) of what could not be read, now zeros."""

    def close(self) -> None:
        """Let go of it."""
