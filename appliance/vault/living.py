"""Which of some chunks of a vault its points still refer to.

Owns the walk over the maps of points, each page once. References count by id, wherever they hint,
and nothing remembered is believed: who merges containers leaves behind what is not found here.
"""

from __future__ import annotations

from collections.abc import Collection

from appliance.base.progress import Progress
from appliance.formats.page import FANOUT, Reference
from appliance.formats.point import Disk, Manifest
from appliance.store.marking import read_page, references
from appliance.store.store import Store


class LivingChunks:
    """Those of `ids` that are referred to are gathered in `found`. For one thread.

    Memory: some 100 bytes for each page of all points.
    """

    def __init__(self, store: Store, progress: Progress, ids: Collection[bytes]) -> None:
        self._store = store
        self._progress = progress
        self._ids = ids
        self._seen: set[bytes] = set()
        self.found: set[bytes] = set()

    def mark_point(self, manifest: Manifest) -> None:
        """Mark what a point refers to.

        Raises IntegrityError or HoldfastError if not all of its map can be read.
        """
        for disk in manifest.disks:
            if disk.root is not None:
                self._mark_page(disk, disk.root, disk.level, 0)

    def _mark_page(self, disk: Disk, reference: Reference, level: int, number: int) -> None:
        self._mark(reference.chunk_id)
        if reference.chunk_id in self._seen:
            return
        self._seen.add(reference.chunk_id)
        self._progress.check()
        page = read_page(self._store.chunks, disk, reference, level, number)
        for child, found in references(page, reference.container):
            if level == 0:
                self._mark(found.chunk_id)
            else:
                self._mark_page(disk, found, level - 1, number * FANOUT + child)

    def _mark(self, chunk_id: bytes) -> None:
        if chunk_id in self._ids:
            self.found.add(chunk_id)
