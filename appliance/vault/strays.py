"""Where chunks lie in a vault whose hints do not serve there (docs/format/vault.md, "Bill").

Owns the bills with strays that a box keeps, of points that it sent or opened, and what it remembers
of them. They are read when the first chunk is looked for. Memory: about 200 bytes for each stray.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from appliance.base.durable import make_directory, remove_file, write_file
from appliance.base.errors import IntegrityError
from appliance.formats.bill import decode_bill, decode_strays
from appliance.formats.vault_names import Kind

FOLDER = "strays"


class StrayKeys(Protocol):
    """What is needed of the key hierarchy."""

    def open_record(self, place: str, data: bytes) -> bytes:
        """What was sealed for `place`; IntegrityError if it does not authenticate."""


class Strays:
    """The strays of all points, from the folders of vaults. Thread-safe."""

    def __init__(self, folders: Sequence[Path], keys: StrayKeys) -> None:
        """`folders`: where the box keeps what it derives of each vault, best first."""
        self._folders = folders
        self._keys = keys
        self._lock = threading.Lock()
        self._places: dict[bytes, tuple[bytes, int]] | None = None
        self._deltas: set[bytes] = set()

    def find(self, chunk_id: bytes, hint: bytes | None = None) -> tuple[bytes, int] | None:
        """(container, ordinal) of a stray; None for a chunk whose hint, a container, serves.

        Where that container was merged into another one, the ordinal is not known: it is 0.
        """
        with self._lock:
            places = self._load() if self._places is None else self._places
            place = places.get(chunk_id)
            if place is None and hint is not None:
                merged = places.get(hint)
                place = None if merged is None else (merged[0], 0)
            return place

    def _load(self) -> dict[bytes, tuple[bytes, int]]:
        self._places = {}
        for folder in reversed(self._folders):
            for path in sorted((folder / FOLDER).glob("*")):
                self._places.update(self._read(path))
        return self._places

    def kind(self, name: bytes) -> Kind:
        """Below which kind of key an object that `find` named lies."""
        return "deltas" if name in self._deltas else "containers"

    def _read(self, path: Path) -> Iterator[tuple[bytes, tuple[bytes, int]]]:
        """What one bill says. A damaged one says nothing: hints and other bills go on serving."""
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.name:
            return
        try:
            bill = decode_bill(data)
            if bill.strays:
                self._deltas.update(need.name for need in bill.needs if need.kind == "deltas")
                plain = self._keys.open_record(bill.place, bill.strays)
                for stray in decode_strays(plain, len(bill.needs)):
                    yield stray.chunk_id, (bill.needs[stray.need].name, stray.ordinal)
        except IntegrityError:
            return


def keep_bill(folder: Path, name: bytes, data: bytes) -> None:
    """Keep a bill that has strays; durable on return."""
    make_directory(folder / FOLDER)
    write_file(folder / FOLDER / name.hex(), data)


def keep_only_bills(folder: Path, names: Collection[bytes]) -> None:
    """No other bill counts: one that was kept and never published leads to garbage."""
    kept = {name.hex() for name in names}
    for path in (folder / FOLDER).glob("*"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def drop_bills(folder: Path, names: Collection[bytes]) -> None:
    """These points are in the vault no more."""
    for name in names:
        path = folder / FOLDER / name.hex()
        if path.exists():
            remove_file(path)
