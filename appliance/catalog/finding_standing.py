"""What is known of a finding besides itself, and what a new look changes about it.

Owns the rules of when somebody is told: once, again when it worsens, again when it comes back.
Never reads or writes a table (see `finding_log`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from appliance.formats.fields import Fields
from appliance.formats.finding import SEVERITIES, Finding, Severity, decode_finding, sort_findings
from appliance.formats.names import format_time, parse_time

FORGET_AFTER = timedelta(days=7)
"""What was gone for so long is new when it comes back."""
RETURNS_TOLD = 3
"""How often a day it is told that a finding came back; more often it flaps, and is quiet."""
_DAY = timedelta(days=1)

Kind = Literal["new", "worse", "gone"]


@dataclass(frozen=True)
class Standing:
    """A finding, and what is known of it.

    Attributes:
        since: when it was first seen.
        worsened: when it last became worse, or came back; at first `since`.
        gone: when it was first seen no more; None while it stands.
        acknowledged: when somebody said that they know; None before, and when it was told again.
        told_severity: with `told_measure`, as bad as it ever was while it stood.
        returns: when it was told that it came back, the last few times.
        is_quiet: it came back without a word, and goes without one.
    """

    finding: Finding
    since: datetime
    worsened: datetime
    told_severity: Severity
    told_measure: float
    gone: datetime | None = None
    acknowledged: datetime | None = None
    returns: tuple[datetime, ...] = ()
    is_quiet: bool = False

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
            "returns": [format_time(moment) for moment in self.returns],
            "is_quiet": self.is_quiet,
        }


def compare(
    known: Mapping[str, Standing],
    found: Mapping[str, Finding],
    now: datetime,
    looked_at: Callable[[str], bool],
) -> tuple[dict[str, Standing], list[tuple[Kind, Finding]]]:
    """What stands after a look that found `found`, by key, and the news, worst first.

    `looked_at` says of a subject whether this look could have found something about it.
    """
    kept: dict[str, Standing] = {}
    told: dict[Kind, list[Finding]] = {"new": [], "worse": [], "gone": []}
    for key, finding in found.items():
        kept[key], kind = _see(known.get(key), finding, now)
        if kind is not None:
            told[kind].append(finding)
    for key, before in known.items():
        if key in found:
            continue
        if before.gone is None and looked_at(before.finding.subject):
            kept[key] = replace(before, gone=now)
            if not before.is_quiet:
                told["gone"].append(before.finding)
        elif before.gone is None or now - before.gone < FORGET_AFTER:
            kept[key] = before
    return kept, [(kind, item) for kind, items in told.items() for item in sort_findings(items)]


def _see(before: Standing | None, finding: Finding, now: datetime) -> tuple[Standing, Kind | None]:
    """The standing of `finding` that is there now, and what is to be told of it."""
    fresh = Standing(finding, now, now, finding.severity, finding.measure)
    if before is None:
        return fresh, "new"
    if finding.is_worse_than(before.told_severity, before.told_measure):
        return replace(fresh, since=before.since, returns=before.returns), "worse"
    if before.gone is None:
        return replace(before, finding=finding), None
    recent = tuple(moment for moment in before.returns if now - moment < _DAY)
    # What is only good to know may come and go without a word.
    if finding.severity == "notice" or len(recent) >= RETURNS_TOLD:
        return replace(before, finding=finding, gone=None, is_quiet=True), None
    return replace(fresh, since=before.since, returns=(*recent, now)), "new"


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
    returns = fields.get("returns")
    if not isinstance(returns, list):
        raise fields.fault("returns", "a list")
    return Standing(
        finding,
        since,
        worsened,
        cast(Severity, fields.choice("told_severity", SEVERITIES)),
        measure,
        gone=_decode_time(fields, "gone"),
        acknowledged=_decode_time(fields, "acknowledged"),
        returns=tuple(_parse(fields, moment) for moment in returns),
        is_quiet=fields.get("is_quiet") is True,
    )


def _decode_time(fields: Fields, name: str) -> datetime | None:
    return None if fields.get(name) is None else parse_time(fields.text(name))


def _parse(fields: Fields, value: object) -> datetime:
    moment = parse_time(value) if isinstance(value, str) else None
    if moment is None:
        raise fields.fault("returns", "a list of times")
    return moment
