"""Which findings stand, since when, and which of them somebody knows of.

Owns the table of findings: a finding is told once, stays quiet while nothing changes or after it
was acknowledged, and is told again when it worsens. Lost with the catalog, and then everything
that still stands is told once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.formats.fields import Fields, parse_json
from appliance.formats.finding import SEVERITIES, Finding, Severity, decode_finding, sort_findings
from appliance.formats.names import format_time, parse_time

if TYPE_CHECKING:
    import sqlite_utils

FORGET_AFTER = timedelta(days=7)
"""What was gone for so long is new when it comes back; before, it is the same thing again."""


@dataclass(frozen=True)
class Standing:
    """A finding, and what is known of it.

    Attributes:
        since: when it was first seen.
        worsened: when it last became worse; at first `since`.
        gone: when it was first seen no more; None while it stands.
        acknowledged: when somebody said that they know; None before and after it worsened.
        told_severity: with `told_measure`, as bad as it ever was while it stood.
    """

    finding: Finding
    since: datetime
    worsened: datetime
    told_severity: Severity
    told_measure: float
    gone: datetime | None = None
    acknowledged: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is kept, and as `--json` prints it."""
        return {
            "finding": self.finding.to_json(),
            "since": format_time(self.since),
            "worsened": format_time(self.worsened),
            "told_severity": self.told_severity,
            "told_measure": self.told_measure,
            "gone": None if self.gone is None else format_time(self.gone),
            "acknowledged": None if self.acknowledged is None else format_time(self.acknowledged),
        }


@dataclass(frozen=True)
class News:
    """What changed: everything else is as it was, and needs no words."""

    new: tuple[Finding, ...] = ()
    worse: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing changed."""
        return not (self.new or self.worse or self.gone)


def _look_at_all(_: str) -> bool:
    return True


class FindingLog:
    """The standing of findings. Any thread may ask."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def observe(
        self,
        findings: Iterable[Finding],
        now: datetime,
        *,
        looked_at: Callable[[str], bool] = _look_at_all,
    ) -> News:
        """Take in what was found, and say what is new about it.

        `looked_at` says of a subject whether this look could have found something about it: what
        stood of others still stands.
        """
        now = now.replace(microsecond=0)
        found = {finding.key: finding for finding in findings}
        known = self._read()
        new, worse, gone, kept = [], [], [], {}
        for key, finding in found.items():
            before = known.get(key)
            if before is None:
                new.append(finding)
                kept[key] = _begin(finding, now)
            elif finding.is_worse_than(before.told_severity, before.told_measure):
                worse.append(finding)
                kept[key] = replace(_begin(finding, now), since=before.since)
            else:
                kept[key] = replace(before, finding=finding, gone=None)
        for key, before in known.items():
            if key in found:
                continue
            if looked_at(before.finding.subject) and before.gone is None:
                gone.append(before.finding)
                kept[key] = replace(before, gone=now)
            elif before.gone is None or now - before.gone < FORGET_AFTER:
                kept[key] = before
        self._write(kept)
        return News(*(tuple(sort_findings(items)) for items in (new, worse, gone)))

    def acknowledge(self, key: str, now: datetime) -> Standing:
        """Somebody knows of `key` and wants to hear of it only if it worsens.

        Raises NotFoundError if no such finding stands.
        """
        known = self._read()
        standing = known.get(key)
        if standing is None or standing.gone is not None:
            raise NotFoundError(f"no finding '{key}' stands: 'holdfast health' lists them")
        finding = standing.finding
        known[key] = replace(
            standing,
            acknowledged=now.replace(microsecond=0),
            told_severity=finding.severity,
            told_measure=finding.measure,
        )
        self._write(known)
        return known[key]

    def list_standing(self) -> list[Standing]:
        """What stands, worst first."""
        standing = {key: item for key, item in self._read().items() if item.gone is None}
        order = sort_findings(item.finding for item in standing.values())
        return [standing[finding.key] for finding in order]

    def acknowledged_keys(self) -> frozenset[str]:
        """Keys of findings that somebody knows of, as bad as they are."""
        return frozenset(key for key, item in self._read().items() if item.acknowledged is not None)

    def _read(self) -> dict[str, Standing]:
        rows = self._catalog.do(lambda database: list(database.table("findings").rows))
        found = {}
        for row in rows:
            try:
                found[str(row["key"])] = decode_standing(parse_json(row["standing"]))
            except (ValueError, TypeError, IntegrityError):
                continue  # it is told once more
        return found

    def _write(self, standing: dict[str, Standing]) -> None:
        rows = [
            {"key": key, "subject": item.finding.subject, "standing": json.dumps(item.to_json())}
            for key, item in standing.items()
        ]

        def replace_all(database: sqlite_utils.Database) -> None:
            with database.conn:
                database.execute("delete from findings")
                database.table("findings").insert_all(rows, pk="key")

        self._catalog.do(replace_all)


def _begin(finding: Finding, now: datetime) -> Standing:
    return Standing(finding, now, now, finding.severity, finding.measure)


def decode_standing(value: object) -> Standing:
    """Read what `Standing.to_json` gave. Raises IntegrityError."""
    fields = Fields(value, "standing")
    finding = decode_finding(fields.get("finding"))
    measure = fields.get("told_measure")
    if isinstance(measure, bool) or not isinstance(measure, int | float):
        raise fields.fault("told_measure", "a number")
    since, worsened = _decode_time(fields, "since"), _decode_time(fields, "worsened")
    if since is None or worsened is None:
        raise fields.fault("since", "a time")
    return Standing(
        finding,
        since,
        worsened,
        cast(Severity, fields.choice("told_severity", SEVERITIES)),
        measure,
        gone=_decode_time(fields, "gone"),
        acknowledged=_decode_time(fields, "acknowledged"),
    )


def _decode_time(fields: Fields, name: str) -> datetime | None:
    return None if fields.get(name) is None else parse_time(fields.text(name))
