"""What was measured before, so that trends can be seen: of disks, filesystems, anything.

Owns the table of measurements. A value that does not change takes one row however often it is
noted, and nothing grows without end: old rows are thinned. Lost with the catalog, and then trends
begin anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.catalog.catalog import Catalog

if TYPE_CHECKING:
    import sqlite_utils

ROWS_MAX = 1000
"""Of one kind of value of one subject; then every second of the older half goes."""
UNCHANGED_S = 3600.0
"""A value that stays is written down this often: most looks cost the disk nothing."""
_LAST = (
    "select since, until, value from measurements where subject = ? and what = ?"
    " order by since desc limit 1"
)
_RECALL = (
    "select since, until, value from measurements where subject = ? and what = ? and until >= ?"
    " order by since"
)
_KINDS = "select distinct what from measurements where subject = ? order by what"
_THIN = (
    "delete from measurements where rowid in (select rowid from (select rowid,"
    " row_number() over (order by since) as number from measurements"
    " where subject = ? and what = ?) where number > 1 and number <= ? and number % 2 = 0)"
)


class Measurements:
    """The history of numbers. Any thread may ask."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        """Remember a value. One from before the last is not: a clock was set back."""
        at_s = when.timestamp()

        def remember(database: sqlite_utils.Database) -> None:
            with database.conn:
                last = database.execute(_LAST, (subject, what)).fetchone()
                if last is not None and at_s < last[1]:
                    return
                if last is not None and last[2] == value:
                    if at_s - last[1] < UNCHANGED_S:
                        return
                    database.execute(
                        "update measurements set until = ?"
                        " where subject = ? and what = ? and since = ?",
                        (at_s, subject, what, last[0]),
                    )
                    return
                database.execute(
                    "insert or replace into measurements (subject, what, since, until, value)"
                    " values (?, ?, ?, ?, ?)",
                    (subject, what, at_s, at_s, value),
                )
                self._thin(database, subject, what)

        self._catalog.do(remember)

    @staticmethod
    def _thin(database: sqlite_utils.Database, subject: str, what: str) -> None:
        key = (subject, what)
        count = database.execute(
            "select count(*) from measurements where subject = ? and what = ?", key
        ).fetchone()[0]
        if count > ROWS_MAX:
            database.execute(_THIN, (*key, ROWS_MAX // 2))

    def recall(self, subject: str, what: str, since: datetime) -> Sequence[tuple[datetime, float]]:
        """Values of `what`, oldest first: each when it was first and when it was last seen."""
        since_s = since.timestamp()
        rows = self._catalog.do(
            lambda database: database.execute(_RECALL, (subject, what, since_s)).fetchall()
        )
        values = []
        for first_s, last_s, value in rows:
            values.append((_to_time(max(first_s, since_s)), float(value)))
            if last_s > max(first_s, since_s):
                values.append((_to_time(last_s), float(value)))
        return values

    def recall_all(
        self, subject: str, since: datetime
    ) -> dict[str, Sequence[tuple[datetime, float]]]:
        """What `recall` gives, for every kind of value that was seen of `subject` since then."""
        rows = self._catalog.do(lambda database: database.execute(_KINDS, (subject,)).fetchall())
        found = {str(what): self.recall(subject, str(what), since) for (what,) in rows}
        return {what: values for what, values in found.items() if values}


def _to_time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
