"""Verification: what is damaged, and which points it hurts. Changes nothing.

Depths: *structure* opens every directory and checks that everything referred to is there;
*ciphertext* also compares each container's bytes with its name (needs no key); *full* also decrypts
every chunk and recomputes its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.base.progress import Progress
from appliance.formats.page import EXTENT_BYTES, FANOUT, LeafPage, Reference
from appliance.formats.point import Disk, Manifest
from appliance.native import KIND_PAGE, Reader
from appliance.store.containers import check_name, list_names
from appliance.store.marking import LiveChunks, read_page, references
from appliance.store.points import PointFile
from appliance.store.store import Store

Depth = Literal["structure", "ciphertext", "full"]
# Ranges named per point; the count goes on.
HURT_RANGES_MAX = 20


@dataclass(frozen=True)
class Damage:
    """One damaged thing: a container or a point's file, and what is wrong with it."""

    what: str
    reason: str


@dataclass(frozen=True)
class Hurt:
    """What damage means for one point."""

    point: str
    hurt_bytes: int
    ranges: tuple[tuple[int, int, int], ...]
    """(disk, offset, length), the first HURT_RANGES_MAX."""


@dataclass(frozen=True)
class Report:
    """What a verification found. Sound means: nothing is damaged."""

    depth: Depth
    checked_containers: int
    checked_bytes: int
    checked_points: int
    damages: tuple[Damage, ...]
    hurts: tuple[Hurt, ...]
    points: tuple[str, ...]
    """Names of the points that were checked."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages and not self.hurts


class Verification:
    """One verification run."""

    def __init__(self, store: Store, progress: Progress, depth: Depth) -> None:
        self._store = store
        self._progress = progress
        self._depth = depth
        self._damages: list[Damage] = []
        self._bad: dict[bytes, set[bytes]] = {}

    def run(self, only: PointFile | None = None) -> Report:
        """Verify everything, or what one point needs."""
        index = self._store.load_index(self._progress)
        live = LiveChunks(self._store.chunks, self._store.containers, index, self._progress)
        manifests = self._read_points(only)
        self._progress.phase("following references", unit="items")
        for manifest in manifests:
            live.mark_point(manifest)
        names = sorted(live.containers()) if only else sorted(list_names(self._store.layout))
        sizes = {name: self._size_of(name) for name in names}
        self._progress.phase("reading containers", total=sum(sizes.values()))
        for name in names:
            self._check(name)
            self._progress.advance(sizes[name])
        lost = live.lost | self._lost_ids(names)
        hurts = self._hurts(manifests, lost) if lost else []
        if hurts:  # else what was lost belonged to points that were forgotten meanwhile
            self._name_last_seen(live.last_seen)
        return Report(
            depth=self._depth,
            checked_containers=len(names),
            checked_bytes=sum(sizes.values()),
            checked_points=len(manifests),
            damages=tuple(self._damages),
            hurts=tuple(hurts),
            points=tuple(str(manifest.name) for manifest in manifests),
        )

    def _read_points(self, only: PointFile | None) -> list[Manifest]:
        manifests = []
        for file in [only] if only else self._store.points.files():
            try:
                manifests.append(self._store.points.read(file))
            except NotFoundError:
                continue
            except HoldfastError as error:
                self._damages.append(Damage(f"point file {file.key}", str(error)))
        return manifests

    def _size_of(self, name: bytes) -> int:
        try:
            return self._store.layout.container(name).stat().st_size
        except FileNotFoundError:
            return 0

    # ---- containers ----

    def _check(self, name: bytes) -> None:
        try:
            container = self._store.containers.get(name)
            bad = self._bad_ordinals(name)
        except NotFoundError:
            return  # unlinked since it was listed, or referred to and lost: marking names that
        except HoldfastError as error:
            self._damages.append(Damage(f"container {name.hex()}", str(error)))
            return  # marking finds its chunks elsewhere or counts them as lost
        if bad:
            ids = container.directory.ids()
            self._bad[name] = {ids[ordinal] for ordinal in bad}

    def _name_last_seen(self, names: set[bytes]) -> None:
        """Say of the containers that should hold lost chunks what became of them."""
        told = {damage.what for damage in self._damages}
        for name in sorted(names):
            what = f"container {name.hex()}"
            if what in told:
                continue
            is_there = self._store.layout.container(name).exists()
            fault = "does not hold what points refer to" if is_there else "is missing"
            self._damages.append(Damage(what, f"{what} {fault}"))

    def _lost_ids(self, names: list[bytes]) -> set[bytes]:
        """Damaged chunks of which no container holds a sound copy."""
        lost: set[bytes] = set().union(*self._bad.values())
        for name in names if lost else []:
            try:
                ids = set(self._store.containers.get(name).directory.ids())
            except HoldfastError:
                continue
            lost -= ids - self._bad.get(name, set())
        return lost

    def _bad_ordinals(self, name: bytes) -> list[int]:
        container = self._store.containers.get(name)
        keys = self._store.keys
        is_page = container.directory.kind == KIND_PAGE
        id_key = keys.page_id_key if is_page else keys.chunk_id_key
        reason = ""
        if self._depth != "structure":
            try:
                check_name(self._store.layout, name)
            except IntegrityError as error:
                reason = str(error)
        bad: list[int] = []
        if self._depth == "full" or reason:
            bad = Reader().verify(container.directory, container.descriptor, id_key)
        if bad and not reason:
            reason = f"container {name.hex()}: {len(bad)} chunks do not authenticate"
        if reason:
            self._damages.append(Damage(f"container {name.hex()}", reason))
        return bad

    # ---- which points are hurt ----

    def _hurts(self, manifests: Iterable[Manifest], lost: set[bytes]) -> list[Hurt]:
        self._progress.phase("finding hurt points", unit="items")
        hurts = []
        for manifest in manifests:
            if not self._store.points.exists(manifest.name):
                continue  # forgotten since, and perhaps collected: that is no damage
            ranges = [
                (number, offset, length)
                for number, disk in enumerate(manifest.disks)
                for offset, length in self._hurt_ranges(disk, lost)
            ]
            if ranges:
                hurt_bytes = sum(length for _, _, length in ranges)
                hurts.append(Hurt(str(manifest.name), hurt_bytes, tuple(ranges[:HURT_RANGES_MAX])))
            self._progress.advance(1)
        return hurts

    def _hurt_ranges(self, disk: Disk, lost: set[bytes]) -> list[tuple[int, int]]:
        if disk.root is None:
            return []
        return merge(self._hurt_below(disk, disk.root, disk.level, 0, lost))

    def _hurt_below(
        self, disk: Disk, reference: Reference, level: int, number: int, lost: set[bytes]
    ) -> list[tuple[int, int]]:
        start = number * int(FANOUT**level) * EXTENT_BYTES
        whole = min(int(FANOUT**level) * EXTENT_BYTES, disk.size_bytes - start)
        if reference.chunk_id in lost:
            return [(start, whole)]
        try:
            page = read_page(self._store.chunks, disk, reference, level, number)
        except HoldfastError:
            return [(start, whole)]
        if isinstance(page, LeafPage):
            return _lost_pieces(page, start, lost)
        found = []
        for place, child in references(page, reference.container):
            found += self._hurt_below(disk, child, level - 1, number * FANOUT + place, lost)
        return found


def _lost_pieces(page: LeafPage, start: int, lost: set[bytes]) -> list[tuple[int, int]]:
    found = []
    for piece in page.pieces:
        if piece.reference is not None and piece.reference.chunk_id in lost:
            found.append((start, piece.length))
        start += piece.length
    return found


def merge(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch; they come in order."""
    merged: list[tuple[int, int]] = []
    for offset, length in ranges:
        if merged and sum(merged[-1]) == offset:
            merged[-1] = (merged[-1][0], merged[-1][1] + length)
        else:
            merged.append((offset, length))
    return merged
