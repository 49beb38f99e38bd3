"""The one door to sealed records in the store (docs/format/record.md).

A record is one small file, bound to its place: moved elsewhere it does not open. It is written by
one durable rename and removed by one durable unlink, so it is there or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from appliance.base import durable
from appliance.base.errors import (
    AccessError,
    HoldfastError,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
)
from appliance.formats.record import DRILL_MAX_BYTES
from appliance.store.layout import Layout

_FILE_MAX_BYTES = DRILL_MAX_BYTES + 64


class RecordKeys(Protocol):
    """What is needed of the key hierarchy."""

    def seal_record(self, place: str, plain: bytes) -> bytes:
        """The whole file of a record at `place`."""

    def open_record(self, place: str, data: bytes) -> bytes:
        """What is inside; IntegrityError if it does not authenticate."""


class Records:
    """The sealed records of one store. A place is a path relative to the store's folder."""

    def __init__(self, layout: Layout, keys: RecordKeys) -> None:
        self._layout = layout
        self._keys = keys

    def path(self, place: str) -> Path:
        """The file at `place`."""
        return self._layout.root / place

    def places(self, folder: str, suffix: str) -> Iterator[str]:
        """The places of all records in `folder`, sorted."""
        for path in sorted((self._layout.root / folder).glob(f"*{suffix}")):
            if not path.name.startswith("."):
                yield f"{folder}/{path.name}"

    def stamp(self, place: str) -> str:
        """Changes whenever the file at `place` does; for copies that are only looked at."""
        try:
            status = self.path(place).stat()
        except FileNotFoundError:
            return ""
        return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"

    def read(self, place: str) -> bytes | None:
        """The plaintext at `place`, None if there is no file. Raises IntegrityError."""
        path = self.path(place)
        try:
            with durable.named_os_errors(path), path.open("rb") as stream:
                data = stream.read(_FILE_MAX_BYTES + 1)
        except NotFoundError:
            return None
        except AccessError:
            raise
        except HoldfastError as error:
            raise IntegrityError(f"{place} cannot be read: {error}") from error
        try:
            return self._keys.open_record(place, data)
        except IntegrityError as error:
            raise IntegrityError(f"{place} is damaged: {error}") from error

    def write(self, place: str, plain: bytes) -> None:
        """Put a record at `place`, durably on return. A full disk pays from the reserve."""
        data = self._keys.seal_record(place, plain)
        while True:
            try:
                durable.write_file(self.path(place), data)
            except NoSpaceError:
                # What prevents deletion, and what forgets, must be writable on a full disk.
                if not self._layout.take_from_reserve():
                    raise
            else:
                return

    def remove(self, place: str) -> None:
        """Take the record at `place` away, durably on return; a missing one is fine."""
        durable.remove_file(self.path(place))
