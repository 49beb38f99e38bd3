"""What damage means: which points, disks and byte ranges it hurts, container by container.

Walks the maps of points; of the store it changes nothing but what the index knows. A page that many
points share is walked once while it is sound. Memory: a bit per page, and a few ranges per hurt
point and damaged container.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.base.errors import HoldfastError, IntegrityError, NoSpaceError, NotFoundError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.formats.page import EXTENT_BYTES, FANOUT, LeafPage, Reference
from appliance.formats.point import Disk, Manifest
from appliance.store.anew import Missed
from appliance.store.checks import Fault
from appliance.store.containers import list_names
from appliance.store.extent_map import absolute
from appliance.store.layout import Layout
from appliance.store.marking import read_page, references
from appliance.store.points import PointFile
from appliance.store.store import Store

# Ranges named per point, and points named per container; the counts go on.
HURT_RANGES_MAX = 20
HURT_POINTS_MAX = 100
# Lost chunks of which another copy is looked for at once; 100 MiB of memory.
LOST_IDS_MAX = 1 << 20


class Loss(NamedTuple):
    """Bytes of a disk that no container gives, and the container that should."""

    disk: int
    offset: int
    length: int
    container: bytes


@dataclass
class Hurt:
    """What is lost of one point."""

    point: PointName
    hurt_bytes: int = 0
    ranges: list[tuple[int, int, int]] = field(default_factory=list)
    """(disk, offset, length) in order, the first HURT_RANGES_MAX."""

    def add(self, disk: int, offset: int, length: int) -> None:
        """Count bytes that follow those counted before."""
        self.hurt_bytes += length
        if self.ranges:
            last_disk, last_offset, last_length = self.ranges[-1]
            if (last_disk, last_offset + last_length) == (disk, offset):
                self.ranges[-1] = (disk, last_offset, last_length + length)
                return
        if len(self.ranges) < HURT_RANGES_MAX:
            self.ranges.append((disk, offset, length))


@dataclass
class Consequence:
    """What the damage of one container hurts."""

    hurt_points: int = 0
    hurts: list[Hurt] = field(default_factory=list)
    """The first HURT_POINTS_MAX."""


@dataclass
class Assessment:
    """Which points are hurt, and by what."""

    points: set[str] = field(default_factory=set)
    """Keys of the files that were walked."""
    names: list[str] = field(default_factory=list)
    """And the names of those points."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Keys of point files that cannot be read, and why."""
    hurts: dict[str, Hurt] = field(default_factory=dict)
    """By the key of the point's file."""
    consequences: dict[bytes, Consequence] = field(default_factory=dict)
    """By container: damaged ones, and ones that are missing."""
    elsewhere: set[bytes] = field(default_factory=set)
    """Containers that only the second copy has."""
    missed: dict[bytes, list[Missed]] = field(default_factory=dict)
    """Those of them that should be here, and what points need of each."""


