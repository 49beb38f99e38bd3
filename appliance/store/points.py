"""Recovery points on the disk: listing, opening, committing, forgetting (docs/format/point.md).

A point exists on the box if and only if its file lies in its machine's folder. It is written last,
under the commit lock, forgotten by one rename into the trash, and brought back by one rename.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from appliance.base import durable
from appliance.base.clock import Clock, SystemClock
from appliance.base.errors import (
    AccessError,
    BusyError,
    HoldfastError,
    IntegrityError,
    NotFoundError,
)
from appliance.formats.names import PointName, PointSelector, format_time
from appliance.formats.point import COMPLETE, Manifest, decode_manifest, encode_manifest
from appliance.formats.record import Hold
from appliance.store.backup_notes import BackupNotes
from appliance.store.condemned import commit_lock, rescue
from appliance.store.findings import note_doubt
from appliance.store.holds import Holds
from appliance.store.layout import Layout
from appliance.store.machine_names import MachineNames
from appliance.store.policies import Policies
from appliance.store.records import RecordKeys, Records
from appliance.store.remote_points import RemotePoints
from appliance.store.timekeeping import Timekeeper
from appliance.store.trash import Trash

SUFFIX = ".point"
BOX = "box"
PARTLY = "box, partly"
# A sealed manifest is at most 64 MiB plain; a file far beyond that is not ours to read.
_POINT_MAX_BYTES = 65 << 20


class PointKeys(RecordKeys, Protocol):
    """What is needed of the key hierarchy."""

    def seal_point(self, manifest: bytes) -> bytes:
        """The whole file of a point."""

    def open_point(self, data: bytes) -> bytes:
        """The manifest inside; IntegrityError if it does not authenticate."""

    def machine_directory(self, machine: str) -> str:
        """The name of a machine's folder."""


@dataclass(frozen=True)
class PointFile:
    """A point's file as listed; nothing of it was read yet."""

    folder: str
    stem: str

    @classmethod
    def from_label(cls, label: str) -> PointFile:
        """The file that is called `label` in the trash and among the holds."""
        folder, _, stem = label.partition("-")
        return cls(folder, stem)

    @property
    def label(self) -> str:
        """One word for the point: what the trash and the holds call it."""
        return f"{self.folder}-{self.stem}"

    @property
    def key(self) -> str:
        """The path below the points folder: what leases pin and caches remember."""
        return f"{self.folder}/{self.stem}{SUFFIX}"

    @classmethod
    def parse(cls, key: str) -> PointFile:
        """The file of a `key`."""
        folder, _, stem = key.removesuffix(SUFFIX).partition("/")
        return cls(folder, stem)


