"""Reads exFAT. Follows Microsoft's "exFAT file system specification", 1.00."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from appliance.base.errors import IntegrityError
from appliance.browse.blocks import Volume
from appliance.browse.fat_chains import ChainedFilesystem, Chains, Geometry, Record
from appliance.browse.fat_times import exfat_time

_ENTRY = 32
_LABEL, _FILE, _STREAM, _NAME = 0x83, 0x85, 0xC0, 0xC1
_READ_ONLY, _DIRECTORY = 0x01, 0x10
_IN_ONE_PIECE = 0x02


class ExFat(ChainedFilesystem):
    """One exFAT filesystem."""

    def __init__(self, volume: Volume) -> None:
        """Raises IntegrityError if it is none."""
        raw = volume.read(0, 512)
        table, _, heap, clusters, root = struct.unpack_from("<IIIII", raw, 80)
        sector_log, cluster_log = raw[108], raw[109]
        if not 9 <= sector_log <= 12 or sector_log + cluster_log > 25:
            raise IntegrityError("an exFAT with impossible sizes")
        cluster_bytes = 1 << sector_log + cluster_log
        geometry = Geometry(table << sector_log, 32, heap << sector_log, cluster_bytes, clusters)
        super().__init__(volume, "exfat", Chains(volume, geometry), Record(True, root, 0, 0, False))
        self.label = self._read_label()

    def _read_label(self) -> str:
        for _, block in self.directory_blocks(self._root):
            for at in range(0, len(block), _ENTRY):
                if block[at] == 0:
                    return ""
                if block[at] == _LABEL:
                    text = block[at + 2 : at + 2 + min(block[at + 1], 11) * 2]
                    return text.decode("utf-16-le", "replace")
        return ""

    def parse_directory(
        self, blocks: Iterator[tuple[int, bytes]]
    ) -> Iterator[tuple[str, int, Record]]:
        """Name, place and record of each entry: a file, its stream, its name in parts."""
        entries = (
            (place + at, block[at : at + _ENTRY])
            for place, block in blocks
            for at in range(0, len(block) - _ENTRY + 1, _ENTRY)
        )
        for place, raw in entries:
            if raw[0] == 0:
                return
            if raw[0] != _FILE:
                continue
            parts = [part for _, (_, part) in zip(range(raw[1]), entries, strict=False)]
            if not parts or parts[0][0] != _STREAM:
                continue  # being made or removed when it was copied
            text = b"".join(part[2:] for part in parts[1:] if part[0] == _NAME)
            name = text[: parts[0][3] * 2].decode("utf-16-le", "surrogatepass")
            yield name, place, _parse_record(raw, parts[0])

    def read_record(self, place: int) -> Record:
        """The record of the entry at a place."""
        raw = self.volume.read(place, 2 * _ENTRY)
        if raw[0] != _FILE or raw[_ENTRY] != _STREAM:
            raise IntegrityError(f"there is no file at {place}")
        return _parse_record(raw[:_ENTRY], raw[_ENTRY:])


def _parse_record(raw: bytes, stream: bytes) -> Record:
    flags = struct.unpack_from("<H", raw, 4)[0]
    valid = struct.unpack_from("<Q", stream, 8)[0]
    first, size = struct.unpack_from("<IQ", stream, 20)
    return Record(
        *(bool(flags & _DIRECTORY), first, size, min(valid, size), bool(stream[1] & _IN_ONE_PIECE)),
        is_read_only=bool(flags & _READ_ONLY),
        created_ns=exfat_time(raw, 8, raw[20], raw[22]),
        changed_ns=exfat_time(raw, 12, raw[21], raw[23]),
        used_ns=exfat_time(raw, 16, 0, raw[24]),
    )
