"""One store, opened with its key: the parts built once and handed to each other.

Owns no rules of its own: containers, index, maps and points each own theirs.
"""

from __future__ import annotations

from pathlib import Path

from appliance.base.clock import Clock
from appliance.base.errors import NotFoundError
from appliance.base.progress import Progress
from appliance.formats.names import PointName
from appliance.formats.point import Disk, Manifest
from appliance.keys.hierarchy import MasterKey
from appliance.store.chunk_index import ChunkIndex
from appliance.store.chunks import ChunkReader
from appliance.store.containers import ContainerCache
from appliance.store.disk_reader import DiskReader
from appliance.store.extent_map import ExtentMap
from appliance.store.findings import Loss
from appliance.store.layout import Layout
from appliance.store.leases import Kind, Lease
from appliance.store.points import PointFile, Points
from appliance.store.repair import Repair
from appliance.store.second_copy import NoSecondCopy, SecondCopy


class Store:
    """A store for reading and writing. Opening it reads no data."""

    def __init__(
        self,
        state: Path,
        keys: MasterKey,
        clock: Clock | None = None,
        second_copy: SecondCopy | None = None,
    ) -> None:
        """`second_copy`: where containers that are missing or damaged here are read from."""
        self.layout = Layout(state)
        self.layout.make_missing_folders()
        self.keys = keys
        self.points = Points(self.layout, keys, clock)
        self.containers = ContainerCache(self.layout, keys)
        self.second_copy: SecondCopy = second_copy or NoSecondCopy()
        self.repair = Repair(self.layout, self.second_copy, self.containers.drop, clock)
        self.chunks = ChunkReader(
            self.containers, self.load_index, self.second_copy, self.repair.note
        )

    @classmethod
    def create(cls, state: Path, keys: MasterKey) -> Store:
        """Make the folders of a new store, durably."""
        Layout(state).create()
        return cls(state, keys)

    def load_index(self, progress: Progress | None = None) -> ChunkIndex:
        """The chunk index as it is now; what is missing of it is rebuilt first."""
        return ChunkIndex(self.layout, self.keys, progress or Progress())

    def lease(self, kind: Kind) -> Lease:
        """Tell other processes that this one reads or writes."""
        return Lease(self.layout, kind)

    def open_point(self, name: PointName, lease: Lease) -> Manifest:
        """The manifest of a point that stays readable while `lease` is held, even if forgotten."""
        return self.open_file(self.points.file_of(name), name, lease)

    def open_file(self, file: PointFile, name: PointName, lease: Lease) -> Manifest:
        """As `open_point`, for a listed file. The pin is on the file's key."""
        lease.pin(file.key)
        try:
            return self.points.open(name)
        except BaseException:
            lease.unpin(file.key)
            raise

    def extent_map(self, disk: Disk) -> ExtentMap:
        """The map of one disk of a point."""
        return ExtentMap(self.chunks, disk.size_bytes, disk.level, disk.root)

    def disk_reader(self, manifest: Manifest, number: int) -> DiskReader:
        """Reads disk `number` of a point. Raises NotFoundError if it has no such disk."""
        if not 0 <= number < len(manifest.disks):
            raise NotFoundError(
                f"point {manifest.name} has no disk {number}: "
                f"its disks are 0 to {len(manifest.disks) - 1}"
            )
        disk = manifest.disks[number]
        key = self.points.file_of(manifest.name).key

        def note_loss(container: bytes, reason: str, offset: int, length: int) -> None:
            self.repair.note_loss(container, reason, Loss(key, (number, offset, length)))

        name = f"{manifest.name} disk{number}"
        return DiskReader(name, self.extent_map(disk), self.chunks, note_loss)
