"""Machines and points as pages show them: `STATE/listing.sqlite`, derived and disposable.

Owns the tables, and that a page of a hundred thousand points costs what a page of ten costs. It is
filled by whoever may open the store (`learn`), and read by whoever may not. A file that cannot be
read is replaced by an empty one.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

FILE_NAME = "listing.sqlite"
_VERSION = 1
_WAIT_S = 10.0
_Result = TypeVar("_Result")
_TABLES = """
create table if not exists points (
    machine text not null, time text not null, stamp text not null, row text not null,
    primary key (machine, time)) without rowid;
create table if not exists machines (name text primary key, row text not null) without rowid;
create table if not exists notes (name text primary key, value text not null) without rowid;
"""


class Listing:
    """The open file. Any thread may ask; a reader never waits for a writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = self._open_usable()

    def _open_usable(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            for end in ("", "-wal", "-shm"):
                Path(f"{self._path}{end}").unlink(missing_ok=True)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, timeout=_WAIT_S, check_same_thread=False, isolation_level=None
        )
        try:
            self._path.chmod(0o600)
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")
            version = database.execute("pragma user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
            database.executescript(f"{_TABLES} pragma user_version = {_VERSION};")
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._lock:
            try:
                return work(self._database)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._database.close()
                self._database = self._open_usable()
                return work(self._database)

    # ---- reading ----

    def version(self) -> tuple[int, int]:
        """Changes whenever somebody wrote."""
        return self._do(
            lambda database: (
                int(database.execute("pragma data_version").fetchone()[0]),
                database.total_changes,
            )
        )

    def machines(self) -> list[dict[str, Any]]:
        """All machines, by name."""
        return self._do(
            lambda database: [
                json.loads(row) for (row,) in database.execute("select row from machines")
            ]
        )

    def page(
        self,
        machine: str,
        *,
        before: str | None = None,
        since: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Points of a machine, newest first: earlier than `before`, not earlier than `since`."""
        # Times are spelled with a fixed width, so text sorts as they do; ~ comes after all of them.
        values = (machine, before or "~", since or "", limit)
        return self._do(
            lambda database: [
                json.loads(row)
                for (row,) in database.execute(
                    "select row from points where machine = ? and time < ? and time >= ?"
                    " order by time desc limit ?",
                    values,
                )
            ]
        )

    def point(self, machine: str, time: str) -> dict[str, Any] | None:
        """One point."""
        found = self._do(
            lambda database: database.execute(
                "select row from points where machine = ? and time = ?", (machine, time)
            ).fetchone()
        )
        return None if found is None else json.loads(found[0])

    def note(self, name: str) -> Any:
        """Something that was noted by `put_note`; None if it was not."""
        found = self._do(
            lambda database: database.execute(
                "select value from notes where name = ?", (name,)
            ).fetchone()
        )
        return None if found is None else json.loads(found[0])

    # ---- writing ----

    def stamps(self, machine: str | None = None) -> dict[tuple[str, str], str]:
        """(machine, time) -> what `put` was given with the point."""
        where, values = ("where machine = ?", (machine,)) if machine is not None else ("", ())
        statement = f"select machine, time, stamp from points {where}"  # noqa: S608
        return self._do(
            lambda database: {
                (row[0], row[1]): row[2] for row in database.execute(statement, values)
            }
        )

    def put(
        self,
        points: Iterable[tuple[str, str, str, Mapping[str, Any]]],
        gone: Iterable[tuple[str, str]],
        machines: Iterable[Mapping[str, Any]],
        lost: Iterable[str] = (),
    ) -> None:
        """Take in (machine, time, stamp, row) of points and rows of machines; drop what is gone."""
        learned = [(machine, time, stamp, json.dumps(row)) for machine, time, stamp, row in points]
        named = [(row["name"], json.dumps(row)) for row in machines]

        def work(database: sqlite3.Connection) -> None:
            with _transaction(database):
                database.executemany("delete from points where machine = ? and time = ?", gone)
                database.executemany(
                    "delete from machines where name = ?", [(one,) for one in lost]
                )
                database.executemany("insert or replace into points values (?, ?, ?, ?)", learned)
                database.executemany("insert or replace into machines values (?, ?)", named)

        self._do(work)

    def put_note(self, name: str, value: Any) -> None:
        """Note something."""
        text = json.dumps(value)

        def work(database: sqlite3.Connection) -> None:
            database.execute("insert or replace into notes values (?, ?)", (name, text))

        self._do(work)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Any:
    database.execute("begin immediate")
    try:
        yield
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            database.execute("rollback")
        raise