class Points:
    """The points of one store."""

    def __init__(self, layout: Layout, keys: PointKeys, clock: Clock | None = None) -> None:
        self._layout = layout
        self._keys = keys
        self.records = Records(layout, keys)
        self.timekeeper = Timekeeper(self.records, clock or SystemClock())
        self.holds = Holds(self.records, self.timekeeper)
        self.trash = Trash(layout, self.records, self.holds, self.timekeeper)
        self.names = MachineNames(self.records)
        self.policies = Policies(self.records, self.folder_of)
        self.backup_notes = BackupNotes(self.records, self.timekeeper)
        self.remote = RemotePoints(layout)

    def files(self, machine: str | None = None) -> Iterator[PointFile]:
        """The file of every point on the box, by machine folder and time."""
        wanted = None if machine is None else self.folder_of(machine)
        for folder in sorted(os.listdir(self._layout.points)) if wanted is None else [wanted]:
            try:
                names = sorted(os.listdir(self._layout.points / folder))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for name in names:
                if name.endswith(SUFFIX) and not name.startswith("."):
                    yield PointFile(folder, name.removesuffix(SUFFIX))

    def all_files(self, machine: str | None = None) -> list[PointFile]:
        """As `files`, with the points that are only in a vault."""
        folder = None if machine is None else self.folder_of(machine)
        found = set(self.files(machine))
        for vault in self.remote.vaults():
            found |= {PointFile.parse(key) for key in self.remote.keys(vault, folder)}
        return sorted(found, key=lambda file: (file.folder, file.stem))

    def where(self, file: PointFile) -> list[str]:
        """`box`, if all of this point is on it, and the vaults that have it.

        A point that was made on the box from a base in a vault is `box, partly` until it is in one.
        """
        vaults = self.remote.where(file.key)
        if not (self._layout.points / file.key).exists():
            return vaults
        if self.remote.is_away(file.key):
            return vaults or [PARTLY]
        return [BOX, *vaults]

    def folder_of(self, machine: str) -> str:
        """The name of a machine's folder, whether it has points or not."""
        return self._keys.machine_directory(self.names.first(machine))

    def file_of(self, name: PointName) -> PointFile:
        """The file that holds point `name`, if there is one."""
        return PointFile(self.folder_of(name.machine), name.file_time)

    def read(self, file: PointFile) -> Manifest:
        """The manifest in `file`, from the box, else as a vault has it.

        Raises NotFoundError if it is gone, IntegrityError if it is not what was written there.
        """
        path = self._layout.points / file.key
        if not path.exists():
            for vault in self.remote.where(file.key):
                path = self.remote.path(vault, file.key)
        return self.read_path(path, file)

    def read_path(self, path: Path, file: PointFile) -> Manifest:
        """The manifest of point `file`, which lies at `path`."""
        try:
            with durable.named_os_errors(path), path.open("rb") as stream:
                data = stream.read(_POINT_MAX_BYTES)
        except (NotFoundError, AccessError):
            raise
        except HoldfastError as error:
            raise IntegrityError(f"point file {file.key} cannot be read: {error}") from error
        try:
            manifest = decode_manifest(self._keys.open_point(data))
            if self.file_of(manifest.name) != file:
                raise IntegrityError(f"it says that it is {manifest.name}")
        except IntegrityError as error:
            raise IntegrityError(f"point file {file.key} is damaged: {error}") from error
        return self.names.show(manifest)

    def exists(self, name: PointName) -> bool:
        """Whether there is a point of this name on the box, readable or not."""
        return (self._layout.points / self.file_of(name).key).exists()

    def open(self, name: PointName) -> Manifest:
        """The manifest of point `name`, wherever it is. Raises NotFoundError if there is none."""
        if not self.where(self.file_of(name)):
            self._refuse_if_missing(name)
        return self.read(self.file_of(name))

    def latest(self, machine: str, as_of: datetime | None = None) -> PointName:
        """The newest complete point of `machine`, or the newest that is not after `as_of`.

        Raises NotFoundError if it has none.
        """
        last = None if as_of is None else PointName(machine, as_of.replace(microsecond=0)).file_time
        for file in reversed(self.all_files(machine)):
            if last is not None and file.stem > last:
                continue
            with contextlib.suppress(IntegrityError, NotFoundError):
                manifest = self.read(file)
                if manifest.state == COMPLETE:
                    return manifest.name
        then = "" if as_of is None else f" at {format_time(as_of)} or before"
        raise NotFoundError(
            f"machine {machine} has no complete point{then}: 'holdfast points' lists what there is",
            code="no-point",
        )

    def resolve(self, text: str, as_of: datetime | None = None) -> PointName:
        """What a person calls a point; `as_of` is what `latest` means.

        Raises UsageError or NotFoundError.
        """
        selector = PointSelector.parse(text)
        if selector.time is None:
            return self.latest(selector.machine, as_of)
        name = PointName(selector.machine, selector.time)
        self.open(name)
        return name

    def begin(self, machine: str) -> None:
        """A backup of `machine` starts: what it seals is kept although it may be interrupted.

        Durable on return. The caller holds a writer's lease.
        """
        self.timekeeper.note()
        self.backup_notes.begin(self.folder_of(machine), machine)

    def commit(self, manifest: Manifest, is_needed: Callable[[bytes], bool]) -> Manifest:
        """Make a point exist, durably on return; all it refers to is durable already.

        `is_needed` says on which containers the backup counted: those are taken off the condemned
        list first. A taken second moves to the next free one, so the manifest that comes back
        may carry a later time.
        """
        folder = self._layout.points / self.folder_of(manifest.machine)
        self.timekeeper.note()
        with commit_lock(self._layout):
            durable.make_directory(folder)
            rescue(self._layout, is_needed)
            manifest = self._write_new(manifest, is_needed)
        with contextlib.suppress(HoldfastError):
            # The point is made; a note that stays only spares garbage for a while.
            self.backup_notes.end(folder.name)
        return manifest

    def _write_new(self, manifest: Manifest, is_needed: Callable[[bytes], bool]) -> Manifest:
        while True:
            file = self.file_of(manifest.name)
            # A pin names a point: a namesake of one still read would take its place. And a vault
            # that keeps a point after the box would never be given its namesake.
            if not self.trashed(file).exists() and not self.remote.where(file.key):
                path = self._layout.points / file.key
                data = self._keys.seal_point(encode_manifest(self.names.hide(manifest)))
                base_key = None if manifest.base is None else self.file_of(manifest.base).key
                if base_key is not None and self.remote.is_away(base_key):
                    self.remote.note_away(file.key)  # what it took over unread is not here either
                note_doubt(self._layout, file.key, base_key, is_needed)
                try:
                    durable.write_file(path, data, replace=False, staging=self._layout.incoming)
                except FileExistsError:
                    pass
                else:
                    return manifest
            manifest = replace(manifest, time=manifest.time + timedelta(seconds=1))

    # ---- forgetting, and what forbids it ----

    def forget(
        self, name: PointName, window: timedelta | None = None, beside: PointName | None = None
    ) -> None:
        """Take a point away, durably on return. A process that has it open may go on reading.

        It can be brought back for `window`; without one collection may take it at once. A damaged
        point can be forgotten too. Raises NotFoundError if there is none, BusyError if it is held
        or if `beside`, the point that is to be left, has vanished.
        """
        file = self.file_of(name)
        self.timekeeper.note()
        with commit_lock(self._layout):
            self._refuse_if_missing(name)
            if beside is not None and not self.exists(beside):
                raise BusyError(f"{name} stays: {beside} was forgotten meanwhile, try again")
            self.holds.refuse_if_held(file.label, name)
            self.trash.put_note(file.label, name, window)
            durable.move_file(self._layout.points / file.key, self.trashed(file))

    def unforget(self, name: PointName) -> None:
        """Bring a forgotten point back, durably on return.

        Raises NotFoundError if it is not in the trash, or if its window has ended: collection may
        have begun to free what it needs.
        """
        file = self.file_of(name)
        with commit_lock(self._layout):
            if not self.trashed(file).exists():
                raise NotFoundError(
                    f"{name} is not in the trash: 'holdfast points --trash' lists what is",
                    code="no-point",
                )
            self.trash.refuse_if_over(file.label, name)
            path = self._layout.points / file.key
            durable.make_directory(path.parent)
            durable.move_file(self.trashed(file), path)
            self.trash.remove_note(file.label)

    def hold(self, name: PointName, reason: str, until: datetime | None) -> Hold:
        """Forbid that a point is forgotten, durably on return. Raises NotFoundError."""
        with commit_lock(self._layout):
            self._refuse_if_missing(name)
            return self.holds.put(self.file_of(name).label, name, reason, until)

    def release(self, name: PointName) -> None:
        """Take a hold away, durably on return. Raises NotFoundError if there is none."""
        with commit_lock(self._layout):
            self.holds.remove(self.file_of(name).label, name)

    def _refuse_if_missing(self, name: PointName) -> None:
        if not self.exists(name):
            raise NotFoundError(
                f"there is no point {name}: 'holdfast points' lists what there is", code="no-point"
            )

    def trashed(self, file: PointFile) -> Path:
        """Where a forgotten point lies until collection."""
        return self.trash.path(file.label)