class Impact:
    """Finds out what is lost, given which containers are known to be damaged."""

    def __init__(self, store: Store, faults: Mapping[bytes, Fault], progress: Progress) -> None:
        self._store = store
        self._faults = faults
        self._progress = progress
        self._index = store.load_index(progress)
        self._sound: dict[bytes, bytearray] = {}
        self._lost: set[bytes] = set()
        self._copies: dict[bytes, tuple[bytes, int]] = {}
        self._elsewhere: dict[bytes, bool] = {}
        self._missed: dict[bytes, list[Missed]] = {}
        self._missed_count = 0
        self._is_away = False

    def assess(self, files: Iterable[PointFile]) -> Assessment:
        """Walk the points in `files`; those that are gone by then are left out.

        What is lost at first is looked for in every container: the index knows one copy of each
        chunk, and that may be the damaged one.
        """
        self._progress.phase("following references", unit="items")
        assessment = self._walk(files)
        if self._lost and self._find_copies():
            hurt = [PointFile.parse(key) for key in assessment.hurts]
            again = self._walk(hurt)
            assessment.hurts, assessment.consequences = again.hurts, again.consequences
        assessment.elsewhere = {name for name, is_there in self._elsewhere.items() if is_there}
        assessment.missed = self._missed
        return assessment

    def containers_of(self, manifest: Manifest) -> set[bytes]:
        """The containers that a point names, present or not."""
        names: set[bytes] = set()
        for disk in manifest.disks:
            if disk.root is not None:
                self._gather(disk, disk.root, disk.level, 0, names)
        return names

    def _gather(
        self, disk: Disk, reference: Reference, level: int, number: int, names: set[bytes]
    ) -> None:
        assert reference.container is not None
        names.add(reference.container)
        try:
            page = read_page(self._store.chunks, disk, reference, level, number)
        except HoldfastError:
            return
        self._progress.advance(1)
        for place, child in references(page, reference.container):
            if level == 0:
                assert child.container is not None
                names.add(child.container)
            else:
                self._gather(disk, child, level - 1, number * FANOUT + place, names)

    # ---- points ----

    def _walk(self, files: Iterable[PointFile]) -> Assessment:
        assessment = Assessment()
        is_away = self._store.points.remote.is_away
        # A page is walked once: first for those points that should find it here.
        for file in sorted(files, key=lambda file: is_away(file.key)):
            self._is_away = is_away(file.key)
            try:
                manifest = self._store.points.read(file)
            except NotFoundError:
                continue
            except HoldfastError as error:
                assessment.unreadable[file.key] = str(error)
                continue
            self._add_point(assessment, file, manifest)
            assessment.points.add(file.key)
            assessment.names.append(str(manifest.name))
        return assessment

    def _add_point(self, assessment: Assessment, file: PointFile, manifest: Manifest) -> None:
        whole = Hurt(manifest.name)
        parts: dict[bytes, Hurt] = {}
        for number, disk in enumerate(manifest.disks):
            for loss in self._losses_of(number, disk):
                part = parts.setdefault(loss.container, Hurt(manifest.name))
                for hurt in (whole, part):
                    hurt.add(loss.disk, loss.offset, loss.length)
        if not parts or not self._store.points.exists(manifest.name):
            return  # forgotten since, and perhaps collected: that is no damage
        assessment.hurts[file.key] = whole
        for container, part in parts.items():
            consequence = assessment.consequences.setdefault(container, Consequence())
            consequence.hurt_points += 1
            if len(consequence.hurts) < HURT_POINTS_MAX:
                consequence.hurts.append(part)

    def _losses_of(self, number: int, disk: Disk) -> Iterator[Loss]:
        if disk.root is not None:
            for offset, length, container in self._losses(disk, disk.root, disk.level, 0):
                yield Loss(number, offset, length, container)

    # ---- pages; (offset, length, container) of what is lost below ----

    def _losses(
        self, disk: Disk, reference: Reference, level: int, number: int
    ) -> Iterator[tuple[int, int, bytes]]:
        assert reference.container is not None
        start = number * int(FANOUT**level) * EXTENT_BYTES
        whole = min(int(FANOUT**level) * EXTENT_BYTES, disk.size_bytes - start)
        found = self._find(reference, is_page=True)
        if found is None:
            yield start, whole, reference.container
            return
        if self._is_sound(*found):
            return
        try:
            page = read_page(self._store.chunks, disk, reference, level, number)
        except HoldfastError:
            self._note_lost(reference)
            yield start, whole, reference.container
            return
        self._progress.advance(1)
        is_sound = True
        if isinstance(page, LeafPage):
            below = self._lost_pieces(page, start, found[0])
        else:
            below = (
                loss
                for place, child in references(page, found[0])
                for loss in self._losses(disk, child, level - 1, number * FANOUT + place)
            )
        for loss in below:
            is_sound = False
            yield loss
        if is_sound:
            self._note_sound(*found)

    def _lost_pieces(
        self, page: LeafPage, start: int, container: bytes
    ) -> Iterator[tuple[int, int, bytes]]:
        for piece in page.pieces:
            if piece.reference is not None:
                reference = absolute(piece.reference, container)
                if self._find(reference, is_page=False) is None:
                    assert reference.container is not None
                    yield start, piece.length, reference.container
            start += piece.length

    def _is_sound(self, container: bytes, ordinal: int) -> bool:
        bits = self._sound.get(container)
        if bits is None or ordinal // 8 >= len(bits):
            return False
        return bool(bits[ordinal // 8] & (1 << ordinal % 8))

    def _note_sound(self, container: bytes, ordinal: int) -> None:
        bits = self._sound.get(container)
        if bits is None:
            bits = self._sound[container] = bytearray()
        bits.extend(bytes(max(0, ordinal // 8 + 1 - len(bits))))
        bits[ordinal // 8] |= 1 << ordinal % 8

    # ---- chunks ----

    def _find(self, reference: Reference, *, is_page: bool) -> tuple[bytes, int] | None:
        """(container, ordinal) of a copy that is not known to be damaged, or None."""
        assert reference.container is not None
        found = self._locate(reference.container, reference.ordinal, reference.chunk_id)
        if found is None:
            found = self._find_by_index(reference.chunk_id)
        if found is None:
            found = self._copies.get(reference.chunk_id)
        if found is None and not self._index.is_current():
            # A backup or a collection may have moved what is looked for.
            self._index = self._store.load_index(self._progress)
            found = self._find_by_index(reference.chunk_id)
        if found is None and self._is_elsewhere(reference):
            found = reference.container, reference.ordinal
            self._note_missed(reference, is_page=is_page)
        if found is None:
            self._note_lost(reference)
        return found

    def _is_elsewhere(self, reference: Reference) -> bool:
        place = self._store.second_copy.locate(reference.chunk_id)
        name = reference.container if place is None else place[0]
        assert name is not None
        if name not in self._elsewhere:
            self._elsewhere[name] = self._store.second_copy.has(name)
        return self._elsewhere[name]

    def _note_missed(self, reference: Reference, *, is_page: bool) -> None:
        assert reference.container is not None
        if not self._is_away and self._missed_count < LOST_IDS_MAX:
            self._missed_count += 1
            self._missed.setdefault(reference.container, []).append(Missed(reference, is_page))

    def _find_by_index(self, chunk_id: bytes) -> tuple[bytes, int] | None:
        known = self._index.find(chunk_id)
        return None if known is None else self._locate(*known, chunk_id)

    def _locate(self, name: bytes, ordinal: int, chunk_id: bytes) -> tuple[bytes, int] | None:
        try:
            location = self._store.containers.get(name).directory.locate(chunk_id, ordinal)
        except (IntegrityError, NotFoundError):
            return None
        if location is None:
            return None
        fault = self._faults.get(name)
        if fault is not None and fault.spoils(location.ordinal):
            return None
        return name, location.ordinal

    def _note_lost(self, reference: Reference) -> None:
        if len(self._lost) < LOST_IDS_MAX:
            self._lost.add(reference.chunk_id)

    def _find_copies(self) -> bool:
        """Look for lost chunks in every container, and tell the index of what it did not know."""
        self._progress.phase("looking for copies", unit="items")
        for name in list_names(self._store.layout):
            self._progress.advance(1)
            try:
                ids = self._store.containers.get(name).directory.ids()
            except HoldfastError:
                continue
            for ordinal, chunk_id in enumerate(ids):
                if chunk_id in self._lost and self._locate(name, ordinal, chunk_id) is not None:
                    self._copies[chunk_id] = (name, ordinal)
                    if self._index.find(chunk_id) is None:
                        slot = self._index.native.slot_of(name)
                        self._index.native.claim(chunk_id, slot, ordinal)
        self._lost.clear()
        with contextlib.suppress(NoSpaceError):
            self._index.spill()
        return bool(self._copies)


def fate_of(layout: Layout, container: bytes) -> str:
    """What became of a container that should give what is lost, where no check named it."""
    is_there = layout.container(container).exists()
    fate = "does not hold what points refer to" if is_there else "is missing"
    return f"container {container.hex()} {fate}"
