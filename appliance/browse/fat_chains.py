"""What FAT and exFAT share: clusters in chains, and files numbered by where their entry lies."""

from __future__ import annotations

import stat
import struct
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.node import Extent, Node

_TABLE_PART = 12288  # a multiple of the width of every kind of entry
_PARTS_KEPT = 64
_FILES_KEPT = 1 << 16
_DIRECTORY_MAX_BYTES = 256 << 20


class Record(NamedTuple):
    """What a directory says of a file. Behind `valid_bytes` its content is zeros."""

    is_directory: bool
    first: int
    size_bytes: int
    valid_bytes: int
    is_in_one_piece: bool
    is_read_only: bool = False
    created_ns: int = 0
    changed_ns: int = 0
    used_ns: int = 0


class Geometry(NamedTuple):
    """Where the table is, how wide its entries, where cluster 2 is, how large and how many."""

    table: int
    bits: int
    heap: int
    cluster_bytes: int
    clusters: int


class Chains:
    """The allocation table: which cluster follows which."""

    def __init__(self, volume: Volume, geometry: Geometry) -> None:
        self._volume = volume
        self._table, self._bits, self._heap, self.cluster_bytes, self.clusters = geometry
        self._parts: OrderedDict[int, bytes] = OrderedDict()

    def place(self, cluster: int) -> int:
        """Where on the volume a cluster lies."""
        if not 2 <= cluster < self.clusters + 2:
            raise IntegrityError("a file has a cluster that does not exist")
        return self._heap + (cluster - 2) * self.cluster_bytes

    def follow(self, record: Record, length: int) -> Iterator[tuple[int, int]]:
        """Place and length of the joined clusters of a file of so many bytes."""
        count = -(-length // self.cluster_bytes)
        if count == 0:
            return
        if record.is_in_one_piece:
            self.place(record.first + count - 1)
            yield self.place(record.first), count * self.cluster_bytes
            return
        start, run, cluster, seen = record.first, 1, record.first, 1
        while seen < count:
            following = self._next(cluster)
            if not 2 <= following < self.clusters + 2:
                raise IntegrityError("a file ends too early")
            if following == cluster + 1:
                run += 1
            else:
                yield self.place(start), run * self.cluster_bytes
                start, run = following, 1
            cluster, seen = following, seen + 1
        self.place(cluster)
        yield self.place(start), run * self.cluster_bytes

    def walk(self, first: int) -> Iterator[int]:
        """The places of the clusters of a chain up to its end. A circle is an IntegrityError."""
        cluster, seen = first, 0
        while 2 <= cluster < self.clusters + 2:
            yield self.place(cluster)
            seen += 1
            if seen > self.clusters:
                raise IntegrityError("a chain of clusters is a circle")
            cluster = self._next(cluster)

    def _next(self, cluster: int) -> int:
        at = cluster * self._bits // 8
        number, within = divmod(at, _TABLE_PART)
        part = self._parts.get(number)
        if part is None:
            start = self._table + number * _TABLE_PART
            length = min(_TABLE_PART, self._volume.size_bytes - start)
            part = self._parts[number] = self._volume.read(start, length)
            if len(self._parts) > _PARTS_KEPT:
                self._parts.popitem(last=False)
        if self._bits == 32:
            return int(struct.unpack_from("<I", part, within)[0]) & 0x0FFFFFFF
        pair = int(struct.unpack_from("<H", part, within)[0])
        if self._bits == 16:
            return pair
        return pair >> 4 if cluster & 1 else pair & 0xFFF


class ChainedFilesystem(ABC):
    """A filesystem of this family. Its readers know how entries look."""

    is_case_blind = True
    root = 0
    note = ""
    label = ""

    def __init__(self, volume: Volume, kind: str, chains: Chains, root: Record) -> None:
        self.volume = volume
        self.kind = kind
        self._chains = chains
        self._root = root
        self._directories: dict[int, Record] = {}
        self._files: OrderedDict[int, Record] = OrderedDict()

    @abstractmethod
    def parse_directory(
        self, blocks: Iterator[tuple[int, bytes]]
    ) -> Iterator[tuple[str, int, Record]]:
        """Name, place and record of each entry."""

    @abstractmethod
    def read_record(self, place: int) -> Record:
        """The record of the entry at a place."""

    def directory_blocks(self, record: Record) -> Iterator[tuple[int, bytes]]:
        """Place and content of the clusters of a directory."""
        size, total = self._chains.cluster_bytes, 0
        if record.is_in_one_piece:
            places: Iterator[int] = iter(
                [
                    at
                    for start, length in self._chains.follow(record, record.size_bytes)
                    for at in range(start, start + length, size)
                ]
            )
        else:
            places = self._chains.walk(record.first)
        for place in places:
            total += size
            if total > _DIRECTORY_MAX_BYTES:
                raise IntegrityError("a directory is larger than any can be")
            yield place, self.volume.read(place, size)

    def _record(self, number: int) -> Record:
        if number == self.root:
            return self._root
        known = self._directories.get(number) or self._files.get(number)
        return known or self.read_record(number)

    # ---- what readers give ----

    def node(self, number: int) -> Node:
        """The file with this number."""
        record = self._record(number)
        rights = 0o755 if record.is_directory else 0o444 if record.is_read_only else 0o644
        kind = stat.S_IFDIR if record.is_directory else stat.S_IFREG
        return Node(
            *(number, kind | rights, 0, 0, 1),
            size_bytes=0 if record.is_directory else record.size_bytes,
            mtime_ns=record.changed_ns,
            atime_ns=record.used_ns,
            ctime_ns=record.changed_ns,
            birth_ns=record.created_ns,
        )

    def entries(self, number: int) -> Iterator[tuple[bytes, int]]:
        """Names and numbers in a directory."""
        record = self._record(number)
        if not record.is_directory:
            raise IntegrityError(f"file {number} is no directory")
        for name, place, below in self.parse_directory(self.directory_blocks(record)):
            if below.is_directory:
                self._directories[place] = below
            else:
                self._files[place] = below
                if len(self._files) > _FILES_KEPT:
                    self._files.popitem(last=False)
            yield name.encode("utf-8", "surrogatepass"), place

    def extents(self, number: int) -> Iterator[Extent] | None:
        """Where the content lies."""
        record = self._record(number)
        return self._extents(record)

    def _extents(self, record: Record) -> Iterator[Extent]:
        at, end = 0, record.valid_bytes
        for place, length in self._chains.follow(record, end):
            yield Extent(at, min(length, end - at), place)
            at += length

    def content(self, number: int) -> Iterator[bytes]:
        """Never asked for: all content has a place."""
        raise IntegrityError(f"file {number} has no content of its own")

    def link_target(self, number: int) -> bytes:
        """There are no links."""
        raise IntegrityError(f"file {number} is no link")

    def attributes(self, number: int) -> Mapping[str, bytes]:
        """There are none."""
        del number
        return {}
