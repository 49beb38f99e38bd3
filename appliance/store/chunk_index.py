"""The chunk index on the disk: loads, heals, adds to and merges runs (docs/format/index.md).

Derived data, healed at every start: a folder of containers that changed since it was last compared
is listed again, and what no run knows is learned from its directory; when `current.json`, a run or
the list of what is gone is missing or malformed, all folders count as changed. Several processes
may use and extend the index at once: a run is never changed, and the list of runs changes under a
lock.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from appliance.base import clock, durable
from appliance.base.errors import HoldfastError, IntegrityError, NoSpaceError
from appliance.base.locks import FileLock
from appliance.base.progress import Progress
from appliance.native import Index
from appliance.store.condemned import read_condemned
from appliance.store.containers import Container, ContainerKeys, container_name
from appliance.store.index_files import IndexFiles, Listing
from appliance.store.layout import Layout

# A memory table of this many entries (24 MiB) is spilled to a run before it has to double.
PENDING_MAX_ENTRIES = 600_000
# A folder that changed less than this ago may change again within the same timestamp.
_SETTLED_NS = 2_000_000_000
# Containers that are gone are left out when runs are merged. When one in so many of those that the
# runs name is gone, all runs are merged: each that goes has then paid for as many that stay.
_GONE_SHARE = 8
# Directories are read at once: disks do several seeks better than one after the other.
_LEARNERS = 4
_BATCH = 16 * _LEARNERS


class ChunkIndex:
    """Where every chunk of the store is. Look-ups are thread-safe; one thread spills."""

    def __init__(self, layout: Layout, keys: ContainerKeys, progress: Progress) -> None:
        """Load the index, learning what is missing."""
        self._layout = layout
        self._keys = keys
        self._files = IndexFiles(layout.index)
        self._listing = Listing()
        self.native = Index()
        with self._lock():
            try:
                self._open(progress)
            except IntegrityError:  # a run was found damaged while it was merged
                self._unlist_damaged()
                self._open(progress)
            self._version = self._files.version()
        self._loaded_runs = len(self._listing.runs)

    def name_of(self, slot: int) -> bytes | None:
        """The container of a slot, or None while it is open."""
        return self.native.slot_name(slot)

    def find(self, chunk_id: bytes) -> tuple[bytes, int] | None:
        """(container, ordinal) of a chunk in a sealed container, or None."""
        found = self.native.find(chunk_id)
        if found is None:
            return None
        name = self.native.slot_name(found[0])
        return None if name is None else (name, found[1])

    def is_current(self) -> bool:
        """Whether nobody changed the files since this was loaded."""
        return self._version == self._files.version()

    def spill_if_large(self) -> None:
        """Keep memory bounded during a long backup."""
        if self.native.pending() >= PENDING_MAX_ENTRIES:
            self.spill()

    def spill(self) -> None:
        """Move what was learned since the last time into a run, durably, for all processes."""
        if self.native.pending() == 0 and not self._damaged():
            return
        first = self._first_to_merge(self._loaded_runs)
        with self._lock():
            try:
                name = self._write_run(first)
            except IntegrityError:
                self._unlist_damaged()  # memory serves on, and the next start learns it again
                return
            runs = self._listing.runs
            merged = set(runs[first:])
            self._listing.runs = [*runs[:first], name]
            # Others may have changed the list.
            listed = self._files.read()
            listed.runs = [run for run in listed.runs if run not in merged]
            listed.runs.append(name)
            self._files.write(listed)
            self._files.remove_runs(merged)
            self._unlist_damaged()

    def drop(self, names: set[bytes]) -> None:
        """Forget containers that are gone, durably."""
        with self._lock():
            gone = self._load()
            known = {name for name in names if self.native.knows(name)}
            self._kill(gone | known)
            if known - gone:
                self._listing.gone = self._files.write_gone(gone | known)
                self._files.write(self._listing)
            self._compact(len(gone | known))

    # ---- files; the caller holds the lock ----

    def _lock(self) -> FileLock:
        if not self._layout.index.is_dir():
            durable.make_directory(self._layout.index)
        return FileLock(self._layout.locks / "index")

    def _open(self, progress: Progress) -> None:
        gone = self._load()
        try:
            gone = self._catch_up(gone, progress)
            self._compact(len(gone))
        except NoSpaceError:
            self._listing.folders = {}  # it serves from memory; the next start tries again

    def _load(self) -> set[bytes]:
        """Map the runs that can be; gives the containers that they name though they are gone."""
        self.native = Index()
        self._listing = self._files.read()
        listed, self._listing.runs = self._listing.runs, []
        gone: set[bytes] = set()
        for name in listed:
            try:
                self._files.use_run(name, self.native.add_run)
                self._listing.runs.append(name)
            except (OSError, ValueError, HoldfastError):
                self._listing.folders = {}
        try:
            gone = self._files.read_gone(self._listing.gone)
        except (OSError, ValueError):
            self._listing.folders, self._listing.gone = {}, ""
        self._files.remove_unlisted(self._listing)
        return gone

    def _write_run(self, first: int) -> str:
        """Write memory and runs `first`.. as one run, and use it in their place."""
        name = self._files.write_run(lambda descriptor: self.native.write(first, descriptor))
        self._files.use_run(name, lambda descriptor: self.native.replace(first, descriptor))
        return name

    def _rewrite(self, first: int) -> None:
        name = self._write_run(first)
        merged = self._listing.runs[first:]
        self._listing.runs[first:] = [name]
        if first == 0:
            self._listing.gone = ""
        self._files.write(self._listing)
        self._files.remove_runs(merged)

    def _damaged(self) -> set[str]:
        runs = self._listing.runs
        return {name for number, name in enumerate(runs) if self.native.is_damaged(number)}

    def _unlist_damaged(self) -> None:
        """Let the next start learn again what damaged runs knew."""
        damaged = self._damaged()
        if damaged:
            listed = self._files.read()
            listed.runs = [run for run in listed.runs if run not in damaged]
            listed.folders = {}
            self._files.write(listed)

    def _first_to_merge(self, lowest: int) -> int:
        """The first run that a new one should swallow, not below `lowest`.

        Keeping each run larger than all smaller ones together bounds the number of runs to
        log2(entries) and the times an entry is rewritten likewise (a log-structured merge).
        """
        rest = self.native.pending()
        first = self.native.runs
        for run in reversed(range(lowest, self.native.runs)):
            if self.native.run_entries(run) <= rest:
                first = run
            rest += self.native.run_entries(run)
        return first

    def _compact(self, gone_count: int) -> None:
        """Bring runs that several processes added into proportion, and leave out the gone."""
        is_thin = gone_count > 0 and gone_count * _GONE_SHARE >= self.native.slot_count()
        first = 0 if is_thin else self._first_to_merge(0)
        if is_thin or self.native.runs - first >= 2 or self.native.pending():
            self._rewrite(first)

    # ---- learning from the containers; the caller holds the lock ----

    def _kill(self, names: Iterable[bytes]) -> None:
        for name in names:
            self.native.kill_slot(self.native.slot_of(name))

    def _catch_up(self, gone: set[bytes], progress: Progress) -> set[bytes]:
        """Learn and forget what changed; gives the containers that runs name though gone."""
        changed = self._changed_folders()
        condemned = read_condemned(self._layout)
        seen = bytearray(self.native.slot_count())
        unknown: list[bytes] = []
        returned: set[bytes] = set()
        for folder in changed:
            names = self._list(folder)
            known = self.native.mark_known(names, seen)
            unknown += [name for name, is_known in zip(names, known, strict=True) if not is_known]
            returned |= gone.intersection(names)
        now_gone = (gone - returned) | self._vanished(seen, changed)
        # Before anything is learned: what is condemned must not hide another copy.
        self._kill(now_gone)
        self._kill(condemned)
        if now_gone != gone:
            self._listing.gone = self._files.write_gone(now_gone)
        unknown = [name for name in unknown if name not in condemned]
        self._learn_all([*unknown, *returned], progress)
        settled_ns = clock.wall_ns() - _SETTLED_NS
        settled = {key: at_ns for key, at_ns in changed.items() if at_ns < settled_ns}
        self._listing.folders.update(settled)
        if self.native.pending():
            self._rewrite(self._first_to_merge(0))
        elif settled or now_gone != gone:
            self._files.write(self._listing)
        return now_gone

    def _changed_folders(self) -> dict[str, int]:
        changed, containers = {}, os.fspath(self._layout.containers)
        for number in range(256):
            folder = f"{number:02x}"
            try:
                # Every start asks 256 times: making paths of them costs more than the asking.
                status = os.stat(f"{containers}/{folder}")  # noqa: PTH116
            except FileNotFoundError:
                continue
            at_ns = self._listing.folders.get(folder)
            if stat.S_ISDIR(status.st_mode) and at_ns != status.st_mtime_ns:
                changed[folder] = status.st_mtime_ns
        return changed

    def _list(self, folder: str) -> list[bytes]:
        names = map(container_name, sorted(os.listdir(self._layout.containers / folder)))
        return [name for name in names if name is not None and name.hex()[:2] == folder]

    def _vanished(self, seen: bytearray, folders: dict[str, int]) -> set[bytes]:
        """Containers of `folders` that runs name and nobody has `seen`."""
        vanished = set()
        slot = seen.find(0)
        while slot >= 0:
            name = self.native.slot_name(slot)
            if name is not None and name[:1].hex() in folders:
                vanished.add(name)
            slot = seen.find(0, slot + 1)
        return vanished

    def _learn_all(self, names: list[bytes], progress: Progress) -> None:
        if not names:
            return
        progress.phase("rebuilding the index", total=len(names), unit="items")
        with ThreadPoolExecutor(_LEARNERS, thread_name_prefix="learner") as pool:
            for at in range(0, len(names), _BATCH):
                for _ in pool.map(self._learn, names[at : at + _BATCH]):
                    progress.advance(1)
                if self.native.pending() >= PENDING_MAX_ENTRIES:
                    self._rewrite(self._first_to_merge(0))

    def _learn(self, name: bytes) -> None:
        try:
            container = Container(self._layout, self._keys, name)
        except HoldfastError:
            return  # damaged or just unlinked: its chunks count as unknown, verify reports it
        self.native.learn(self.native.slot_of(name), container.directory)
        container.close()
