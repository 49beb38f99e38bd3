"""The list of points, from the catalog where it is current and from the store where not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.formats.point import Manifest
from appliance.store.findings import read_findings
from appliance.store.points import PointFile
from appliance.store.store import Store

DAMAGED = "damaged"


@dataclass(frozen=True)
class PointSummary:
    """A point as lists show it. Sizes in bytes."""

    name: str
    machine: str
    time: str
    state: str
    disks: tuple[int, ...]
    inconsistent: bool
    new_bytes: int
    stored_bytes: int
    read_bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `holdfast points --json` prints it."""
        return {
            "name": self.name,
            "machine": self.machine,
            "time": self.time,
            "disks": [{"size_bytes": size_bytes} for size_bytes in self.disks],
            "new_bytes": self.new_bytes,
            "stored_bytes": self.stored_bytes,
            "read_bytes": self.read_bytes,
            "seconds": self.seconds,
            "state": self.state,
            "inconsistent": self.inconsistent,
        }


@dataclass(frozen=True)
class PointList:
    """All points, oldest first, and the files that cannot be read as points."""

    points: tuple[PointSummary, ...]
    unreadable: tuple[str, ...]


def summarize(manifest: Manifest, *, is_damaged: bool = False) -> PointSummary:
    """The summary of a point."""
    return PointSummary(
        name=str(manifest.name),
        machine=manifest.machine,
        time=manifest.name.directory_time,
        state=DAMAGED if is_damaged else manifest.state,
        disks=tuple(disk.size_bytes for disk in manifest.disks),
        inconsistent=any(disk.inconsistent for disk in manifest.disks),
        new_bytes=manifest.new_bytes,
        stored_bytes=manifest.stored_bytes,
        read_bytes=manifest.read_bytes,
        seconds=manifest.seconds,
    )


def list_points(
    store: Store, catalog: Catalog, machine: str | None = None, *, is_everywhere: bool = False
) -> PointList:
    """The points of the store, or of one machine. Reads only files the catalog does not know.

    With `is_everywhere` those that are only in a vault, too.
    """
    if is_everywhere:
        here = {file.key for file in store.points.files(machine)}
        away = [file for file in store.points.all_files(machine) if file.key not in here]
        return _list_away(store, away, list_points(store, catalog, machine))
    known = catalog.summaries()
    damaged = {show_name(store, name) for name in catalog.damaged_points()}
    hurt = read_findings(store.layout).hurt or {}
    learned: dict[str, tuple[str, dict[str, Any]]] = {}
    found: list[PointSummary] = []
    unreadable: list[str] = []
    keys = set()
    for file in store.points.files(machine):
        try:
            stamp = _stamp(store, file)
            keys.add(file.key)
            if file.key in known and known[file.key][0] == stamp:
                summary = _show(store, _from_row(known[file.key][1]))
            else:
                summary = summarize(store.points.read(file))
                learned[file.key] = (stamp, _to_row(summary))
        except NotFoundError:
            continue
        except (IntegrityError, TypeError, KeyError) as error:
            unreadable.append(str(error))
            continue
        # The catalog may have been lost; what the store itself knows is not.
        found.append(
            _with_damage(summary, damaged | {summary.name} if hurt.get(file.key) else damaged)
        )
    if learned:
        catalog.put_summaries(learned)
    if machine is None and known.keys() - keys:
        catalog.remove_summaries(known.keys() - keys)
    found.sort(key=lambda summary: (summary.time, summary.machine))
    return PointList(tuple(found), tuple(unreadable))


def recall_point(store: Store, catalog: Catalog, file: PointFile) -> PointSummary | None:
    """What the catalog remembers of one point, if it is of the file as it is now."""
    found = catalog.find_summary(file.key)
    if found is None or found[0] != _stamp(store, file):
        return None
    try:
        return _show(store, _from_row(found[1]))
    except (TypeError, KeyError):
        return None


def _list_away(store: Store, files: list[PointFile], here: PointList) -> PointList:
    """The points on the box, and those in `files`."""
    found, unreadable = list(here.points), list(here.unreadable)
    for file in files:
        try:
            found.append(summarize(store.points.read(file)))
        except NotFoundError:
            continue
        except IntegrityError as error:
            unreadable.append(str(error))
    found.sort(key=lambda summary: (summary.time, summary.machine))
    return PointList(tuple(found), tuple(unreadable))


def _stamp(store: Store, file: PointFile) -> str:
    try:
        status = (store.layout.points / file.key).stat()
    except FileNotFoundError as error:
        raise NotFoundError(f"point file {file.key} is gone") from error
    return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


def _show(store: Store, summary: PointSummary) -> PointSummary:
    """With the name that the machine has today."""
    name = store.points.names.current(summary.machine)
    if name == summary.machine:
        return summary
    return replace(summary, machine=name, name=f"{name}@{summary.time}")


def show_name(store: Store, point: str) -> str:
    """The name of a point with the name that its machine has today."""
    machine, _, time = point.rpartition("@")
    return f"{store.points.names.current(machine)}@{time}"


def _with_damage(summary: PointSummary, damaged: set[str]) -> PointSummary:
    if summary.name not in damaged:
        return summary
    return PointSummary(**{**_to_row(summary), "state": DAMAGED, "disks": summary.disks})


def _to_row(summary: PointSummary) -> dict[str, Any]:
    return {**summary.__dict__}


def _from_row(row: dict[str, Any]) -> PointSummary:
    return PointSummary(**{**row, "disks": tuple(row["disks"])})
