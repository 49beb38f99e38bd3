"""Verification: what is damaged, and which points it hurts. Changes nothing.

The depths are those of `checks.ContainerCheck`; at each the maps of all points are followed, so
that what is missing is noticed too. Memory does not grow with the store but for a bit per page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from appliance.base.errors import HoldfastError
from appliance.base.progress import Progress
from appliance.store.checks import Checked, ContainerCheck, Depth, Fault, check_all
from appliance.store.containers import list_names, total_bytes
from appliance.store.impact import Assessment, Impact, fate_of
from appliance.store.layout import Layout
from appliance.store.points import PointFile
from appliance.store.store import Store

# Beyond this nothing more is learned from naming each: the count goes on.
FAULTS_MAX = 100_000


@dataclass(frozen=True)
class Report:
    """What a verification found. Sound means: nothing is damaged or missing."""

    depth: Depth
    checked_containers: int
    checked_bytes: int
    faults: tuple[Fault, ...]
    assessment: Assessment | None
    """None where no key was there to read points with."""

    missing: tuple[tuple[bytes, str], ...] = ()
    """Containers that were not damaged when they were read, yet do not give what they should."""

    repaired: frozenset[bytes] = frozenset()
    """The damaged containers that are whole again."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged any more."""
        found = self.assessment
        is_whole = all(fault.name in self.repaired for fault in self.faults)
        return is_whole and (found is None or not (found.hurts or found.unreadable))


class Verification:
    """One verification run."""

    def __init__(self, store: Store, progress: Progress, depth: Depth) -> None:
        self._store = store
        self._progress = progress
        self._depth = depth
        self._tally = Tally()

    def run(self, only: PointFile | None = None) -> Report:
        """Verify everything, or what one point needs."""
        files = [only] if only else list(self._store.points.files())
        names, total = self._containers(only)
        check = ContainerCheck(self._store.layout, self._store.keys, self._depth)
        self._progress.phase("reading containers", total=total)
        self._tally.count(check_all(names, check.check, self._progress))
        impact = Impact(self._store, self._tally.faults, self._progress)
        assessment = impact.assess(files)
        names_hurting = sorted(assessment.consequences.keys() - self._tally.faults.keys())
        missing = tuple((name, fate_of(self._store.layout, name)) for name in names_hurting)
        return replace(self._tally.report(self._depth, assessment), missing=missing)

    def _containers(self, only: PointFile | None) -> tuple[Iterable[bytes], int]:
        layout = self._store.layout
        if only is None:
            return list_names(layout), total_bytes(layout)
        try:
            manifest = self._store.points.read(only)
        except HoldfastError:
            return [], 0  # the walk says what is wrong with it
        self._progress.phase("following references", unit="items")
        names = sorted(Impact(self._store, {}, self._progress).containers_of(manifest))
        paths = map(layout.container, names)
        return names, sum(path.stat().st_size for path in paths if path.exists())


def verify_ciphertext(layout: Layout, progress: Progress) -> Report:
    """Compare every container with its name. Needs no key, so it knows nothing of points."""
    progress.phase("reading containers", total=total_bytes(layout))
    check = ContainerCheck(layout, None, "ciphertext")
    tally = Tally()
    tally.count(check_all(list_names(layout), check.check, progress))
    return tally.report("ciphertext", None)


class Tally:
    """Counts what was checked."""

    def __init__(self) -> None:
        self.faults: dict[bytes, Fault] = {}
        self._containers = 0
        self._bytes = 0

    def count(self, checked: Iterator[Checked]) -> None:
        """Take in what a check found."""
        for one in checked:
            self._containers += 1
            self._bytes += one.size_bytes
            if one.fault is not None and len(self.faults) < FAULTS_MAX:
                self.faults[one.name] = one.fault

    def report(self, depth: Depth, assessment: Assessment | None) -> Report:
        """All of it."""
        faults = tuple(self.faults.values())
        return Report(depth, self._containers, self._bytes, faults, assessment)
