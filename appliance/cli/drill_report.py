"""What the drill report is made of, gathered from the store and the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from appliance.base.errors import NotFoundError
from appliance.base.text import printable
from appliance.catalog.catalog import Catalog
from appliance.catalog.point_list import list_points
from appliance.catalog.vault_ledger import LEDGER, VaultLedger
from appliance.cli.drills import open_records
from appliance.cli.session import Session
from appliance.drills.gbt20988 import judge_transfer, longest_gap_s
from appliance.drills.places import evidence_folder
from appliance.drills.records import DrillSummary, MachineTrend
from appliance.drills.report import OffSite, Subject
from appliance.formats.drill import DrillRecord
from appliance.formats.names import PointName
from appliance.formats.point import COMPLETE
from appliance.recovery.runtime import Runtime
from appliance.vault.registry import Registry


def collect_subjects(session: Session, drill: str | None) -> list[Subject]:
    """Each machine of `drill`; without one, each machine that was ever drilled, in its newest.

    Raises NotFoundError when there is no drill.
    """
    records = open_records(session)
    with Catalog(session.state / "catalog.db") as catalog:
        summaries, _ = records.list(catalog)
        points = list_points(session.store, catalog).points
    wanted = [each for each in summaries if drill in (None, each.id)]
    if not wanted:
        if drill is None:
            raise NotFoundError("there is no drill yet: 'holdfast drill run MACHINE' makes one")
        raise NotFoundError(
            f"there is no drill {printable(drill)}: 'holdfast drill list' lists them"
        )
    newest = {machine.name: each.id for each in wanted for machine in each.machines}
    read = {name: records.read(name) for name in set(newest.values())}
    subjects = []
    for machine, name in sorted(newest.items()):
        times = [
            PointName.parse(point.name).time
            for point in points
            if point.machine == machine and point.state == COMPLETE
        ]
        subjects.append(
            Subject(
                name=machine,
                record=read[name],
                result=next(each for each in read[name].machines if each.name == machine),
                folder=evidence_folder(Runtime(session.state), name),
                points=times,
                off_site=_find_off_site(session, machine),
                trend=_find_trend(summaries, machine, read[name]),
            )
        )
    return subjects


def _find_off_site(session: Session, machine: str) -> OffSite:
    """Points of a machine in vaults that are reached over a line, as the box remembers them.

    A folder or a disk of the box is no copy off site, whatever may become of it.
    """
    registry = Registry(session.store)
    folder = session.store.points.folder_of(machine)
    stems: set[str] = set()
    for name in registry.names():
        path = registry.folder(name) / LEDGER
        if not registry.get(name).url.startswith("s3://") or not path.exists():
            continue
        ledger = VaultLedger(path)
        try:
            stems.update(ledger.points(folder))
        finally:
            ledger.close()
    times = [PointName.from_file_time(machine, stem).time for stem in sorted(stems)]
    return OffSite(times, judge_transfer(longest_gap_s(times, session.clock.now())))


def _find_trend(
    summaries: Iterable[DrillSummary], machine: str, until: DrillRecord
) -> list[tuple[DrillSummary, MachineTrend]]:
    return [
        (summary, result)
        for summary in summaries
        for result in summary.machines
        if result.name == machine and summary.id <= until.id
    ]


def hash_records(session: Session, drills: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the file of each drill's record."""
    records = open_records(session)
    return {name: hashlib.sha256(records.path(name).read_bytes()).hexdigest() for name in drills}
