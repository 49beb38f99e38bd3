"""jobs.sqlite: every job there is and was, and what it said.

Not derived from anything: what a call here returned from survives a power cut. It knows how jobs
are kept, never when they run. Records of a million jobs are listed by pages, found by indexes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from appliance.base.durable import make_directory, move_file
from appliance.base.errors import BusyError, HoldfastError, NoSpaceError, UsageError

State = Literal["queued", "running", "done", "gaps", "failed", "cancelled", "interrupted"]
STATES: tuple[State, ...] = get_args(State)
ENDED: frozenset[State] = frozenset(STATES) - {"queued", "running"}
PAGE_MAX = 1000
LOG_LINES_MAX = 10_000
"""Of the log of a job that has ended; what came before is dropped, and said."""
_WAIT_S = 30.0
_SCHEMA_VERSION = 1
_DELETED_AT_ONCE = 1000
_Result = TypeVar("_Result")

_SCHEMA = """
create table if not exists jobs (
    id integer primary key autoincrement,
    verb text not null,
    arguments text not null,
    machine text,
    state text not null,
    priority integer not null,
    asked_by text not null,
    asked_at text not null,
    directory text,
    key text unique,
    attempt integer not null,
    is_cancelled integer not null default 0,
    is_resumable integer not null default 0,
    started_at text,
    ended_at text,
    exit_code integer,
    error text,
    progress text,
    retry_of integer,
    retried_as integer,
    error_code text
);
create index if not exists jobs_state on jobs (state);
create index if not exists jobs_verb_state on jobs (verb, state);
create index if not exists jobs_verb on jobs (verb);
create index if not exists jobs_machine on jobs (machine) where machine is not null;
create table if not exists outcomes (
    job integer primary key,
    result text,
    shown text not null
);
create table if not exists log_lines (
    job integer not null,
    place integer not null,
    line text not null,
    primary key (job, place)
) without rowid;
"""
_COLUMNS = (
    "id, verb, arguments, machine, state, priority, asked_by, asked_at, directory, attempt,"
    " is_cancelled, is_resumable, started_at, ended_at, exit_code, error, progress,"
    " retry_of, retried_as, error_code"
)


@dataclass(frozen=True)
class JobProgress:
    """Where a job stands, or stood when it ended.

    Attributes:
        eta_s: seconds until the phase ends, if that can be told.
        bottleneck: per cent of its time that went into `source`, `cpu`, `disk` and `line`.
        about: what the phase is about, such as a point.
    """

    phase: str = ""
    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    rate_per_s: float = 0.0
    eta_s: float | None = None
    bottleneck: Mapping[str, int] | None = None
    about: str = ""


@dataclass(frozen=True)
class Job:
    """One job. Times are ISO 8601 in UTC; `result` and `shown` are None in lists.

    Attributes:
        directory: where its paths begin; None for those of the daemon.
        attempt: 1, and one more each time that it was begun again after an interruption.
        is_cancelled: somebody asked it to stop.
        is_resumable: it was interrupted, and is to be begun again.
        error_code: what kind of error it was; None where nobody could tell.
        result: what the verb gave as JSON.
        shown: what it gave as text.
    """

    id: int
    verb: str
    arguments: Mapping[str, Any]
    machine: str | None
    state: State
    priority: int
    asked_by: str
    asked_at: str
    directory: str | None = None
    attempt: int = 1
    is_cancelled: bool = False
    is_resumable: bool = False
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    error: str | None = None
    progress: JobProgress = field(default_factory=JobProgress)
    retry_of: int | None = None
    retried_as: int | None = None
    error_code: str | None = None
    result: Any = None
    shown: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """As the API, the command and the pages show it."""
        value = {name: item for name, item in vars(self).items() if name not in _INNER}
        return {**value, "arguments": dict(self.arguments), **vars(self.progress)}


_INNER = frozenset({"progress", "directory", "attempt", "is_cancelled", "is_resumable", "shown"})


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    state: State
    at: str
    exit_code: int | None
    error: str | None
    progress: JobProgress
    result: str | None = None
    shown: str = ""
    is_resumable: bool = False
    lines: Sequence[tuple[int, str]] = ()
    error_code: str | None = None


class JobTable:
    """The open table. Any thread may ask; readers do not wait for a write to reach the disk.

    Attributes:
        damaged: where a file that could not be read was set aside, if there was one.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises the error tree."""
        self._path = path
        self.damaged: Path | None = None
        make_directory(path.parent)
        with _named_errors(path):
            try:
                self._writer = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._set_aside()
                self._writer = self._open()
            self._reader = self._connect()
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        self._path.chmod(0o600)
        version = connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            connection.close()
            raise HoldfastError(
                f"{self._path} was written by a newer version: use that one, or move it away"
            )
        try:
            connection.executescript(f"{_SCHEMA} pragma user_version = {_SCHEMA_VERSION};")
            _add_column(connection)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_WAIT_S, check_same_thread=False, isolation_level=None
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> None:
        self.damaged = self._path.with_suffix(".damaged")
        move_file(self._path, self.damaged)
        for end in ("-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()

    # ---- writing: durable on return ----

    def add(self, job: Job, key: str | None = None) -> Job:
        """Keep a new job, whose id is given here; the one that is there if `key` is known.

        `key` names a request, so that asking twice is asking once. What the job is a retry of
        learns of it. Raises UsageError if `key` was used for something else.
        """

        def work(database: sqlite3.Connection) -> Job:
            if key is not None:
                row = database.execute(
                    f"select {_COLUMNS} from jobs where key = ?",  # noqa: S608
                    (key,),
                ).fetchone()
                if row is not None:
                    return _same(_job(row), job)
            cursor = database.execute(
                "insert into jobs (verb, arguments, machine, state, priority, asked_by, asked_at,"
                " directory, key, attempt, retry_of)"
                " values (?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(job.verb, json.dumps(dict(job.arguments)), job.machine, job.priority),
                    *(job.asked_by, job.asked_at, job.directory, key, job.attempt, job.retry_of),
                ),
            )
            added = cursor.lastrowid
            database.execute(
                "update jobs set retried_as = ?, is_resumable = 0 where id = ?",
                (added, job.retry_of),
            )
            return _fetch(database, int(added or 0))

        return self._write(work)

    def begin(self, job_id: int, at: str) -> Job:
        """The job runs."""
        return self._change(job_id, "state = 'running', started_at = ?", at)

    def put_back(self, job_id: int) -> Job:
        """The job runs not yet, after all."""
        return self._change(job_id, "state = 'queued', started_at = null")

    def ask_to_stop(self, job_id: int) -> Job:
        """Somebody cancelled it."""
        return self._change(job_id, "is_cancelled = 1")

    def end(self, job_id: int, ending: Ending) -> Job:
        """The job has ended; its result and its log are kept with it."""

        def work(database: sqlite3.Connection) -> Job:
            database.execute(
                "update jobs set state = ?, ended_at = ?, exit_code = ?, error = ?, progress = ?,"
                " is_resumable = ?, error_code = ? where id = ?",
                (
                    *(ending.state, ending.at, ending.exit_code, ending.error),
                    *(json.dumps(vars(ending.progress)), ending.is_resumable),
                    *(ending.error_code, job_id),
                ),
            )
            database.execute(
                "insert or replace into outcomes (job, result, shown) values (?, ?, ?)",
                (job_id, ending.result, ending.shown),
            )
            database.executemany(
                "insert or replace into log_lines (job, place, line) values (?, ?, ?)",
                [(job_id, place, line) for place, line in ending.lines[-LOG_LINES_MAX:]],
            )
            return _fetch(database, job_id)

        return self._write(work)

    def forget(self, before: str, keep: int) -> int:
        """Delete what ended before a time, and all but the `keep` newest; how many.

        In small steps, so that nobody waits long. What is not over stays.
        """
        forgotten = 0
        while True:
            count = self._write(lambda database: _forget_some(database, before, keep))
            forgotten += count
            if count < _DELETED_AT_ONCE:
                return forgotten

    def _change(self, job_id: int, what: str, *values: object) -> Job:
        def work(database: sqlite3.Connection) -> Job:
            statement = f"update jobs set {what} where id = ?"  # noqa: S608
            database.execute(statement, (*values, job_id))
            return _fetch(database, job_id)

        return self._write(work)

    def _write(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._write_lock, _named_errors(self._path):
            self._writer.execute("begin immediate")
            try:
                result = work(self._writer)
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                raise
            return result

    # ---- reading ----

    def find(self, job_id: int) -> Job | None:
        """One job with its result, or None."""

        def work(database: sqlite3.Connection) -> Job | None:
            row = database.execute(
                f"select {_COLUMNS}, result, shown from jobs left join outcomes on job = id"  # noqa: S608
                " where id = ?",
                (job_id,),
            ).fetchone()
            return None if row is None else _job(row, is_whole=True)

        return self._read(work)

    def page(
        self,
        *,
        after: int | None = None,
        limit: int = 100,
        state: str | None = None,
        machine: str | None = None,
        verb: str | None = None,
    ) -> list[Job]:
        """Jobs, newest first, older than `after`. Raises UsageError for an unknown state."""
        if state is not None and state not in STATES:
            raise UsageError(f"state: must be one of {', '.join(STATES)}")
        conditions, values = [], list[object]()
        # The plus keeps SQLite from an index that finds more than the one before it.
        for name, value in (("machine", machine), ("verb", verb), ("state", state)):
            if value is not None:
                is_enough = machine is not None and name != "machine"
                conditions.append(f"{'+' if is_enough else ''}{name} = ?")
                values.append(value)
        if after is not None:
            conditions.append("id < ?")
            values.append(after)
        where = f"where {' and '.join(conditions)}" if conditions else ""
        statement = f"select {_COLUMNS} from jobs {where} order by id desc limit ?"  # noqa: S608
        values.append(max(1, min(limit, PAGE_MAX)))
        return self._read(lambda database: list(map(_job, database.execute(statement, values))))

    def unfinished(self) -> list[Job]:
        """What is queued or was running, and what is to be resumed, oldest first."""
        statement = (
            f"select {_COLUMNS} from jobs where state in ('queued', 'running')"  # noqa: S608
            " or (state = 'interrupted' and is_resumable) order by id"
        )
        return self._read(lambda database: list(map(_job, database.execute(statement))))

    def counts(self) -> dict[str, int]:
        """How many there are of what is not over."""
        statement = (
            "select state, count(*) from jobs where state in ('queued', 'running') group by state"
        )
        return self._read(lambda database: dict(map(tuple, database.execute(statement))))

    def log(self, job_id: int, after: int, limit: int) -> list[tuple[int, str]]:
        """(place, line) of what an ended job said, behind place `after`."""
        return self._read(
            lambda database: [
                (row["place"], row["line"])
                for row in database.execute(
                    "select place, line from log_lines where job = ? and place > ?"
                    " order by place limit ?",
                    (job_id, after, max(1, min(limit, PAGE_MAX))),
                )
            ]
        )

    def _read(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with self._read_lock, _named_errors(self._path):
            return work(self._reader)


def _add_column(database: sqlite3.Connection) -> None:
    """What earlier versions did not keep. They read a table that has it all the same."""
    if "error_code" not in {row["name"] for row in database.execute("pragma table_info(jobs)")}:
        database.execute("alter table jobs add column error_code text")


def _same(known: Job, asked: Job) -> Job:
    if (known.verb, known.arguments) != (asked.verb, dict(asked.arguments)):
        raise UsageError(f"this key stands for another request: it made job {known.id}")
    return known


def _fetch(database: sqlite3.Connection, job_id: int) -> Job:
    statement = f"select {_COLUMNS} from jobs where id = ?"  # noqa: S608
    return _job(database.execute(statement, (job_id,)).fetchone())


def _job(row: sqlite3.Row, *, is_whole: bool = False) -> Job:
    value = dict(row)
    for name in ("is_cancelled", "is_resumable"):
        value[name] = bool(value[name])
    value["arguments"] = json.loads(value["arguments"])
    value["progress"] = JobProgress(**json.loads(value["progress"] or "{}"))
    if is_whole and value["result"] is not None:
        value["result"] = json.loads(value["result"])
    return Job(**value)


def _forget_some(database: sqlite3.Connection, before: str, keep: int) -> int:
    newest = database.execute("select max(id) from jobs").fetchone()[0] or 0
    ids: Iterable[tuple[int]] = [
        (row["id"],)
        for row in database.execute(
            "select id from jobs where state not in ('queued', 'running') and not is_resumable"
            " and (id <= ? or ended_at < ?) and id <= ("
            "  select coalesce(max(id), 0) from ("
            "    select id from jobs order by id limit ?)) limit ?",
            (newest - keep, before, 2 * _DELETED_AT_ONCE, _DELETED_AT_ONCE),
        )
    ]
    for statement in (
        "delete from jobs where id = ?",
        "delete from outcomes where job = ?",
        "delete from log_lines where job = ?",
    ):
        database.executemany(statement, ids)
    return len(list(ids))


@contextlib.contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise NoSpaceError(f"{path}: no space left") from error
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise BusyError(f"{path} is in use: try again") from error
        raise HoldfastError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise HoldfastError(f"{path}: {error}") from error
