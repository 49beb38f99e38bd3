"""Brings the listing of points and machines up to what the store says.

Owns what pages show of a point. Reads only files that nobody has read before, and writes only rows
that changed: a look at a hundred thousand points that are known costs a few looks at folders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.catalog.listing import Listing
from appliance.catalog.mirror import mirror_holds
from appliance.catalog.point_list import PointSummary, list_points, summarize
from appliance.formats.names import PointName
from appliance.formats.point import COMPLETE
from appliance.store.findings import read_findings
from appliance.store.points import BOX, PointFile
from appliance.store.store import Store

Json = dict[str, Any]
LockOf = Callable[[PointFile], str | None]
"""Until when no vault deletes a point, as a time."""
_VERSION = "learned"


@dataclass(frozen=True)
class Learned:
    """What a look came to. `version` changes whenever what pages show does."""

    points: int
    machines: int
    changed: int
    gone: int
    unreadable: int
    version: int


def learn_points(
    store: Store,
    catalog: Catalog,
    listing: Listing,
    *,
    lock_of: LockOf,
    drilled: Mapping[str, str],
) -> Learned:
    """Look at all points once. `drilled`: point -> when a drill proved it."""
    known = listing.stamps()
    holds = mirror_holds(store, catalog)
    hurt = read_findings(store.layout).hurt or {}
    found = list_points(store, catalog)
    points, unreadable = list(found.points), len(found.unreadable)
    here = {store.points.file_of(PointName.parse(point.name)).key for point in points}
    read_away = _ReadAway(store, listing, known)
    points += read_away.all(here)
    rows: dict[tuple[str, str], Json] = {}
    keys: dict[tuple[str, str], str] = {}
    for point in points:
        file = store.points.file_of(PointName.parse(point.name))
        place = (point.machine, point.time)
        keys[place] = file.key
        rows[place] = {
            **_row(point),
            "where": [_spell(one) for one in store.points.where(file)],
            "is_held": file.label in holds,
            "is_doubtful": bool(hurt.get(file.key)),
            "immutable_until": lock_of(file),
            "drilled_at": drilled.get(point.name),
        }
    stamps = {place: f"{keys[place]} {_digest(row)}" for place, row in rows.items()}
    changed = [
        (*place, stamps[place], row)
        for place, row in rows.items()
        if known.get(place) != stamps[place]
    ]
    gone = known.keys() - rows.keys()
    machines = _sum_up(rows.values())
    before = {row["name"]: row for row in listing.machines()}
    fresh = [row for name, row in machines.items() if before.get(name) != row]
    lost = before.keys() - machines.keys()
    version = int(listing.note(_VERSION) or 0)
    if changed or gone or fresh or lost:
        version += 1
        listing.put(changed, gone, fresh, lost)
        listing.put_note(_VERSION, version)
    unreadable += read_away.unreadable
    return Learned(len(rows), len(machines), len(changed), len(gone), unreadable, version)


class _ReadAway:
    """The points that are only in vaults: such a file is read once."""

    def __init__(
        self, store: Store, listing: Listing, known: Mapping[tuple[str, str], str]
    ) -> None:
        self._store = store
        self._listing = listing
        self._places = {stamp.split(" ")[0]: place for place, stamp in known.items()}
        self.unreadable = 0

    def all(self, here: set[str]) -> Iterable[PointSummary]:
        """All but those whose keys are `here`."""
        for file in self._store.points.all_files():
            if file.key not in here:
                try:
                    yield self._read(file)
                except NotFoundError:
                    continue
                except IntegrityError:
                    self.unreadable += 1

    def _read(self, file: PointFile) -> PointSummary:
        place = self._places.get(file.key)
        row = None if place is None else self._listing.point(*place)
        if row is None:
            return summarize(self._store.points.read(file))
        members = {name: row[name] for name in _MEMBERS}
        disks = tuple(disk["size_bytes"] for disk in row["disks"])
        return PointSummary(**members, disks=disks, inconsistent=row["is_inconsistent"])


_MEMBERS = (
    *("name", "machine", "time", "state", "new_bytes", "stored_bytes", "read_bytes", "seconds"),
)


def _row(point: PointSummary) -> Json:
    return {
        **{name: getattr(point, name) for name in _MEMBERS},
        "disks": [
            {"number": number, "size_bytes": size_bytes}
            for number, size_bytes in enumerate(point.disks)
        ],
        "is_inconsistent": point.inconsistent,
    }


def _sum_up(rows: Iterable[Json]) -> dict[str, Json]:
    """What is shown of each machine."""
    machines: dict[str, Json] = {}
    for row in sorted(rows, key=lambda row: str(row["time"])):
        machine = machines.setdefault(
            row["machine"],
            {
                "name": row["machine"],
                "newest_point": None,
                "newest_at": None,
                "oldest_at": row["time"],
                "points": 0,
                "damaged_points": 0,
                "size_bytes": 0,
            },
        )
        machine["points"] += 1
        machine["damaged_points"] += row["state"] == "damaged" or row["is_doubtful"]
        machine["size_bytes"] = sum(disk["size_bytes"] for disk in row["disks"])
        if row["state"] == COMPLETE:
            machine["newest_point"], machine["newest_at"] = row["name"], row["time"]
    return machines


def _spell(place: str) -> str:
    return place if place == BOX else f"vault:{place}"


def _digest(row: Json) -> str:
    text = json.dumps(row, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=12).hexdigest()
