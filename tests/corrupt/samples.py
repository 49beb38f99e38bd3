"""A small store of two machines, copied for each damage, and what is where in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from Crypto.Cipher import AES

from appliance.formats.names import PointName
from appliance.formats.page import EXTENT_BYTES, FANOUT, LeafPage, Reference
from appliance.formats.point import Disk
from appliance.store.containers import Container, list_names
from appliance.store.marking import read_page, references
from appliance.store.store import Store
from tests.command import Holdfast
from tests.crash.operations import back_up, open_store
from tests.images import edited, mixed_image, write_image

Range = tuple[int, int]


@dataclass
class Sample:
    """The store before any damage."""

    state: Path
    images: dict[PointName, bytes] = field(default_factory=dict)
    ranges: dict[bytes, dict[PointName, list[Range]]] = field(default_factory=dict)
    """Chunk or page -> the bytes of each point that are lost with it."""

    def copy(self, state: Path) -> Store:
        """A copy to damage, opened."""
        shutil.copytree(self.state, state)
        return open_store(state)

    def container(self, kind: int, place: int = 0) -> bytes:
        """A container of a kind: the largest, or one after it."""
        store = open_store(self.state)
        found = [
            container
            for container in map(store.containers.get, list_names(store.layout))
            if container.directory.kind == kind
        ]
        return sorted(found, key=lambda one: (-one.size_bytes, one.name))[place].name

    def lost_with(self, ids: set[bytes]) -> dict[PointName, list[Range]]:
        """The bytes of each point that are lost when these chunks and pages are, merged."""
        lost: dict[PointName, list[Range]] = {}
        for chunk_id in ids:
            for name, ranges in self.ranges.get(chunk_id, {}).items():
                lost.setdefault(name, []).extend(ranges)
        return {name: merge(ranges) for name, ranges in lost.items()}


def merge(ranges: list[Range]) -> list[Range]:
    """Sorted, disjoint, not touching."""
    merged: list[Range] = []
    for start, length in sorted(ranges):
        if merged and start <= sum(merged[-1]):
            end = max(sum(merged[-1]), start + length)
            merged[-1] = (merged[-1][0], end - merged[-1][0])
        else:
            merged.append((start, length))
    return merged


def make_sample(folder: Path, seed: int) -> Sample:
    """Two generations of `m`, and `other`, which shares nothing with it."""
    sample = Sample(folder / "state")
    Holdfast(sample.state)("init", "--recovery-out", folder / "key", expect=0)
    first = mixed_image(seed, 6)
    for machine, image in [
        ("m", first),
        ("m", edited(seed, first, edits=3)),
        ("other", mixed_image(seed + 1, 5)),
    ]:
        path = write_image(folder / "disk.raw", image)
        base = max((name for name in sample.images if name.machine == machine), default=None)
        sample.images[back_up(sample.state, path, machine, base=base).name] = bytes(image)
    (sample.state / "store" / "reserve").unlink()
    store = open_store(sample.state)
    for name in sample.images:
        (disk,) = store.points.open(name).disks
        assert disk.root is not None
        for chunk_id, lost in reachable(store, disk, disk.root, disk.level, 0):
            sample.ranges.setdefault(chunk_id, {}).setdefault(name, []).append(lost)
    return sample


def reachable(
    store: Store, disk: Disk, reference: Reference, level: int, number: int
) -> Iterator[tuple[bytes, Range]]:
    """Every page and chunk below a page, with the bytes that are lost with it."""
    start = number * int(FANOUT**level) * EXTENT_BYTES
    whole = min(int(FANOUT**level) * EXTENT_BYTES, disk.size_bytes - start)
    yield reference.chunk_id, (start, whole)
    page = read_page(store.chunks, disk, reference, level, number)
    if isinstance(page, LeafPage):
        for piece in page.pieces:
            if piece.reference is not None:
                yield piece.reference.chunk_id, (start, piece.length)
            start += piece.length
        return
    for place, child in references(page, reference.container):
        yield from reachable(store, disk, child, level - 1, number * FANOUT + place)


@dataclass(frozen=True)
class Anatomy:
    """Where things lie in one container, read as docs/format/container.md says."""

    ids: tuple[bytes, ...]
    frames: tuple[tuple[int, int, int, int], ...]
    """(offset, stored length, first chunk, chunk count)"""
    directory: int
    size_bytes: int

    def ids_of(self, frame: int) -> set[bytes]:
        _, _, first, count = self.frames[frame]
        return set(self.ids[first : first + count])


def dissect(store: Store, name: bytes) -> Anatomy:
    data = store.layout.container(name).read_bytes()
    directory = int.from_bytes(data[-32:-24], "little")
    sealed = data[directory:-32]
    gcm = AES.new(store.keys.container_key(data[16:32]), AES.MODE_GCM, nonce=b"\xff" * 12)
    gcm.update(data[:64] + b"HFDIR001" + directory.to_bytes(8, "little"))
    plain = gcm.decrypt_and_verify(sealed[:-16], sealed[-16:])
    frame_count, chunk_count = (int.from_bytes(plain[at : at + 4], "little") for at in (0, 4))
    frames = []
    for number in range(frame_count):
        entry = plain[16 + 24 * number : 40 + 24 * number]
        offset, stored, first = (int.from_bytes(entry[i : i + 4], "little") for i in (0, 4, 12))
        frames.append((offset, stored, first, int.from_bytes(entry[16:18], "little")))
    at = 16 + 24 * frame_count
    ids = tuple(plain[at + 32 * i : at + 32 * i + 32] for i in range(chunk_count))
    assert ids == tuple(Container(store.layout, store.keys, name).directory.ids())
    return Anatomy(ids, tuple(frames), directory, len(data))
