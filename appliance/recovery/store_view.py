"""The points of a store as mounting and booting see them."""

from __future__ import annotations

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.formats.names import PointName
from appliance.formats.point import Manifest
from appliance.recovery.points_view import DiskReader, PointEntry
from appliance.recovery.zero_runs import Run, list_runs
from appliance.store.disk_reader import DiskReader as StoredDisk
from appliance.store.leases import Lease
from appliance.store.points import PointFile
from appliance.store.store import Store


class StoreView:
    """Live: points made later appear, forgotten ones vanish unless they are open.

    Only open disks pin their points; a mount as such keeps nothing in the store.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        """`lease` is a reader's lease that lives as long as this view."""
        self._store = store
        self._lease = lease
        self._known: dict[str, Manifest] = {}

    def machines(self) -> list[str]:
        """Machines that have points."""
        return sorted({manifest.machine for manifest in self._manifests(None)})

    def points(self, machine: str) -> list[PointEntry]:
        """The readable points of a machine, oldest first."""
        return [
            PointEntry(
                manifest.name.directory_time,
                tuple(disk.size_bytes for disk in manifest.disks),
                manifest.time.timestamp(),
            )
            for manifest in self._manifests(machine)
        ]

    def open_disk(self, machine: str, directory_time: str, disk: int) -> DiskReader:
        """Pin the point and read disk number `disk`. Raises NotFoundError where there is none."""
        name = PointName.parse(f"{machine}@{directory_time}")
        file = self._store.points.file_of(name)
        manifest = self._store.open_point(name, self._lease)
        try:
            return _PinnedDisk(self._store.disk_reader(manifest, disk), self._lease, file)
        except BaseException:
            self._lease.unpin(file.key)
            raise

    def _manifests(self, machine: str | None) -> list[Manifest]:
        found = {}
        for file in self._store.points.all_files(machine):
            try:
                manifest = self._known.get(file.key) or self._store.points.read(file)
            except (IntegrityError, NotFoundError):
                continue
            found[file.key] = manifest
        self._known.update(found)
        if machine is None:
            self._known = found
        return list(found.values())


class _PinnedDisk:
    """A disk whose point is pinned until `close`."""

    def __init__(self, disk: StoredDisk, lease: Lease, file: PointFile) -> None:
        self._disk = disk
        self._lease = lease
        self._file = file

    @property
    def size_bytes(self) -> int:
        """Size of the disk."""
        return self._disk.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there. Raises IntegrityError where they are damaged."""
        return self._disk.read(offset, length)

    def runs(self, offset: int, length: int) -> list[Run]:
        """Which ranges hold anything but zeros, as far as the map says."""
        return list_runs(self._disk.extent_map, offset, length)

    def close(self) -> None:
        """Let go of the point."""
        self._disk.close()
        self._lease.unpin(self._file.key)
