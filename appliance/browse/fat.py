"""Reads FAT12, FAT16 and FAT32: the file allocation table and directories with long names.

Follows Microsoft's "FAT: General Overview of On-Disk Format", 1.03. What FAT and exFAT share is in
`fat_chains` and `fat_times`.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Iterator

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.fat_chains import ChainedFilesystem, Chains, Geometry, Record
from appliance.browse.fat_times import fat_time

_ENTRY = 32
_READ_ONLY, _LABEL, _DIRECTORY, _LONG = 0x01, 0x08, 0x10, 0x0F
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4085, 65525
_LOWER_STEM, _LOWER_EXTENSION = 0x08, 0x10
_DELETED = 0xE5
_CODE_PAGE = "cp437"
# Found now: later, when the process is confined, no module can be loaded.
codecs.lookup(_CODE_PAGE)
codecs.lookup("utf-16-le")


class Fat(ChainedFilesystem):
    """One FAT filesystem."""

    def __init__(self, volume: Volume) -> None:
        """Raises IntegrityError if it is none."""
        raw = volume.read(0, 512)
        sector, per_cluster, reserved, tables, entries = struct.unpack_from("<HBHBH", raw, 11)
        total = struct.unpack_from("<H", raw, 19)[0] or struct.unpack_from("<I", raw, 32)[0]
        table = struct.unpack_from("<H", raw, 22)[0]
        is_fat32 = table == 0
        if is_fat32:
            table = struct.unpack_from("<I", raw, 36)[0]
        if sector not in (512, 1024, 2048, 4096) or not per_cluster or not reserved or not tables:
            raise IntegrityError("a FAT with impossible sizes")
        self._root_at = (reserved + tables * table) * sector
        self._root_bytes = entries * _ENTRY
        heap = self._root_at + -(-self._root_bytes // sector) * sector
        clusters = (total * sector - heap) // (per_cluster * sector)
        bits = 32 if is_fat32 else 12 if clusters < _FAT12_CLUSTERS else 16
        if clusters < 0 or (bits == 16 and clusters >= _FAT16_CLUSTERS):
            raise IntegrityError("a FAT with an impossible number of clusters")
        geometry = Geometry(reserved * sector, bits, heap, per_cluster * sector, clusters)
        root = struct.unpack_from("<I", raw, 44)[0] if is_fat32 else 0
        super().__init__(
            volume, f"fat{bits}", Chains(volume, geometry), Record(True, root, 0, 0, False)
        )
        at = 71 if is_fat32 else 43
        self.label = raw[at : at + 11].decode(_CODE_PAGE).strip().replace("NO NAME", "")

    def directory_blocks(self, record: Record) -> Iterator[tuple[int, bytes]]:
        """Place and content of the parts of a directory."""
        if record.first == 0:  # the root of FAT12 and FAT16 lies before the clusters
            yield self._root_at, self.volume.read(self._root_at, self._root_bytes)
        else:
            yield from super().directory_blocks(record)

    def parse_directory(
        self, blocks: Iterator[tuple[int, bytes]]
    ) -> Iterator[tuple[str, int, Record]]:
        """Name, place and record of each entry."""
        long: dict[int, str] = {}
        checksum = -1
        for place, block in blocks:
            for at in range(0, len(block) - _ENTRY + 1, _ENTRY):
                raw = block[at : at + _ENTRY]
                if raw[0] == 0:
                    return
                if raw[0] == _DELETED:
                    long = {}
                elif raw[11] & 0x3F == _LONG:
                    if raw[0] & 0x40 or raw[13] != checksum:
                        long, checksum = {}, raw[13]
                    text = raw[1:11] + raw[14:26] + raw[28:32]
                    long[raw[0] & 0x1F] = text.decode("utf-16-le", "surrogatepass")
                else:
                    is_its = long and checksum == _checksum(raw[:11])
                    name = _joined(long) if is_its else _short_name(raw)
                    long = {}
                    if not raw[11] & _LABEL and name not in (".", ".."):
                        yield name, place + at, self.parse_record(raw)

    def parse_record(self, raw: bytes) -> Record:
        """The record in an entry."""
        high, low = struct.unpack_from("<H", raw, 20)[0], struct.unpack_from("<H", raw, 26)[0]
        created, created_on, used_on = struct.unpack_from("<HHH", raw, 14)
        changed, changed_on = struct.unpack_from("<HH", raw, 22)
        is_directory = bool(raw[11] & _DIRECTORY)
        size = 0 if is_directory else struct.unpack_from("<I", raw, 28)[0]
        return Record(
            *(is_directory, low | (high << 16 if self.kind == "fat32" else 0), size, size, False),
            is_read_only=bool(raw[11] & _READ_ONLY),
            created_ns=fat_time(created_on, created, raw[13]),
            changed_ns=fat_time(changed_on, changed),
            used_ns=fat_time(used_on, 0),
        )

    def read_record(self, place: int) -> Record:
        """The record of the entry at a place."""
        return self.parse_record(self.volume.read(place, _ENTRY))


def _joined(long: dict[int, str]) -> str:
    return "".join(long[number] for number in sorted(long)).split("\0", 1)[0]


def _short_name(raw: bytes) -> str:
    first = b"\xe5" if raw[0] == 0x05 else raw[:1]
    stem = (first + raw[1:8]).decode(_CODE_PAGE).rstrip(" ")
    extension = raw[8:11].decode(_CODE_PAGE).rstrip(" ")
    stem = stem.lower() if raw[12] & _LOWER_STEM else stem
    extension = extension.lower() if raw[12] & _LOWER_EXTENSION else extension
    return f"{stem}.{extension}" if extension else stem


def _checksum(name: bytes) -> int:
    total = 0
    for byte in name:
        total = ((total >> 1) + (total << 7 & 0x80) + byte) & 0xFF
    return total
