"""What a box remembers of one vault: SQLite, derived, made again from a listing when it is lost.

Owns the tables. A row that says that something is in the vault is written only after the vault
said so; a row that is lost costs a request or an object sent again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from appliance.base.durable import move_file
from appliance.base.errors import HoldfastError

LEDGER = "ledger.db"
_SCHEMA = 1
_WAIT_S = 60.0
_DAMAGED = "damaged"
_BATCH = 500  # below SQLite's limit of variables
_TABLES = """
CREATE TABLE IF NOT EXISTS objects (
    number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    kind TEXT NOT NULL, present INTEGER NOT NULL, until INTEGER NOT NULL DEFAULT 0,
    round INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS subtrees (id BLOB PRIMARY KEY, needs BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    machine TEXT NOT NULL, time TEXT NOT NULL, bill BLOB NOT NULL, until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (machine, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sketches (
    feature INTEGER PRIMARY KEY, number INTEGER NOT NULL, ordinal INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sketched (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS merged (
    name BLOB PRIMARY KEY, number INTEGER NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS locks (key TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Held(NamedTuple):
    """An object of a vault. `kind`: the first part of its key; `until_s`: locked until then.

    `until_s` is in seconds since the epoch, 0 where nothing is known of a lock.
    """

    number: int
    name: bytes
    size_bytes: int
    kind: str
    is_present: bool
    until_s: int

    @property
    def key(self) -> str:
        """Where it lies in the vault (docs/format/vault.md)."""
        name = self.name.hex()
        return f"{self.kind}/{name[:2]}/{name}"


class VaultLedger:
    """One open ledger. Thread-safe; several processes may read. Close it when done."""

    def __init__(self, path: Path) -> None:
        """Raises HoldfastError where no ledger can be kept."""
        self._lock = threading.RLock()
        try:
            self._database = _open(path)
        except sqlite3.OperationalError as error:
            raise HoldfastError(f"{path}: {error}") from error
        except sqlite3.DatabaseError:
            move_file(path, path.with_suffix(".damaged"))
            self._database = _open(path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Make all changes of the block at once."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    # ---- objects ----

    def find(self, name: bytes) -> Held | None:
        """The object `name`, if anything was noted of it."""
        rows = self._select(
            "SELECT number, name, size, kind, present, until FROM objects WHERE name = ?", (name,)
        )
        return next(map(_held, rows), None)

    def want(self, name: bytes, size_bytes: int, kind: str = "containers") -> int:
        """The number of an object that a point needs."""
        with self._lock:
            self._database.execute(
                "INSERT OR IGNORE INTO objects (name, size, kind, present) VALUES (?, ?, ?, 0)",
                (name, size_bytes, kind),
            )
            found = self.find(name)
        assert found is not None
        return found.number

    def put_present(self, kind: str, name: bytes, size_bytes: int, until_s: int = 0) -> None:
        """The vault said that it has the object."""
        self._database_do(
            "INSERT INTO objects (name, size, kind, present, until) VALUES (?, ?, ?, 1, ?) "
            "ON CONFLICT (name) DO UPDATE SET size = excluded.size, present = 1, "
            "until = max(until, excluded.until)",
            (name, size_bytes, kind, until_s),
        )

    def set_until(self, name: bytes, until_s: int) -> None:
        """The vault said until when it keeps the object locked."""
        self._database_do("UPDATE objects SET until = ? WHERE name = ?", (until_s, name))

    def set_absent(self, name: bytes) -> None:
        """The vault does not have the object any more."""
        self._database_do("UPDATE objects SET present = 0, until = 0 WHERE name = ?", (name,))

    def objects(self, numbers: Iterable[int]) -> Iterator[Held]:
        """The objects with these numbers, in no order."""
        wanted = list(numbers)
        for at in range(0, len(wanted), _BATCH):
            part = wanted[at : at + _BATCH]
            marks = ",".join("?" * len(part))
            yield from map(
                _held,
                self._select(
                    f"SELECT number, name, size, kind, present, until FROM objects "  # noqa: S608
                    f"WHERE number IN ({marks})",
                    part,
                ),
            )

    def locked_below(self, until_s: int, most: int) -> list[Held]:
        """Objects in the vault that are locked for less, the shortest first."""
        rows = self._select(
            "SELECT number, name, size, kind, present, until FROM objects "
            "WHERE present = 1 AND until < ? ORDER BY until LIMIT ?",
            (until_s, most),
        )
        return list(map(_held, rows))

    def totals(self) -> tuple[int, int]:
        """(number, bytes) of the objects in the vault that points need."""
        rows = self._select(
            "SELECT count(*), coalesce(sum(size), 0) FROM objects WHERE present = 1", ()
        )
        return int(rows[0][0]), int(rows[0][1])

    # ---- what counts no more and stays locked ----

    def let_go(self, name: bytes) -> None:
        """Nothing that lives needs the object; until when it stays locked is still known."""
        with self.batch():
            held = self.find(name)
            if held is not None and held.until_s:
                self.note_lock(held.key, held.until_s)
            self.set_absent(name)

    def note_lock(self, key: str, until_s: int) -> None:
        """What lies under `key` stays locked until then, or for longer if that is known."""
        self._database_do(
            "INSERT INTO locks VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET until = max(until, excluded.until)",
            (key, until_s),
        )

    def lock_of(self, key: str) -> int | None:
        """What `note_lock` noted."""
        rows = self._select("SELECT until FROM locks WHERE key = ?", (key,))
        return int(rows[0][0]) if rows else None

    def drop_lock(self, key: str) -> None:
        """Nothing lies there any more."""
        self._database_do("DELETE FROM locks WHERE key = ?", (key,))

    # ---- what is damaged in the vault ----

    def note_damaged(self, name: bytes) -> None:
        """The object `name` is not what was sent; the next sync sees to it."""
        with self.batch():
            known = set(self.note(_DAMAGED) or ())
            self.set_note(_DAMAGED, sorted({*known, name.hex()}))

    def damaged(self) -> list[bytes]:
        """What was noted as damaged and is not seen to yet."""
        return [bytes.fromhex(name) for name in self.note(_DAMAGED) or ()]

    def forget_damaged(self, names: Iterable[bytes]) -> None:
        """These are seen to."""
        with self.batch():
            done = {name.hex() for name in names}
            self.set_note(_DAMAGED, sorted(set(self.note(_DAMAGED) or ()) - done))

    # ---- what was merged ----

    def small(self, most_bytes: int) -> list[Held]:
        """Containers in the vault of less than so many bytes, oldest first."""
        rows = self._select(
            "SELECT number, name, size, kind, present, until FROM objects WHERE present = 1 "
            "AND size < ? AND kind IN ('containers', 'deltas') ORDER BY number",
            (most_bytes,),
        )
        return list(map(_held, rows))

    def count_containers(self) -> int:
        """How many containers of every size are in the vault."""
        rows = self._select(
            "SELECT count(*) FROM objects WHERE present = 1 AND kind IN ('containers', 'deltas')",
            (),
        )
        return int(rows[0][0])

    def put_merged(self, name: bytes, into: int, since_s: int) -> None:
        """What is needed of container (or bill) `name` lies in object number `into` since then."""
        with self.batch():
            self._database.execute(
                "UPDATE merged SET number = ? WHERE number = "
                "(SELECT number FROM objects WHERE name = ?)",
                (into, name),
            )
            self._database.execute(
                "INSERT OR REPLACE INTO merged VALUES (?, ?, ?)", (name, into, since_s)
            )

    def merged(self, name: bytes) -> int | None:
        """The number of the object into which a container was merged, if that is there."""
        rows = self._select(
            "SELECT merged.number FROM merged JOIN objects USING (number) "
            "WHERE merged.name = ? AND present = 1",
            (name,),
        )
        return int(rows[0][0]) if rows else None

    def merged_since(self, since_s: int) -> list[bytes]:
        """The containers that were merged into others then or later, and the bills before that."""
        return [
            bytes(row[0])
            for row in self._select("SELECT name FROM merged WHERE since >= ?", (since_s,))
        ]

    def drop_merged(self) -> None:
        """Forget where containers went whose successors are gone."""
        self._database_do(
            "DELETE FROM merged WHERE number NOT IN (SELECT number FROM objects WHERE present = 1)",
            (),
        )

    # ---- listings ----

    def note_listed(self, kind: str, listed: Iterable[tuple[bytes, int]], listing: int) -> None:
        """The vault lists these names and sizes of a kind; `listing` numbers the listing."""
        with self.batch():
            self._database.executemany(
                "INSERT INTO objects (name, size, kind, present, round) VALUES (?, ?, ?, 1, ?) "
                "ON CONFLICT (name) DO UPDATE SET size = excluded.size, present = 1, "
                "round = excluded.round",
                [(name, size_bytes, kind, listing) for name, size_bytes in listed],
            )

    def end_listing(self, listing: int) -> int:
        """What this listing did not show is not there; gives how many such there are."""
        with self._lock:
            done = self._database.execute(
                "UPDATE objects SET present = 0, until = 0 WHERE present = 1 AND round != ?",
                (listing,),
            )
            return done.rowcount

    # ---- what was learned by walking maps ----

    def subtree(self, page_id: bytes) -> bytes | None:
        """What `put_subtree` noted of a page."""
        rows = self._select("SELECT needs FROM subtrees WHERE id = ?", (page_id,))
        return bytes(rows[0][0]) if rows else None

    def put_subtree(self, page_id: bytes, needs: bytes) -> None:
        """Remember what is below a page."""
        self._database_do("INSERT OR REPLACE INTO subtrees VALUES (?, ?)", (page_id, needs))

    def drop_subtrees(self) -> None:
        """Forget what is below pages: it is learned again by walking."""
        self._database_do("DELETE FROM subtrees", ())

    # ---- what chunks look like ----

    def unsketched(self, most: int) -> list[Held]:
        """Containers in the vault of which no sketches are kept, the newest first."""
        rows = self._select(
            "SELECT number, name, size, kind, present, until FROM objects WHERE present = 1 "
            "AND kind = 'containers' AND number NOT IN sketched ORDER BY number DESC LIMIT ?",
            (most,),
        )
        return list(map(_held, rows))

    def put_sketches(self, number: int, sketches: Iterable[tuple[int, Iterable[int]]]) -> None:
        """Keep (ordinal, features) of chunks of an object; newer ones take the place of older."""
        rows = ((one, number, ordinal) for ordinal, features in sketches for one in features)
        with self.batch():
            self._database.executemany("INSERT OR REPLACE INTO sketches VALUES (?, ?, ?)", rows)
            self._database.execute("INSERT OR IGNORE INTO sketched VALUES (?)", (number,))

    def alike(self, features: Iterable[int]) -> list[tuple[int, int]]:
        """(number, ordinal) of chunks that share a feature, those that share most first."""
        wanted = tuple(features)
        marks = ",".join("?" * len(wanted))
        rows = self._select(
            "SELECT number, ordinal FROM sketches "  # noqa: S608
            f"WHERE feature IN ({marks}) GROUP BY number, ordinal ORDER BY count(*) DESC",
            wanted,
        )
        return [(int(number), int(ordinal)) for number, ordinal in rows]

    # ---- what the newest heads say ----

    def points(self, machine: str) -> dict[str, bytes]:
        """The bills of the points that live in the vault, by the time in the file's name."""
        rows = self._select("SELECT time, bill FROM points WHERE machine = ?", (machine,))
        return {row[0]: bytes(row[1]) for row in rows}

    def set_points(self, machine: str, points: Mapping[str, bytes]) -> None:
        """Replace what is known of a machine's points in the vault."""
        gone = self.points(machine).keys() - points.keys()
        with self.batch():
            self._database.executemany(
                "DELETE FROM points WHERE machine = ? AND time = ?",
                [(machine, time) for time in gone],
            )
            self._database.executemany(
                "INSERT INTO points (machine, time, bill) VALUES (?, ?, ?) "
                "ON CONFLICT (machine, time) DO UPDATE SET bill = excluded.bill",
                [(machine, time, bill) for time, bill in points.items()],
            )

    def set_point_until(self, machine: str, time: str, until_s: int) -> None:
        """Until when a point is immutable, seconds since the epoch."""
        self._database_do(
            "UPDATE points SET until = ? WHERE machine = ? AND time = ?", (until_s, machine, time)
        )

    def raise_points(self) -> None:
        """No point is immutable for less long than everything in the vault is locked.

        Of a point for which `set_point_until` noted nothing, nothing is known now either.
        """
        self._database_do(
            "UPDATE points SET until = max(until, "
            "(SELECT coalesce(min(until), 0) FROM objects WHERE present = 1)) WHERE until > 0",
            (),
        )

    def point_until(self, machine: str, time: str) -> int:
        """What `set_point_until` noted, 0 if nothing."""
        rows = self._select(
            "SELECT until FROM points WHERE machine = ? AND time = ?", (machine, time)
        )
        return int(rows[0][0]) if rows else 0

    # ---- notes ----

    def note(self, key: str) -> Any:
        """What `set_note` noted, or None."""
        rows = self._select("SELECT value FROM notes WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else None

    def set_note(self, key: str, value: object) -> None:
        """Remember a JSON value."""
        self._database_do("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, json.dumps(value)))

    def _select(self, sql: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, tuple(values)).fetchall()

    def _database_do(self, sql: str, values: Iterable[object]) -> None:
        with self._lock:
            self._database.execute(sql, tuple(values))


def _held(row: tuple[Any, ...]) -> Held:
    return Held(row[0], bytes(row[1]), row[2], row[3], bool(row[4]), row[5])


def _open(path: Path) -> sqlite3.Connection:
    # One connection for all threads: every use is under the ledger's own lock.
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA):
            raise sqlite3.DatabaseError(f"schema {version}")
        database.executescript(_TABLES)
        database.execute(f"PRAGMA user_version = {_SCHEMA}")
    except BaseException:
        database.close()
        raise
    return database
