"""Containers for the tests of the door: keys, a writer and its index, and a sealed one opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.native import (
    KIND_DATA,
    TRAILER_BYTES,
    Directory,
    Index,
    Ingester,
    ReadItem,
    Ref,
    Writer,
)

ID_KEY, CUT_KEY, TAG_KEY, CONTAINER_KEY = (bytes([number]) * 32 for number in range(4))
CONTAINER_ID = bytes(range(16))


def open_writer(index: Index, kind: int = KIND_DATA) -> Writer:
    return Writer(kind, CONTAINER_ID, CONTAINER_KEY, index.open_slot(), 3)


def open_ingester(index: Index) -> Ingester:
    return Ingester(index, ID_KEY, CUT_KEY, TAG_KEY)


@dataclass
class Sealed:
    """A sealed container in a file, open for reading."""

    name: bytes
    path: Path
    directory: Directory
    descriptor: int

    def close(self) -> None:
        os.close(self.descriptor)

    def item(self, ref: Ref, out_offset: int = 0) -> ReadItem:
        return ReadItem(self, ref.ordinal, ref.chunk_id, out_offset, ref.length)


def seal(writer: Writer, path: Path) -> Sealed:
    """Write what `writer` holds to `path` and open it."""
    name, data = writer.finish()
    path.write_bytes(data)
    data.release()
    return open_sealed(name, path)


def open_sealed(name: bytes, path: Path, container_key: bytes = CONTAINER_KEY) -> Sealed:
    data = path.read_bytes()
    offset = int.from_bytes(data[-TRAILER_BYTES:][:8], "little")
    directory = Directory(data[:64], data[offset:-TRAILER_BYTES], offset, container_key)
    return Sealed(name, path, directory, os.open(path, os.O_RDONLY))
