"""The catalog database: summaries of points and of records, damage, measurements and findings.

Derived and disposable: a missing or malformed file is replaced by an empty one, and when the disk
is full what could not be noted is found out again later.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from appliance.base.durable import move_file
from appliance.base.errors import HoldfastError, NotFoundError

if TYPE_CHECKING:
    import sqlite_utils

_SCHEMA_VERSION = 1
_WAIT_S = 30.0
# A spoiled page shows when it is read: as an error of SQLite or as text that is no summary.
_MALFORMED = (sqlite3.DatabaseError, ValueError, TypeError)
_SUMMARIES: dict[str, Any] = {"key": str, "stamp": str, "summary": str}
# Name -> columns, and which of them are the key.
_TABLES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    **dict.fromkeys(("points", "records", "drills"), (_SUMMARIES, ("key",))),
    "damage": ({"point": str, "hurt_bytes": int, "noticed": str}, ("point",)),
    "measurements": (
        {"subject": str, "what": str, "since": float, "until": float, "value": float},
        ("subject", "what", "since"),
    ),
    "findings": ({"key": str, "subject": str, "standing": str}, ("key",)),
    "disk_seats": (
        {
            **dict.fromkeys(("serial", "name", "model", "bay", "bus_path", "array"), str),
            **{"member": str, "slot": int, "carries": str, "seen": float},
        },
        ("serial", "array", "member"),
    ),
}
_Result = TypeVar("_Result")
Table = Literal["points", "records", "drills"]


class Catalog:
    """One open catalog. Close it when done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = self._open_usable()

    def _open_usable(self) -> sqlite_utils.Database:
        for attempt in (self._open, self._replace):
            try:
                return attempt(self._path)
            except sqlite3.OperationalError:
                break  # a full or read-only disk: this run works without remembering anything
            except (HoldfastError, *_MALFORMED):
                continue
        return self._open(":memory:")

    def _replace(self, path: Path) -> sqlite_utils.Database:
        # Set aside, not deleted: somebody may want to know what happened.
        with contextlib.suppress(NotFoundError):
            move_file(path, path.with_suffix(".damaged"))
        return self._open(path)

    def do(self, work: Callable[[sqlite_utils.Database], _Result]) -> _Result:
        """Do `work`; without what was remembered when the file is malformed or unusable.

        Any thread may ask; one works at a time.
        """
        with self._lock:
            return self._do_alone(work)

    def _do_alone(self, work: Callable[[sqlite_utils.Database], _Result]) -> _Result:
        try:
            return work(self._database)
        except sqlite3.OperationalError:
            pass  # a full disk, a busy file: what cannot be noted now is found out again later
        except _MALFORMED:
            with contextlib.suppress(HoldfastError, *_MALFORMED):
                self._use(self._replace(self._path))
                return work(self._database)
        self._use(self._open(":memory:"))
        return work(self._database)

    def _use(self, fresh: sqlite_utils.Database) -> None:
        self._database.conn.close()
        self._database = fresh

    def _open(self, path: Path | str) -> sqlite_utils.Database:
        connection = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
        # A flipped bit may make text that is none: what it says then is known to be wrong.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        if isinstance(path, Path):
            path.chmod(0o600)
        # Slow to import: not for commands that read no lists.
        import sqlite_utils  # noqa: PLC0415

        database = sqlite_utils.Database(connection)
        version = connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"catalog version {version}")
        for name, (columns, key) in _TABLES.items():
            database.table(name).create(columns, pk=key, if_not_exists=True)
            if list(database.table(name).columns_dict) != list(columns):
                raise sqlite3.DatabaseError(f"table {name} is spoiled")
        # A number never comes twice: listeners remember the last that they read.
        connection.execute(
            "create table if not exists finding_news"
            " (number integer primary key autoincrement, key text, kind text, finding text)"
        )
        connection.execute(f"pragma user_version = {_SCHEMA_VERSION}")
        return database

    def summaries(self, table: Table = "points") -> dict[str, tuple[str, dict[str, Any]]]:
        """Key of a file -> (stamp of the file it was made from, summary).

        Where one row was spoiled, nothing of its table is remembered.
        """

        def read(database: sqlite_utils.Database) -> dict[str, tuple[str, dict[str, Any]]]:
            found = {}
            for row in database.table(table).rows:
                summary = _unsealed(row["key"], row["stamp"], row["summary"])
                if summary is None:  # perhaps its key, and then the table's index is wrong, too
                    with database.conn:
                        database.table(table).delete_where()
                    return {}
                found[row["key"]] = summary
            return found

        return self.do(read)

    def find_summary(self, key: str) -> tuple[str, dict[str, Any]] | None:
        """The stamp and the summary of one point's file, if it is known."""

        def find(database: sqlite_utils.Database) -> tuple[str, dict[str, Any]] | None:
            statement = "select stamp, summary from points where key = ?"
            row = database.execute(statement, (key,)).fetchone()
            return None if row is None else _unsealed(key, *row)

        return self.do(find)

    def put_summaries(
        self, summaries: Mapping[str, tuple[str, dict[str, Any]]], table: Table = "points"
    ) -> None:
        """Note summaries of points, or of sealed records."""
        rows = [
            {"key": key, "stamp": _sealed(key, stamp, text), "summary": text}
            for key, (stamp, summary) in summaries.items()
            for text in [json.dumps(summary)]
        ]
        self.do(lambda database: database.table(table).upsert_all(rows, pk="key"))

    def remove_summaries(self, keys: set[str], table: Table = "points") -> None:
        """Files that are gone."""
        statement = {
            "points": "delete from points where key = ?",
            "records": "delete from records where key = ?",
            "drills": "delete from drills where key = ?",
        }[table]

        def remove(database: sqlite_utils.Database) -> None:
            with database.conn:
                database.conn.executemany(statement, [(key,) for key in keys])

        self.do(remove)

    def damaged_points(self) -> set[str]:
        """Names of points that the last verification found hurt."""
        return self.do(lambda database: {row["point"] for row in database.table("damage").rows})

    def set_damage(self, checked: set[str], hurt: Mapping[str, int], noticed: str) -> None:
        """Replace what is known of `checked` points by `hurt`: point -> bytes."""
        rows = [
            {"point": point, "hurt_bytes": count, "noticed": noticed}
            for point, count in hurt.items()
        ]

        def replace(database: sqlite_utils.Database) -> None:
            with database.conn:
                database.conn.executemany(
                    "delete from damage where point = ?", [(point,) for point in checked]
                )
                database.table("damage").upsert_all(rows, pk="point")

        self.do(replace)

    def close(self) -> None:
        """Let go of the file."""
        self._database.conn.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sealed(key: str, stamp: str, summary: str) -> str:
    """The stamp with a checksum of the row: SQLite has none, and a wrong summary is believed."""
    return f"{stamp}#{zlib.crc32(json.dumps([key, stamp, summary]).encode()):08x}"


def _unsealed(key: str, sealed: str, summary: str) -> tuple[str, dict[str, Any]] | None:
    """Stamp and summary of a row, if they are what was noted."""
    stamp = str(sealed).rpartition("#")[0]
    return (stamp, json.loads(summary)) if sealed == _sealed(key, stamp, summary) else None
