"""Freeing what nothing refers to, beside backups, restores, mounts and boots.

1. Note which containers exist. Later ones are not candidates.
2. Mark from all points, and from forgotten ones that stay in the trash or that readers pin.
3. Under the commit lock: mark the points made meanwhile, make the condemned list durable. Unlink
   what no backup is left for that began before it was condemned, forget it in the index. What has
   to wait the next collection frees.
4. What is alive in containers that hold little of it is copied into new ones, in rounds of bounded
   size; each ends with step 3. A container of which something came alive since is not condemned.

A kill at any moment leaves at most garbage, chunks that lie in two containers, or a list that the
next collection works off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError, IntegrityError, NotFoundError
from appliance.base.locks import FileLock
from appliance.base.pace import Pace
from appliance.base.progress import Progress
from appliance.formats.names import format_time
from appliance.formats.point import Manifest
from appliance.native import KIND_DATA
from appliance.store.chunk_index import ChunkIndex
from appliance.store.condemned import Sentence, commit_lock, read_condemned, write_condemned
from appliance.store.containers import Container, list_names
from appliance.store.ingest import COMPRESSION_LEVEL
from appliance.store.leases import living, writer_lease
from appliance.store.marking import LiveChunks
from appliance.store.points import SUFFIX, PointFile
from appliance.store.rewrite import Rewrite, Share
from appliance.store.store import Store

# What one round copies before it frees: so much room a collection needs.
ROUND_BYTES = 1 << 30


@dataclass(frozen=True)
class Collected:
    """What a collection did. `waiting_bytes` are freed by a later one, when backups have ended.

    `copied_bytes` were written anew: what came back is `freed_bytes` less these.
    """

    freed_bytes: int
    freed_containers: int
    waiting_bytes: int
    copied_bytes: int = 0

    def then(self, later: Collected) -> Collected:
        """This round and a later one of the same collection."""
        return Collected(
            self.freed_bytes + later.freed_bytes,
            self.freed_containers + later.freed_containers,
            later.waiting_bytes,
            self.copied_bytes + later.copied_bytes,
        )


@dataclass(frozen=True)
class Rewriting:
    """Which containers are rewritten although something in them is alive, and how."""

    thin_percent: float = 50.0
    """Those of whose bytes less than so much is alive."""
    below_level: int = 0
    """Those of data that were compressed at a lower level than this."""
    level: int = COMPRESSION_LEVEL
    """The zstd level of what is written."""
    bytes_per_s: float | None = None
    """No faster than this; None: as fast as it goes."""


DEFAULT_REWRITING = Rewriting()


def rounds(due: list[Share]) -> Iterator[list[Share]]:
    """The shares in groups of about ROUND_BYTES, in order."""
    shares: list[Share] = []
    for share in due:
        shares.append(share)
        if sum(share.size_bytes for share in shares) >= ROUND_BYTES:
            yield shares
            shares = []
    if shares:
        yield shares


class Collection:
    """One collection. Only one at a time per store: a second raises BusyError."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        progress: Progress,
        rewriting: Rewriting = DEFAULT_REWRITING,
    ) -> None:
        self._rewriting = rewriting
        self._pace = Pace(clock, rewriting.bytes_per_s)
        self._store = store
        self._layout = store.layout
        self._clock = clock
        self._progress = progress
        self._seen: set[str] = set()
        self._damaged: list[str] = []
        # Container -> what of it was alive when that was copied.
        self._copied: dict[bytes, bytes] = {}

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
        live = LiveChunks(
            self._layout,
            self._store.chunks,
            self._store.containers,
            index,
            self._progress,
            second_copy=self._store.second_copy,
        )
        self._progress.phase("marking", unit="items")
        self._mark_points(live)
        self._mark_pinned(live)
        self._refuse_if_unsure(live)
        garbage = [name for name in candidates if not live.has_live(name)]
        collected = self._end_round(live, garbage)
        due = self._due(live, candidates)
        if due:
            index = self._index_without([*garbage, *(share.name for share in due)])
            self._progress.phase("copying", total=sum(share.size_bytes for share in due))
        for shares in rounds(due):
            # Old copies that have to wait for a backup must not fill the disk together with new.
            size_bytes = sum(share.size_bytes for share in shares)
            if collected.waiting_bytes > ROUND_BYTES or not self._layout.has_room(size_bytes):
                break
            collected = collected.then(self._copy(index, live, shares))
        return collected

    def _index_without(self, names: list[bytes]) -> ChunkIndex:
        """An index in which what lies in these containers counts as new."""
        index = self._store.load_index(self._progress)
        for name in names:
            index.native.kill_slot(index.native.slot_of(name))
        return index

    def _end_round(self, live: LiveChunks, garbage: list[bytes]) -> Collected:
        """Condemn what is garbage still, and what was copied and is alive as it was then."""
        with commit_lock(self._layout):
            # Nothing is made or forgotten now. A point made since and forgotten again is in the
            # trash, and whoever reads it had pinned it before that.
            self._mark_points(live)
            self._mark_pinned(live)
            self._refuse_if_unsure(live)
            now = format_time(self._clock.now().replace(microsecond=0))
            fresh = dict.fromkeys([*garbage, *self._copied], Sentence(now, None))
            condemned = {
                name: sentence
                for name, sentence in (fresh | read_condemned(self._layout)).items()
                if not live.has_live(name)
                or (live.is_marked(name) and live.bits(name) == self._copied.get(name))
            }
            write_condemned(self._layout, condemned)
            self._purge_trash()
        return self._unlink()

    # ---- copying forward ----

    def _due(self, live: LiveChunks, candidates: list[bytes]) -> list[Share]:
        """Containers to rewrite, those that free most for the least copying first."""
        found: list[tuple[float, Share]] = []
        for name in candidates:
            if not live.is_marked(name):
                continue
            try:
                container = Container(self._layout, self._store.keys, name)
            except HoldfastError:
                continue
            directory = container.directory
            lengths = directory.lengths()
            percent = 100 * live.live_bytes(name, lengths) / sum(lengths)
            is_weak = directory.kind == KIND_DATA and directory.level < self._rewriting.below_level
            if percent < self._rewriting.thin_percent or is_weak:
                share = Share(name, container.size_bytes, partial(live.is_live, name))
                found.append((percent, share))
            container.close()
        return [share for _, share in sorted(found, key=lambda one: (one[0], one[1].name))]

    def _copy(self, index: ChunkIndex, live: LiveChunks, shares: list[Share]) -> Collected:
        alive = {share.name: live.bits(share.name) for share in shares}
        rewrite = Rewrite(self._store, index, self._rewriting.level, self._pace, self._progress)
        with writer_lease(self._layout):  # nobody clears away what is half written
            copied = rewrite.run(shares)
        # Another process merges the index: believe it only when it finds what was copied.
        index = self._index_without([*self._copied, *copied.names])
        self._copied |= {
            name: alive[name] for name in copied.names if self._finds_all(index, live, name)
        }
        return replace(self._end_round(live, []), copied_bytes=copied.stored_bytes)

    def _finds_all(self, index: ChunkIndex, live: LiveChunks, name: bytes) -> bool:
        try:
            ids = self._store.containers.get(name).directory.ids()
        except HoldfastError:
            return False
        alive = (chunk_id for ordinal, chunk_id in enumerate(ids) if live.is_live(name, ordinal))
        return all(index.find(chunk_id) is not None for chunk_id in alive)

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
            writers = frozenset(
                name for name, lease in living(self._layout.leases) if lease.kind == "writer"
            )
            waiting = {
                name: Sentence(since, writers if seen is None else seen & writers)
                for name, (since, seen) in condemned.items()
            }
            waiting = {name: sentence for name, sentence in waiting.items() if sentence.writers}
            gone = [name for name in condemned if name not in waiting]
            sizes = {name: self._size_of(name) for name in condemned}
            self._progress.phase("freeing", total=len(gone), unit="items")
            for name in gone:
                self._layout.container(name).unlink(missing_ok=True)
                self._store.containers.drop(name)
                self._progress.advance(1)
            if gone:
                self._store.load_index().drop(set(gone))
            if waiting != condemned:
                write_condemned(self._layout, waiting)
        return Collected(
            sum(sizes[name] for name in gone), len(gone), sum(sizes[name] for name in waiting)
        )

    def _size_of(self, name: bytes) -> int:
        try:
            return self._layout.container(name).stat().st_size
        except FileNotFoundError:
            return 0
