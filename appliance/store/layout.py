"""Where things lie in a store directory (docs/format/README.md). Owns paths, nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.base import durable
from appliance.base.errors import NoSpaceError

RESERVE_BYTES = 16 << 20
RESERVE_STEP_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """The paths of the store under a state directory."""

    state: Path

    @property
    def root(self) -> Path:
        """The store itself."""
        return self.state / "store"

    @property
    def containers(self) -> Path:
        """Sealed containers in 256 folders."""
        return self.root / "containers"

    @property
    def incoming(self) -> Path:
        """Where containers and points are written before they are renamed to their place."""
        return self.root / "incoming"

    @property
    def points(self) -> Path:
        """Recovery points, a folder per machine."""
        return self.root / "points"

    @property
    def trash(self) -> Path:
        """Forgotten points, until their window ends and nobody reads them."""
        return self.root / "trash"

    @property
    def records(self) -> tuple[Path, ...]:
        """Folders of sealed records: what must not be deleted yet."""
        return (self.root / "holds", self.root / "policies", self.root / "backups")

    @property
    def quarantine(self) -> Path:
        """Damaged files, kept for inspection."""
        return self.root / "quarantine"

    @property
    def findings(self) -> Path:
        """Damage that is known, and which points it hurts."""
        return self.root / "findings.json"

    @property
    def scrub(self) -> Path:
        """When which containers were last read."""
        return self.root / "scrub.json"

    @property
    def index(self) -> Path:
        """Derived index files."""
        return self.root / "index"

    @property
    def leases(self) -> Path:
        """One file per process that reads or writes."""
        return self.root / "leases"

    @property
    def locks(self) -> Path:
        """Lock files."""
        return self.root / "locks"

    @property
    def condemned(self) -> Path:
        """The list of containers that wait to be unlinked."""
        return self.root / "condemned.json"

    @property
    def reserve(self) -> Path:
        """Space set aside so that forgetting and collecting work on a full disk."""
        return self.root / "reserve"

    def container(self, name: bytes) -> Path:
        """The file of container `name` (32 bytes)."""
        text = name.hex()
        return self.containers / text[:2] / text

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder of the store but those of single containers and machines."""
        return (
            self.containers,
            self.incoming,
            self.points,
            self.trash,
            *self.records,
            self.quarantine,
            self.index,
            self.leases,
            self.locks,
        )

    def make_missing_folders(self) -> None:
        """Make folders that copying or cleaning up left out; durable."""
        for folder in self.folders:
            if not folder.is_dir():
                durable.make_directory(folder)

    def create(self) -> None:
        """Make every folder, durably."""
        self.make_missing_folders()
        for number in range(256):
            (self.containers / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        durable.fsync_directory(self.containers)
        self.refill_reserve()

    def refill_reserve(self) -> None:
        """Set the reserve aside again if there is room; without room there is none, silently."""
        if self.reserve.exists() and self.reserve.stat().st_size == RESERVE_BYTES:
            return
        self.release_reserve()
        try:
            durable.write_file(self.reserve, bytes(RESERVE_BYTES))
        except NoSpaceError:
            return

    def take_from_reserve(self) -> bool:
        """Free a little of the reserve, for a small file on a full disk; false if it is used up."""
        try:
            rest = self.reserve.stat().st_size - RESERVE_STEP_BYTES
            if rest <= 0:
                return False
            os.truncate(self.reserve, rest)
        except FileNotFoundError:
            return False
        return True

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many bytes can be written and the reserve still be set aside."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize > size_bytes + RESERVE_BYTES

    def release_reserve(self) -> None:
        """Give the reserve's space to whoever needs it now."""
        self.reserve.unlink(missing_ok=True)
