"""The chunk index on the disk: loads, rebuilds, adds to and merges runs (docs/format/index.md).

Derived data, healed at every start: when `current.json` or a run is missing or malformed, all is
rebuilt from the containers' directories; a folder of containers that changed since it was last
compared is listed again. Several processes may use and extend the index at once: a run is never
changed, and the list of runs changes under a lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from appliance.base import clock, durable
from appliance.base.errors import HoldfastError, NoSpaceError
from appliance.base.locks import FileLock
from appliance.base.progress import Progress
from appliance.native import Index
from appliance.store.condemned import read_condemned
from appliance.store.containers import Container, ContainerKeys, container_name
from appliance.store.layout import Layout

# A memory table of this many entries (about 36 MiB) is spilled to a run before it grows further.
PENDING_MAX_ENTRIES = 1 << 20
# A folder that changed less than this ago may change again within the same timestamp.
_SETTLED_NS = 2_000_000_000
# What reading a garbage `current.json` may raise; RecursionError and OverflowError come from json.
_MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)


class ChunkIndex:
    """Where every chunk of the store is. Look-ups are thread-safe; one thread spills."""

    def __init__(self, layout: Layout, keys: ContainerKeys, progress: Progress) -> None:
        """Load the index, learning what is missing."""
        self._layout = layout
        self._keys = keys
        self._current = layout.index / "current.json"
        self._folders: dict[str, int] = {}
        self._runs: list[str] = []
        self.native = Index()
        with self._lock():
            self._load()
            # Before anything is learned: what is condemned must not hide another copy.
            for name in read_condemned(layout):
                self.native.kill_slot(self.native.slot_of(name))
            try:
                self._catch_up(progress)
                self._compact()
            except NoSpaceError:
                self._folders = {}  # it serves from memory; the next start tries again
            self._version = self._read_version()
        self._loaded_runs = len(self._runs)

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
        return self._version == self._read_version()

    def spill_if_large(self) -> None:
        """Keep memory bounded during a long backup."""
        if self.native.pending() >= PENDING_MAX_ENTRIES:
            self.spill()

    def spill(self) -> None:
        """Move what was learned since the last time into a run, durably, for all processes."""
        if self.native.pending() == 0:
            return
        first = self._first_to_merge(self._loaded_runs)
        with self._lock():
            name = self._write_run(first)
            merged = set(self._runs[first:])
            self._runs = [*self._runs[:first], name]
            others = [run for run in self._read_current() if run not in merged]
            self._write_current([*others, name])
            self._remove_runs(merged)

    def drop(self, names: set[bytes]) -> None:
        """Forget containers that are gone: every run is rewritten without them."""
        with self._lock():
            self._load()
            for name in names:
                self.native.kill_slot(self.native.slot_of(name))
            self._rewrite(0)

    # ---- files; the caller holds the lock ----

    def _lock(self) -> FileLock:
        if not self._layout.index.is_dir():
            durable.make_directory(self._layout.index)
        return FileLock(self._layout.locks / "index")

    def _load(self) -> None:
        self.native = Index()
        try:
            self._runs = self._read_current()
            for name in self._runs:
                self._map(name, self.native.add_run)
        except (OSError, ValueError, HoldfastError):
            self.native, self._runs, self._folders = Index(), [], {}
        self._remove_leftovers()

    def _read_current(self) -> list[str]:
        try:
            raw = json.loads(self._current.read_bytes())
            self._folders = {str(key): int(value) for key, value in raw["folders"].items()}
            return [Path(str(name)).name for name in raw["runs"]]
        except _MALFORMED:
            self._folders = {}
            return []

    def _read_version(self) -> tuple[int, int] | None:
        try:
            status = self._current.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _write_current(self, runs: list[str]) -> None:
        text = json.dumps({"format": 1, "runs": runs, "folders": self._folders})
        durable.write_file(self._current, text.encode())

    def _map(self, name: str, use: Callable[[int], object]) -> None:
        descriptor = os.open(self._layout.index / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            use(descriptor)
        finally:
            os.close(descriptor)

    def _write_run(self, first: int) -> str:
        """Write memory and runs `first`.. as one run, and use it in their place."""
        name = f"{secrets.token_hex(8)}.run"
        with durable.open_durably(self._layout.index / name) as descriptor:
            self.native.write(first, descriptor)
        self._map(name, lambda descriptor: self.native.replace(first, descriptor))
        return name

    def _rewrite(self, first: int) -> None:
        name = self._write_run(first)
        gone = set(self._runs[first:])
        self._runs = [*self._runs[:first], name]
        self._write_current(self._runs)
        self._remove_runs(gone)

    def _remove_leftovers(self) -> None:
        """Remove what no list names: runs are written and named under the lock."""
        for path in self._layout.index.iterdir():
            if path.name not in self._runs and path != self._current:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _remove_runs(self, names: set[str]) -> None:
        for name in names:
            (self._layout.index / name).unlink(missing_ok=True)

    def _first_to_merge(self, lowest: int) -> int:
        """The first run that a new one should swallow, not below `lowest`.

        Keeping each run larger than all smaller ones together bounds the number of runs to
        log2(entries) and the times an entry is rewritten likewise (a log-structured merge).
        """
        total = self.native.pending()
        first = self.native.runs
        while first > lowest and self.native.run_entries(first - 1) <= total:
            first -= 1
            total += self.native.run_entries(first)
        return first

    def _compact(self) -> None:
        """Bring runs that several processes added into proportion."""
        first = self._first_to_merge(0)
        for run in range(self.native.runs - 1, 0, -1):
            rest = sum(self.native.run_entries(i) for i in range(run, self.native.runs))
            if self.native.run_entries(run - 1) <= rest:
                first = min(first, run - 1)
        if self.native.runs - first >= 2 or self.native.pending():
            self._rewrite(first)

    # ---- learning from the containers; the caller holds the lock ----

    def _catch_up(self, progress: Progress) -> None:
        changed = self._changed_folders()
        if not changed:
            return
        present = {folder: self._list(folder) for folder in changed}
        gone = self._gone(present)
        for name in gone:
            self.native.kill_slot(self.native.slot_of(name))
        unknown = [
            name for names in present.values() for name in names if not self.native.knows(name)
        ]
        if unknown:
            progress.phase("rebuilding the index", total=len(unknown), unit="items")
        for name in unknown:
            self._learn(name)
            progress.advance(1)
            if self.native.pending() >= PENDING_MAX_ENTRIES:
                self._rewrite(self._first_to_merge(0))
        now_ns = clock.wall_ns()
        settled = {key: at for key, at in changed.items() if now_ns - at > _SETTLED_NS}
        self._folders.update(settled)
        if gone or unknown:
            self._rewrite(0 if gone else self._first_to_merge(0))
        elif settled:
            self._write_current(self._runs)

    def _changed_folders(self) -> dict[str, int]:
        changed = {}
        for number in range(256):
            folder = f"{number:02x}"
            try:
                status = (self._layout.containers / folder).stat()
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode) and self._folders.get(folder) != status.st_mtime_ns:
                changed[folder] = status.st_mtime_ns
        return changed

    def _list(self, folder: str) -> list[bytes]:
        names = map(container_name, sorted(os.listdir(self._layout.containers / folder)))
        return [name for name in names if name is not None and name.hex()[:2] == folder]

    def _gone(self, present: dict[str, list[bytes]]) -> list[bytes]:
        there = {name for names in present.values() for name in names}
        slots = range(self.native.slot_count())
        known = [name for name in map(self.native.slot_name, slots) if name is not None]
        return [name for name in known if name.hex()[:2] in present and name not in there]

    def _learn(self, name: bytes) -> None:
        try:
            container = Container(self._layout, self._keys, name)
        except HoldfastError:
            return  # damaged or just unlinked: its chunks count as unknown, verify reports it
        slot = self.native.slot_of(name)
        for ordinal, chunk_id in enumerate(container.directory.ids()):
            self.native.claim(chunk_id, slot, ordinal)
        container.close()
