"""The seam to another copy of the store's containers: what is asked of it, and what it is without.

Owns the interface, nothing else. Whoever builds a Store hands in a second copy; the store does not
know where it is. Nothing that comes from there is believed before it authenticates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from appliance.base.errors import HoldfastError

Range = tuple[int, int]
"""(offset, length) in a container's file."""


class RemoteFile(Protocol):
    """A container elsewhere, as a file here that holds those parts that were asked for."""

    name: bytes
    descriptor: int
    size_bytes: int


class SecondCopy(Protocol):
    """Another copy of containers, by name. Thread-safe.

    Whatever cannot be reached raises HoldfastError after some patience: that is no damage.
    """

    def has(self, name: bytes) -> bool:
        """Whether it holds the container `name`."""

    def open(self, names: Sequence[bytes]) -> list[RemoteFile | None]:
        """These containers, with header and trailer there; None for what it lacks."""

    def fill(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        """Let files hold these ranges, all at once."""

    def distrust(self, file: RemoteFile) -> bool:
        """Something in `file` did not authenticate; whether opening it anew may give better."""

    def fetch(self, name: bytes) -> bytes | None:
        """A whole container whose SHA-256 is `name`; None where there is none."""

    def locate(self, chunk_id: bytes, hint: bytes | None = None) -> tuple[bytes, int] | None:
        """(container, ordinal) of a chunk there, where that is known; hints go after it.

        `hint` is the container that its reference names; the ordinal is a hint, too.
        """

    @property
    def ahead_bytes(self) -> int:
        """How much of a disk is worth asking for ahead of a reader; 0: nothing."""

    def fill_ahead(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        """Begin to fetch these ranges, in this order and after what was begun so before.

        What fails of it is asked for again by who reads it.
        """


class NoSecondCopy:
    """A store that has only itself."""

    def has(self, name: bytes) -> bool:
        """It holds nothing."""
        del name
        return False

    def open(self, names: Sequence[bytes]) -> list[RemoteFile | None]:
        """It holds nothing."""
        return [None] * len(names)

    def fill(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        """Nobody has a file of it."""
        if wanted:
            raise HoldfastError("there is no second copy to read from")

    def distrust(self, file: RemoteFile) -> bool:
        """Nobody has a file of it."""
        del file
        return False

    def fetch(self, name: bytes) -> bytes | None:
        """It holds nothing."""
        del name
        return None

    def locate(self, chunk_id: bytes, hint: bytes | None = None) -> tuple[bytes, int] | None:
        """It holds nothing."""
        del chunk_id, hint
        return None

    @property
    def ahead_bytes(self) -> int:
        """Nothing comes from it, however early it is asked for."""
        return 0

    def fill_ahead(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        """Nobody has a file of it."""
        self.fill(wanted)
