"""Freeing what nothing refers to, beside backups, restores, mounts and boots.

1. Note which containers exist. Later ones are not candidates.
2. Mark from all points, and from forgotten ones that stay in the trash or that readers pin.
3. Under the commit lock: mark the points made meanwhile, make the condemned list durable.
4. If no backup is left that began before the list: unlink what is condemned, forget it in the
   index, clear the list. Otherwise the next collection does it.

A kill at any moment leaves at most garbage, or a list that the next collection works off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.base.clock import Clock
from appliance.base.errors import IntegrityError, NotFoundError
from appliance.base.locks import FileLock
from appliance.base.progress import Progress
from appliance.formats.names import format_time
from appliance.formats.point import Manifest
from appliance.store.condemned import commit_lock, read_condemned, write_condemned
from appliance.store.containers import list_names
from appliance.store.leases import living
from appliance.store.marking import LiveChunks
from appliance.store.points import SUFFIX, PointFile
from appliance.store.store import Store


@dataclass(frozen=True)
class Collected:
    """What a collection did. `waiting_bytes` are freed by a later one, when backups have ended."""

    freed_bytes: int
    freed_containers: int
    waiting_bytes: int


class Collection:
    """One collection. Only one at a time per store: a second raises BusyError."""

    def __init__(self, store: Store, clock: Clock, progress: Progress) -> None:
        self._store = store
        self._layout = store.layout
        self._clock = clock
        self._progress = progress
        self._seen: set[str] = set()
        self._damaged: list[str] = []

    def run(self) -> Collected:
        """Free what can be freed; durable on return.

        Raises IntegrityError, having freed nothing, when it is unknown what a damaged point needs.
        """
        busy = "another collection is running: wait until it has ended"
        with FileLock(self._layout.locks / "collect", wait=False, busy=busy):
            self._layout.release_reserve()
            try:
                return self._run()
            finally:
                self._layout.refill_reserve()

    def _run(self) -> Collected:
        candidates = list(list_names(self._layout))
        # Read after the listing: whoever sealed what is listed had written a note before.
        since_ns = self._store.points.backup_notes.spared_since_ns()
        candidates = [name for name in candidates if not self._is_spared(name, since_ns)]
        index = self._store.load_index(self._progress)
        live = LiveChunks(self._store.chunks, self._store.containers, index, self._progress)
        self._progress.phase("marking", unit="items")
        self._mark_points(live)
        self._mark_pinned(live)
        self._refuse_if_unsure(live)
        with commit_lock(self._layout):
            # Nothing is made or forgotten now. A point made since and forgotten again is in the
            # trash, and whoever reads it had pinned it before that.
            self._mark_points(live)
            self._mark_pinned(live)
            self._refuse_if_unsure(live)
            now = format_time(self._clock.now().replace(microsecond=0))
            condemned = dict.fromkeys(candidates, now) | read_condemned(self._layout)
            condemned = {
                name: since for name, since in condemned.items() if not live.has_live(name)
            }
            write_condemned(self._layout, condemned)
            self._purge_trash()
        return self._unlink()

    def _refuse_if_unsure(self, live: LiveChunks) -> None:
        if self._damaged or live.lost_pages:
            raise IntegrityError(
                f"nothing was freed, because what damaged points need is unknown "
                f"({len(self._damaged)} point files, {len(live.lost_pages)} pages): "
                "run 'holdfast verify', then forget the damaged points with --now"
            )

    # ---- marking ----

    def _mark_points(self, live: LiveChunks) -> None:
        """Mark every point that was not marked yet."""
        for file in self._store.points.files():
            if file.key in self._seen:
                continue
            self._seen.add(file.key)
            try:
                live.mark_point(self._store.points.read(file))
            except NotFoundError:
                continue
            except IntegrityError:
                self._damaged.append(file.key)

    def _mark_pinned(self, live: LiveChunks) -> None:
        """Mark forgotten points that can be brought back, or that a living process reads.

        Points were listed before leases are read here: one that was forgotten in between is
        marked already, one that was forgotten earlier had to be pinned before that.
        """
        for manifest in self._pinned():
            live.mark_point(manifest)

    def _pinned(self) -> Iterator[Manifest]:
        for file in self._pinned_files():
            try:
                yield self._store.points.read_path(self._store.points.trashed(file), file)
            except NotFoundError:
                continue
            except IntegrityError:
                self._damaged.append(file.key)

    def _pinned_files(self) -> set[PointFile]:
        pins = {pin for _, lease in living(self._layout.leases) for pin in lease.pins}
        parted = (pin.removesuffix(SUFFIX).partition("/") for pin in pins)
        pinned = {PointFile(folder, stem) for folder, _, stem in parted}
        return pinned | {PointFile.from_label(label) for label in self._store.points.trash.kept()}

    def _is_spared(self, name: bytes, since_ns: int | None) -> bool:
        """Whether an interrupted backup may have made this container, and the next can use it."""
        if since_ns is None:
            return False
        try:
            return self._layout.container(name).stat().st_mtime_ns >= since_ns
        except FileNotFoundError:
            return False

    # ---- unlinking ----

    def _purge_trash(self) -> None:
        self._store.points.trash.purge({file.label for file in self._pinned_files()})

    def _unlink(self) -> Collected:
        with commit_lock(self._layout):
            condemned = read_condemned(self._layout)
            sizes = {name: self._size_of(name) for name in condemned}
            if any(lease.kind == "writer" for _, lease in living(self._layout.leases)):
                return Collected(0, 0, sum(sizes.values()))
            self._progress.phase("freeing", total=len(condemned), unit="items")
            for name in condemned:
                self._layout.container(name).unlink(missing_ok=True)
                self._progress.advance(1)
            if condemned:
                self._store.load_index().drop(set(condemned))
                write_condemned(self._layout, {})
        return Collected(sum(sizes.values()), len(condemned), 0)

    def _size_of(self, name: bytes) -> int:
        try:
            return self._layout.container(name).stat().st_size
        except FileNotFoundError:
            return 0
