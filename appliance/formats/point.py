"""Recovery points: docs/format/point.md.

Owns the manifest (JSON in one zstd frame) and the header of the file. It never encrypts:
`appliance.keys` puts the two together.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import datetime

import zstandard

from appliance.base.errors import IntegrityError, UsageError
from appliance.formats.fields import Fields
from appliance.formats.names import PointName, format_time, parse_machine_name, parse_time
from appliance.formats.page import ID_BYTES, Reference, extent_count, root_level

HEADER_BYTES = 32
SALT_BYTES = 16
MANIFEST_MAX_BYTES = 64 << 20
COMPLETE = "complete"
INCOMPLETE = "incomplete"
DISK_KINDS = ("image", "block")
Gap = tuple[int, int]
"""Offset and length in bytes of what could not be read."""

_FORMAT = 1
_HEADER = struct.Struct("<8sH6s16s")
_MAGIC = b"HFPOINT1"
_VERSION = 1


@dataclass(frozen=True)
class Disk:
    """One disk of a point. Without `root` all of it is zeros; a root names its container."""

    size_bytes: int
    level: int
    root: Reference | None
    source: str
    kind: str
    inconsistent: bool
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Manifest:
    """What a point says. `time` is UTC in whole seconds, the start of reading."""

    machine: str
    time: datetime
    disks: tuple[Disk, ...]
    new_bytes: int
    stored_bytes: int
    read_bytes: int
    seconds: float
    base: PointName | None
    program: str

    @property
    def name(self) -> PointName:
        """The point's name."""
        return PointName(self.machine, self.time)

    @property
    def state(self) -> str:
        """`complete`, or `incomplete` when a disk has gaps."""
        return INCOMPLETE if any(disk.gaps for disk in self.disks) else COMPLETE


def encode_manifest(manifest: Manifest) -> bytes:
    """The plaintext of a point's file: one zstd frame that states its content size."""
    text = json.dumps(
        {
            "format": _FORMAT,
            "machine": manifest.machine,
            "time": format_time(manifest.time),
            "state": manifest.state,
            "disks": [_describe_disk(disk) for disk in manifest.disks],
            "new_bytes": manifest.new_bytes,
            "stored_bytes": manifest.stored_bytes,
            "read_bytes": manifest.read_bytes,
            "seconds": manifest.seconds,
            "base": None if manifest.base is None else str(manifest.base),
            "program": manifest.program,
        },
        separators=(",", ":"),
        allow_nan=False,
    ).encode()
    if len(text) > MANIFEST_MAX_BYTES:
        raise IntegrityError(f"point {manifest.name}: its manifest is longer than 64 MiB")
    return zstandard.ZstdCompressor(level=9, write_content_size=True).compress(text)


def decode_manifest(data: bytes) -> Manifest:
    """Read what `encode_manifest` wrote.

    Raises IntegrityError for anything that the format does not allow, before memory is spent.
    """
    fields = Fields.parse(_decompress(data), "point", MANIFEST_MAX_BYTES)
    fields.integer("format", _FORMAT, _FORMAT)
    manifest = Manifest(
        machine=_read_machine(fields),
        time=_read_time(fields),
        disks=tuple(
            _read_disk(Fields(disk, f"point: disk {number}"))
            for number, disk in enumerate(fields.items("disks"))
        ),
        new_bytes=fields.integer("new_bytes"),
        stored_bytes=fields.integer("stored_bytes"),
        read_bytes=fields.integer("read_bytes"),
        seconds=fields.seconds("seconds"),
        base=_read_base(fields),
        program=fields.text("program"),
    )
    if fields.choice("state", (COMPLETE, INCOMPLETE)) != manifest.state:
        raise fields.fault("state", f"'{manifest.state}', as its gaps say")
    return manifest


def encode_header(salt: bytes) -> bytes:
    """The first 32 bytes of a point's file; `salt` is 16 random bytes."""
    if len(salt) != SALT_BYTES:
        raise IntegrityError(f"point: its salt has {len(salt)} bytes, not {SALT_BYTES}")
    return _HEADER.pack(_MAGIC, _VERSION, b"", salt)


def decode_header(data: bytes) -> bytes:
    """The salt that the first 32 bytes of `data` state; what follows is not looked at.

    Raises IntegrityError if no point's file begins so.
    """
    if len(data) < HEADER_BYTES:
        raise IntegrityError(f"point: {len(data)} bytes are too short")
    magic, version, zero, salt = _HEADER.unpack_from(data)
    if magic != _MAGIC or any(zero):
        raise IntegrityError("point: the header is not that of a point")
    if version != _VERSION:
        raise IntegrityError(f"point: version {version} is unknown")
    return bytes(salt)


def _describe_disk(disk: Disk) -> dict[str, object]:
    root = None
    if disk.root is not None:
        chunk_id, container, ordinal = disk.root
        if container is None:
            raise IntegrityError("point: a root page must name its container")
        root = {"id": chunk_id.hex(), "container": container.hex(), "ordinal": ordinal}
    return {
        "size_bytes": disk.size_bytes,
        "level": disk.level,
        "root": root,
        "source": disk.source,
        "kind": disk.kind,
        "inconsistent": disk.inconsistent,
        "gaps": disk.gaps,
    }


def _decompress(data: bytes) -> bytes:
    try:
        size_bytes = zstandard.frame_content_size(data)
        if not 0 <= size_bytes <= MANIFEST_MAX_BYTES:
            raise IntegrityError("point: its manifest states no size, or more than 64 MiB")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise IntegrityError("point: its manifest does not decompress") from error


def _read_machine(fields: Fields) -> str:
    machine = fields.text("machine")
    try:
        if parse_machine_name(machine) == machine:
            return machine
    except UsageError:
        pass
    raise fields.fault("machine", "the name of a machine")


def _read_time(fields: Fields) -> datetime:
    time = parse_time(fields.text("time"))
    if time is None:
        raise fields.fault("time", "a time")
    return time


def _read_base(fields: Fields) -> PointName | None:
    if fields.get("base") is None:
        return None
    try:
        return PointName.parse(fields.text("base"))
    except UsageError as error:
        raise fields.fault("base", "the name of a point") from error


def _read_disk(fields: Fields) -> Disk:
    size_bytes = fields.integer("size_bytes")
    level = root_level(extent_count(size_bytes))
    return Disk(
        size_bytes=size_bytes,
        level=fields.integer("level", level, level),
        root=None if fields.get("root") is None else _read_root(fields.fields("root")),
        source=fields.text("source"),
        kind=fields.choice("kind", DISK_KINDS),
        inconsistent=fields.boolean("inconsistent"),
        gaps=tuple(_read_gap(fields, gap, size_bytes) for gap in fields.items("gaps")),
    )


def _read_root(fields: Fields) -> Reference:
    return Reference(
        fields.hex("id", ID_BYTES),
        fields.hex("container", ID_BYTES),
        fields.integer("ordinal", 0, 0xFFFFFFFF),
    )


def _read_gap(fields: Fields, gap: object, size_bytes: int) -> Gap:
    match gap:
        case [int(offset), int(length)] if (
            not isinstance(offset, bool)
            and not isinstance(length, bool)
            and offset >= 0
            and 1 <= length <= size_bytes - offset
        ):
            return offset, length
    raise fields.fault("gaps", "a list of ranges within the disk")
