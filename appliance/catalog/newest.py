"""The newest good point of machines, found without reading lists of all points.

Owns nothing: for each machine it lists one folder and looks at the newest files, by what the
catalog remembers of them or, where it remembers nothing, by what they say.
"""

from __future__ import annotations

import os
from datetime import datetime

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.catalog.point_list import PointSummary, recall_point, show_name, summarize
from appliance.formats.names import PointName
from appliance.formats.point import COMPLETE
from appliance.store.findings import read_findings
from appliance.store.points import SUFFIX, PointFile
from appliance.store.store import Store


class NewestPoints:
    """Asks a store for many machines, one after the other."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._hurt = read_findings(store.layout).hurt or {}
        self._damaged = {show_name(store, name) for name in catalog.damaged_points()}

    def find(self, machine: str, until: datetime) -> datetime | None:
        """When the newest complete, undamaged point not later than `until` was made."""
        return self._look(self._store.points.folder_of(machine), until)[1]

    def find_all(self, until: datetime) -> dict[str, datetime | None]:
        """The same for every machine that has points on the box."""
        folders = sorted(os.listdir(self._store.layout.points))
        found = (self._look(folder, until) for folder in folders)
        return {machine: newest for machine, newest in found if machine is not None}

    def count(self, machine: str) -> int:
        """How many points it has on the box."""
        return sum(1 for _ in self._store.points.files(machine))

    def _look(self, folder: str, until: datetime) -> tuple[str | None, datetime | None]:
        """Whose folder it is, and the newest good point in it."""
        machine = None
        try:
            names = os.listdir(self._store.layout.points / folder)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        for name in sorted(names, reverse=True):
            if not name.endswith(SUFFIX) or name.startswith("."):
                continue
            file = PointFile(folder, name.removesuffix(SUFFIX))
            try:
                known = recall_point(self._store, self._catalog, file)
                point = known or summarize(self._store.points.read(file))
            except (IntegrityError, NotFoundError):
                continue
            machine = machine or point.machine
            time = PointName.parse(point.name).time
            if time <= until and self._is_good(point, file):
                return machine, time
        return machine, None

    def _is_good(self, point: PointSummary, file: PointFile) -> bool:
        if self._hurt.get(file.key) or point.name in self._damaged:
            return False
        return point.state == COMPLETE
