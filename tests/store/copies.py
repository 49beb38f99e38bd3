"""A second copy for tests: sparse files of a folder of containers, every range counted."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.errors import HoldfastError
from appliance.native import HEADER_BYTES, TRAILER_BYTES
from appliance.store.second_copy import Range, RemoteFile


@dataclass
class PartialFile:
    """What of a container was asked for; the rest reads as zeros."""

    name: bytes
    descriptor: int
    size_bytes: int

    def close(self) -> None:
        os.close(self.descriptor)


@dataclass
class FolderCopy:
    """The containers of `folder`, as a second copy."""

    folder: Path
    places: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    is_reachable: bool = True
    filled: list[tuple[bytes, Range]] = field(default_factory=list)
    expected: list[bytes] = field(default_factory=list)
    distrusted: list[bytes] = field(default_factory=list)
    _files: list[PartialFile] = field(default_factory=list)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def _path(self, name: bytes) -> Path:
        if not self.is_reachable:
            raise HoldfastError("the line is down")
        return self.folder / name.hex()

    def has(self, name: bytes) -> bool:
        return self._path(name).exists()

    def open(self, names: Sequence[bytes]) -> list[RemoteFile | None]:
        return [self._open(name) if self.has(name) else None for name in names]

    def _open(self, name: bytes) -> PartialFile:
        with tempfile.TemporaryFile() as held:
            file = PartialFile(name, os.dup(held.fileno()), self._path(name).stat().st_size)
        self._files.append(file)
        ends = [(0, HEADER_BYTES), (file.size_bytes - TRAILER_BYTES, TRAILER_BYTES)]
        self._copy(file, ends)
        return file

    def _copy(self, file: PartialFile, ranges: Sequence[Range]) -> None:
        with self._path(file.name).open("rb") as source:
            for offset, length in ranges:
                os.pwrite(file.descriptor, os.pread(source.fileno(), length, offset), offset)

    def fill(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        for file, ranges in wanted:
            assert isinstance(file, PartialFile)
            self._copy(file, ranges)
            self.filled += [(file.name, one) for one in ranges]

    def distrust(self, file: RemoteFile) -> bool:
        self.distrusted.append(file.name)
        return False

    def fetch(self, name: bytes) -> bytes | None:
        with contextlib.suppress(FileNotFoundError):
            return self._path(name).read_bytes()
        return None

    def locate(self, chunk_id: bytes, _hint: bytes | None = None) -> tuple[bytes, int] | None:
        return self.places.get(chunk_id)

    @property
    def ahead_bytes(self) -> int:
        return 64 << 20

    def fill_ahead(self, wanted: Sequence[tuple[RemoteFile, Sequence[Range]]]) -> None:
        self.fill(wanted)
        self.expected += [file.name for file, _ in wanted]


def move_away(containers: Path, folder: Path) -> None:
    """Move all containers of a store into a folder."""
    folder.mkdir()
    for path in containers.glob("*/*"):
        path.rename(folder / path.name)
