"""Findings that stand, and the news about them, in the catalog.

Owns both tables. Whoever looks adds to the news, and each listener reads on from where it was: a
look by hand takes nothing away from the watch. Lost with the catalog, and then everything that
still stands is told once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.catalog.catalog import Catalog
from appliance.catalog.finding_standing import Kind, Standing, compare, decode_standing
from appliance.formats.fields import parse_json
from appliance.formats.finding import Finding, decode_finding, sort_findings

if TYPE_CHECKING:
    import sqlite3

    import sqlite_utils

NEWS_MAX = 10_000
"""Older news are dropped; a listener that is further behind asks for what stands."""
_SPOILED = (ValueError, TypeError, KeyError, IntegrityError)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class News:
    """What changed: everything else is as it was, and needs no words.

    `new` has what came back, too. `number` is that of the newest news there is.
    """

    new: tuple[Finding, ...] = ()
    worse: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()
    number: int = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing changed."""
        return not (self.new or self.worse or self.gone)


def _look_at_all(_: str) -> bool:
    return True


class FindingLog:
    """The standing of findings. Any thread may ask, and any process may look."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def observe(
        self,
        findings: Collection[Finding],
        now: datetime,
        *,
        looked_at: Callable[[str], bool] = _look_at_all,
        began: int | None = None,
    ) -> News:
        """Take in what was found, and say what is new about it.

        `looked_at` says of a subject whether this look could have found something about it: what
        stood of others still stands. `began` is what `newest` said when the look began: what other
        looks noticed since is younger than this one, and stays as it is.
        """

        def take_in(connection: sqlite3.Connection) -> News:
            known = _read(connection)
            younger = set() if began is None else _keys_since(connection, began)
            kept, told = compare(
                {key: item for key, item in known.items() if key not in younger},
                {item.key: item for item in findings if item.key not in younger},
                now.replace(microsecond=0),
                looked_at,
            )
            kept |= {key: known[key] for key in younger if key in known}
            if kept != known:
                _write(connection, kept)
            _tell(connection, told)
            return _gather(told, _newest(connection))

        return self._change(take_in)

    def newest(self) -> int:
        """The number of the newest news."""
        return self._catalog.do(lambda database: _newest(database.conn))

    def news_since(self, number: int) -> News:
        """What changed after the news of that number, whoever noticed it.

        A number that is higher than the newest comes from a catalog that was lost: all is told.
        """

        def read(database: sqlite_utils.Database) -> News:
            newest = _newest(database.conn)
            rows = database.conn.execute(
                "select kind, finding from finding_news where number > ? order by number",
                (number if number <= newest else 0,),
            )
            return _gather(_decode_news(rows.fetchall()), newest)

        return self._catalog.do(read)

    def acknowledge(self, key: str, now: datetime) -> Standing:
        """Somebody knows of `key` and wants to hear of it only if it worsens or comes back.

        Raises NotFoundError if no such finding stands.
        """

        def note(connection: sqlite3.Connection) -> Standing | None:
            known = _read(connection)
            standing = known.get(key)
            if standing is None or standing.gone is not None:
                return None
            finding = standing.finding
            known[key] = replace(
                standing,
                acknowledged=now.replace(microsecond=0),
                told_severity=finding.severity,
                told_measure=finding.measure,
            )
            _write(connection, known)
            return known[key]

        standing = self._change(note)
        if standing is None:
            raise NotFoundError(f"no finding '{key}' stands: 'holdfast health' lists them")
        return standing

    def list_standing(self) -> list[Standing]:
        """What stands, worst first."""
        known = self._catalog.do(lambda database: _read(database.conn))
        standing = {key: item for key, item in known.items() if item.gone is None}
        order = sort_findings(item.finding for item in standing.values())
        return [standing[finding.key] for finding in order]

    def acknowledged_keys(self) -> frozenset[str]:
        """Keys of findings that somebody knows of, as bad as they are."""
        known = self._catalog.do(lambda database: _read(database.conn))
        return frozenset(key for key, item in known.items() if item.acknowledged is not None)

    def _change(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do `work` as one transaction: two who look at once must not lose what one found."""

        def change(database: sqlite_utils.Database) -> _Result:
            with database.conn as connection:
                connection.execute("begin immediate")
                return work(connection)

        return self._catalog.do(change)


def _read(connection: sqlite3.Connection) -> dict[str, Standing]:
    found = {}
    for key, text in connection.execute("select key, standing from findings").fetchall():
        try:
            found[str(key)] = decode_standing(parse_json(text))
        except _SPOILED:
            continue  # it is told once more
    return found


def _write(connection: sqlite3.Connection, standing: dict[str, Standing]) -> None:
    rows = [
        (key, item.finding.subject, json.dumps(item.to_json())) for key, item in standing.items()
    ]
    connection.execute("delete from findings")
    connection.executemany("insert into findings (key, subject, standing) values (?, ?, ?)", rows)


def _tell(connection: sqlite3.Connection, told: list[tuple[Kind, Finding]]) -> None:
    rows = [(finding.key, kind, json.dumps(finding.to_json())) for kind, finding in told]
    connection.executemany("insert into finding_news (key, kind, finding) values (?, ?, ?)", rows)
    connection.execute(
        "delete from finding_news where number <= ?", (_newest(connection) - NEWS_MAX,)
    )


def _newest(connection: sqlite3.Connection) -> int:
    number = connection.execute("select max(number) from finding_news").fetchone()[0]
    return int(number or 0)


def _keys_since(connection: sqlite3.Connection, number: int) -> set[str]:
    rows = connection.execute("select distinct key from finding_news where number > ?", (number,))
    return {str(row[0]) for row in rows}


def _decode_news(rows: list[tuple[Kind, str]]) -> list[tuple[Kind, Finding]]:
    told = []
    for kind, text in rows:
        try:
            told.append((kind, decode_finding(parse_json(text))))
        except _SPOILED:
            continue  # what still stands is in the other table
    return told


def _gather(told: list[tuple[Kind, Finding]], newest: int) -> News:
    def of(wanted: Kind) -> tuple[Finding, ...]:
        return tuple(finding for kind, finding in told if kind == wanted)

    return News(of("new"), of("worse"), of("gone"), newest)
