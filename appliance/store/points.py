"""Recovery points on the disk: listing, opening, committing, forgetting (docs/format/point.md).

A point exists if and only if its file lies in its machine's folder. It is written last, under the
commit lock, and forgotten by one rename into the trash.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from appliance.base import durable
from appliance.base.errors import AccessError, HoldfastError, IntegrityError, NotFoundError
from appliance.formats.names import PointName, PointSelector
from appliance.formats.point import COMPLETE, Manifest, decode_manifest, encode_manifest
from appliance.store.condemned import commit_lock, rescue
from appliance.store.findings import note_doubt
from appliance.store.layout import Layout

SUFFIX = ".point"
# A sealed manifest is at most 64 MiB plain; a file far beyond that is not ours to read.
_POINT_MAX_BYTES = 65 << 20


class PointKeys(Protocol):
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

    def __init__(self, layout: Layout, keys: PointKeys) -> None:
        self._layout = layout
        self._keys = keys

    def files(self, machine: str | None = None) -> Iterator[PointFile]:
        """Every point's file, by machine folder and time."""
        wanted = None if machine is None else self._keys.machine_directory(machine)
        for folder in sorted(os.listdir(self._layout.points)) if wanted is None else [wanted]:
            try:
                names = sorted(os.listdir(self._layout.points / folder))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for name in names:
                if name.endswith(SUFFIX) and not name.startswith("."):
                    yield PointFile(folder, name.removesuffix(SUFFIX))

    def file_of(self, name: PointName) -> PointFile:
        """The file that holds point `name`, if there is one."""
        return PointFile(self._keys.machine_directory(name.machine), name.file_time)

    def read(self, file: PointFile) -> Manifest:
        """The manifest in `file`.

        Raises NotFoundError if it is gone, IntegrityError if it is not what was written there.
        """
        return self.read_path(self._layout.points / file.key, file)

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
        return manifest

    def exists(self, name: PointName) -> bool:
        """Whether there is a point of this name, readable or not."""
        return (self._layout.points / self.file_of(name).key).exists()

    def open(self, name: PointName) -> Manifest:
        """The manifest of point `name`. Raises NotFoundError with a hint if there is none."""
        if not self.exists(name):
            raise NotFoundError(f"there is no point {name}: 'holdfast points' lists what there is")
        return self.read(self.file_of(name))

    def latest(self, machine: str) -> PointName:
        """The newest complete point of `machine`. Raises NotFoundError if it has none."""
        for file in sorted(self.files(machine), key=lambda file: file.stem, reverse=True):
            with contextlib.suppress(IntegrityError, NotFoundError):
                manifest = self.read(file)
                if manifest.state == COMPLETE:
                    return manifest.name
        raise NotFoundError(
            f"machine {machine} has no complete point: 'holdfast points' lists what there is"
        )

    def resolve(self, text: str) -> PointName:
        """What a person calls a point. Raises UsageError or NotFoundError."""
        selector = PointSelector.parse(text)
        if selector.time is None:
            return self.latest(selector.machine)
        name = PointName(selector.machine, selector.time)
        self.open(name)
        return name

    def commit(self, manifest: Manifest, is_needed: Callable[[bytes], bool]) -> Manifest:
        """Make a point exist, durably on return; all it refers to is durable already.

        `is_needed` says on which containers the backup counted: those are taken off the condemned
        list first. A taken second moves to the next free one, so the manifest that comes back
        may carry a later time.
        """
        folder = self._layout.points / self._keys.machine_directory(manifest.machine)
        with commit_lock(self._layout):
            durable.make_directory(folder)
            rescue(self._layout, is_needed)
            while True:
                file = self.file_of(manifest.name)
                if self.trashed(file).exists():
                    # A pin names a point: a namesake of one still read would take its place.
                    manifest = replace(manifest, time=manifest.time + timedelta(seconds=1))
                    continue
                path = self._layout.points / file.key
                data = self._keys.seal_point(encode_manifest(manifest))
                base_key = None if manifest.base is None else self.file_of(manifest.base).key
                note_doubt(self._layout, file.key, base_key, is_needed)
                try:
                    durable.write_file(path, data, replace=False, staging=self._layout.incoming)
                except FileExistsError:
                    manifest = replace(manifest, time=manifest.time + timedelta(seconds=1))
                else:
                    return manifest

    def forget(self, name: PointName) -> None:
        """Take a point away, durably on return. A process that has it open may go on reading.

        Raises NotFoundError if there is none. A damaged point can be forgotten too.
        """
        file = self.file_of(name)
        path = self._layout.points / file.key
        with commit_lock(self._layout):
            if not path.exists():
                raise NotFoundError(
                    f"there is no point {name}: 'holdfast points' lists what there is"
                )
            durable.move_file(path, self.trashed(file))

    def trashed(self, file: PointFile) -> Path:
        """Where a forgotten point lies until collection."""
        return self._layout.trash / f"{file.folder}-{file.stem}{SUFFIX}"
