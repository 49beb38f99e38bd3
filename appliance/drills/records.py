"""Drill records: sealed in the store, listed from the catalog.

Owns where they lie and what the catalog remembers of each. The store's record is the truth: what
the catalog has lost is read again.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from appliance.base import durable
from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.base.text import printable
from appliance.catalog.catalog import Catalog
from appliance.formats.drill import DrillRecord, Verdict, decode_drill, encode_drill
from appliance.store.records import Records

_FOLDER = "drills"
_SUFFIX = ".drill"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z")


class MachineTrend(msgspec.Struct, frozen=True):
    """A machine in one drill, as trends show it."""

    name: str
    point: str
    verdict: Verdict
    rto_s: float | None
    rpo_s: float


class DrillSummary(msgspec.Struct, frozen=True):
    """A drill as lists show it."""

    id: str
    plan: str
    began: str
    verdict: Verdict
    rto_s: float | None
    machines: tuple[MachineTrend, ...]


def summarize(record: DrillRecord) -> DrillSummary:
    """What lists show of a drill."""
    machines = tuple(
        MachineTrend(each.name, each.point, each.verdict, each.rto_s, each.rpo_s)
        for each in record.machines
    )
    return DrillSummary(
        record.id, record.plan, record.began, record.verdict, record.rto_s, machines
    )


class DrillRecords:
    """The drill records of one store."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def put(self, record: DrillRecord) -> None:
        """Seal a record, durably on return."""
        durable.make_directory(self._records.path(_FOLDER))
        self._records.write(_place(record.id), encode_drill(record))

    def read(self, drill: str) -> DrillRecord:
        """The record of a drill. Raises UsageError, NotFoundError or IntegrityError."""
        if not _ID.fullmatch(drill):
            raise UsageError(
                f"'{printable(drill)[:80]}' is no drill: 'holdfast drill list' lists them"
            )
        data = self._records.read(_place(drill))
        if data is None:
            raise NotFoundError(
                f"there is no drill {drill}: 'holdfast drill list' lists them", code="no-drill"
            )
        record = decode_drill(data)
        if record.id != drill:
            raise IntegrityError(f"drill {drill}: its record is that of another drill")
        return record

    def path(self, drill: str) -> Path:
        """The file that holds the record of a drill."""
        return self._records.path(_place(drill))

    def list(self, catalog: Catalog) -> tuple[list[DrillSummary], list[str]]:
        """All drills, oldest first, and those whose record is damaged. Brings `catalog` up to date.

        Reads only the records that the catalog does not know yet.
        """
        known = catalog.summaries("drills")
        found: list[DrillSummary] = []
        damaged = []
        learned = {}
        places = list(self._records.places(_FOLDER, _SUFFIX))
        for place in places:
            stamp = self._records.stamp(place)
            drill = Path(place).stem
            try:
                summary = _recall(known.get(place), stamp)
                if summary is None:
                    summary = summarize(self.read(drill))
                    learned[place] = (stamp, msgspec.to_builtins(summary))
            except (IntegrityError, UsageError):
                damaged.append(drill)
                continue
            except NotFoundError:
                continue
            found.append(summary)
        catalog.put_summaries(learned, "drills")
        catalog.remove_summaries(known.keys() - set(places), "drills")
        return found, damaged


def _place(drill: str) -> str:
    return f"{_FOLDER}/{drill}{_SUFFIX}"


def _recall(known: tuple[str, object] | None, stamp: str) -> DrillSummary | None:
    """What the catalog remembers, if it is of this very file."""
    if known is None or known[0] != stamp:
        return None
    try:
        return msgspec.convert(known[1], DrillSummary)
    except msgspec.ValidationError:
        return None
