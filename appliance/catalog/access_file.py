"""The file of users, sessions, tokens and the audit log: `STATE/access.sqlite`.

Owns its tables and what a row of each holds. Unlike the catalog it is not derived: a change is
durable when its transaction ends (WAL, synchronous=FULL), and a file that cannot be read is set
aside, never repaired: who may then make an administrator is decided above. It judges nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Generic, TypeVar

from appliance.base.durable import make_directory, move_file
from appliance.base.errors import HoldfastError, IntegrityError, NoSpaceError

FILE_NAME = "access.sqlite"
DAMAGED_SUFFIX = ".damaged"
_VERSION = 1
_WAIT_S = 30.0


@dataclass(frozen=True)
class UserRow:
    """A person. Times are seconds since 1970; 0 is never."""

    name: str
    role: str
    password: str
    created_s: float
    is_disabled: int = 0
    is_initial: int = 0  # the password was made by somebody else and only serves to choose one
    totp_secret: str = ""
    totp_pending: str = ""
    totp_step: int = 0
    last_login_s: float = 0.0


@dataclass(frozen=True)
class SessionRow:
    """A browser that is logged in; `digest` is the SHA-256 of what its cookie holds."""

    digest: str
    user: str
    created_s: float
    seen_s: float
    confirmed_until_s: float = 0.0
    address: str = ""
    browser: str = ""


@dataclass(frozen=True)
class TokenRow:
    """A program that may come in; `digest` is the SHA-256 of its secret."""

    id: str
    name: str
    digest: str
    owner: str
    role: str
    scopes: str
    machine: str
    created_s: float
    expires_s: float
    seen_s: float = 0.0
    revoked_s: float = 0.0


@dataclass(frozen=True)
class FailureRow:
    """Failed attempts of a subject: an address, or a name at an address."""

    subject: str
    count: int
    first_s: float
    blocked_until_s: float = 0.0


@dataclass(frozen=True)
class CodeRow:
    """A one-time code: for setup, presence at the box, or in place of a lost second factor."""

    digest: str
    purpose: str
    user: str
    expires_s: float
    attempts: int = 0


@dataclass(frozen=True)
class PasskeyRow:
    """A WebAuthn credential; ids and keys in base64url."""

    id: str
    user: str
    public_key: str
    sign_count: int
    label: str
    created_s: float


@dataclass(frozen=True)
class ApprovalRow:
    """What somebody asked to be allowed; `digest` binds the verb and its arguments."""

    id: str
    digest: str
    verb: str
    arguments: str
    asked_by: str
    asked_s: float
    expires_s: float
    decided_by: str = ""
    decided_s: float = 0.0
    is_approved: int = 0
    used_s: float = 0.0


@dataclass(frozen=True)
class AuditRow:
    """One entry of the audit log: the text that is hashed, and the chain's digest after it."""

    number: int
    entry: str
    digest: str


@dataclass(frozen=True)
class SettingRow:
    """A small thing to remember: how far setup is, what is configured."""

    name: str
    value: str


Row = TypeVar("Row")
_Result = TypeVar("_Result")
_KINDS = {"str": "text", "int": "integer", "float": "real"}


class AccessFile:
    """The open file. Any thread may ask; readers never wait for a writer's disk."""

    def __init__(self, state: Path) -> None:
        """Open `STATE/access.sqlite`, or make it. What cannot be read is set aside.

        Raises HoldfastError if the folder cannot be written.
        """
        self.path = state / FILE_NAME
        self.was_damaged = self.path.with_suffix(DAMAGED_SUFFIX).exists()
        make_directory(state)
        try:
            self._writer = _connect(self.path)
            _prepare(self._writer, TABLES)
        except sqlite3.OperationalError as error:
            raise HoldfastError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError:
            self._set_aside()
        self._reader = _connect(self.path)
        self._write_lock, self._read_lock = threading.RLock(), threading.Lock()
        self._depth = 0
        self.users = Table(self, "users", UserRow)
        self.sessions = Table(self, "sessions", SessionRow)
        self.tokens = Table(self, "tokens", TokenRow)
        self.failures = Table(self, "failures", FailureRow)
        self.codes = Table(self, "codes", CodeRow)
        self.passkeys = Table(self, "passkeys", PasskeyRow)
        self.approvals = Table(self, "approvals", ApprovalRow)
        self.audit = Table(self, "audit", AuditRow)
        self.settings = Table(self, "settings", SettingRow)

    def _set_aside(self) -> None:
        self._writer.close()
        move_file(self.path, self.path.with_suffix(DAMAGED_SUFFIX))
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.was_damaged = True
        self._writer = _connect(self.path)
        _prepare(self._writer, TABLES)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What the block changes is durable when it ends, as a whole; nothing if it raises.

        Other processes wait meanwhile. May be nested: the outermost block counts.
        """
        with self._write_lock:
            if self._depth:
                yield
                return
            _named(self.path, lambda: self._writer.execute("begin immediate"))
            self._depth = 1
            try:
                yield
                _named(self.path, lambda: self._writer.execute("commit"))
            except BaseException:
                if self._writer.in_transaction:  # SQLite ends it itself when the disk is full
                    self._writer.execute("rollback")
                raise
            finally:
                self._depth = 0

    def write(self, statement: str, values: tuple[object, ...] = ()) -> int:
        """Carry out one statement; gives how many rows it changed."""
        with self.transaction():
            return _named(self.path, lambda: self._writer.execute(statement, values).rowcount)

    def read(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """The rows of one statement; inside a transaction of this thread with its changes."""
        # RLock of ours: a thread that is inside its own transaction reads what it wrote.
        if self._depth and self._write_lock.acquire(blocking=False):
            try:
                if self._depth:
                    return _named(self.path, self._writer.execute(statement, values).fetchall)
            finally:
                self._write_lock.release()
        with self._read_lock:
            return _named(self.path, lambda: self._reader.execute(statement, values).fetchall())

    def setting(self, name: str, default: str = "") -> str:
        """What is remembered under `name`."""
        row = self.settings.get(name)
        return default if row is None else row.value

    def set_setting(self, name: str, value: str) -> None:
        """Remember `value` under `name`, durably on return."""
        self.settings.put(SettingRow(name, value))

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self._writer.close()

    def __enter__(self) -> AccessFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Table(Generic[Row]):
    """Rows of one kind; the first member of a row is its key."""

    def __init__(self, file: AccessFile, name: str, kind: type[Row]) -> None:
        self._file = file
        self._kind = kind
        self._name = name
        columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        self._columns, self._key = columns, columns[0]
        self._select = " ".join(("select", ", ".join(columns), "from", name))
        places = ", ".join("?" * len(columns))
        self._insert = f"into {name} ({', '.join(columns)}) values ({places})"

    def get(self, key: object) -> Row | None:
        """The row with this key."""
        rows = self.where(**{self._key: key})
        return rows[0] if rows else None

    def where(self, **equal: object) -> list[Row]:
        """The rows whose members equal these, by key."""
        statement = " ".join((self._select, _where(self._columns, equal), "order by", self._key))
        return [self._kind(*row) for row in self._file.read(statement, tuple(equal.values()))]

    def page(self, after: object, limit: int, *, newest_first: bool = False) -> list[Row]:
        """At most `limit` rows behind `after`, by key."""
        compare, order = ("<", "desc") if newest_first else (">", "asc")
        parts = (self._select, "where", self._key, compare, "? order by", self._key, order)
        rows = self._file.read(" ".join((*parts, "limit ?")), (after, limit))
        return [self._kind(*row) for row in rows]

    def add(self, row: Row) -> bool:
        """Put a new row there; says False and changes nothing if its key is taken."""
        return bool(self._write("insert or ignore", row))

    def put(self, row: Row) -> None:
        """Put a row in place of the one with its key."""
        self._write("insert or replace", row)

    def _write(self, how: str, row: Row) -> int:
        return self._file.write(f"{how} {self._insert}", astuple(row))  # type: ignore[call-overload]

    def change(self, key: object, **members: object) -> bool:
        """Change members of the row with this key; says whether there is one."""
        _refuse_strange(self._columns, members)
        assignments = ", ".join(f"{name} = ?" for name in members)
        statement = " ".join(("update", self._name, "set", assignments, "where", self._key, "= ?"))
        return bool(self._file.write(statement, (*members.values(), key)))

    def remove(self, **equal: object) -> int:
        """Remove the rows whose members equal these, at least one member; says how many."""
        if not equal:
            raise ValueError("which rows?")
        statement = " ".join(("delete from", self._name, _where(self._columns, equal)))
        return self._file.write(statement, tuple(equal.values()))

    def remove_below(self, member: str, value: float) -> int:
        """Remove the rows in which `member` is less than `value`; says how many."""
        _refuse_strange(self._columns, {member: value})
        statement = " ".join(("delete from", self._name, "where", member, "< ?"))
        return self._file.write(statement, (value,))


TABLES: dict[str, type] = {
    "users": UserRow,
    "sessions": SessionRow,
    "tokens": TokenRow,
    "failures": FailureRow,
    "codes": CodeRow,
    "passkeys": PasskeyRow,
    "approvals": ApprovalRow,
    "audit": AuditRow,
    "settings": SettingRow,
}


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_WAIT_S, check_same_thread=False, isolation_level=None
    )
    path.chmod(0o600)
    return connection


def _prepare(connection: sqlite3.Connection, tables: dict[str, type]) -> None:
    """Make what is missing. Raises sqlite3.DatabaseError for a file that is not ours or spoiled."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    version = connection.execute("pragma user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise sqlite3.OperationalError(f"version {version} is newer than this program")
    if version and connection.execute("pragma quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("spoiled")
    for name, kind in tables.items():
        columns = [f"{field.name} {_KINDS[str(field.type)]} not null" for field in fields(kind)]
        columns[0] += " primary key"
        connection.execute(f"create table if not exists {name} ({', '.join(columns)})")
    for verb in ("update", "delete"):
        connection.execute(
            f"create trigger if not exists audit_{verb} before {verb} on audit "
            "begin select raise(abort, 'the audit log is append-only'); end"
        )
    connection.execute(f"pragma user_version = {_VERSION}")


def _named(path: Path, work: Callable[[], _Result]) -> _Result:
    """Do `work`; errors of SQLite come as ours, naming the file."""
    try:
        return work()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise NoSpaceError(f"{path}: the disk is full, nothing was changed") from error
        raise HoldfastError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise IntegrityError(f"{path}: {error}; the next start sets it aside") from error


def _where(columns: list[str], equal: dict[str, object]) -> str:
    _refuse_strange(columns, equal)
    return f"where {' and '.join(f'{name} = ?' for name in equal)}" if equal else ""


def _refuse_strange(columns: list[str], members: dict[str, object]) -> None:
    if not set(members) <= set(columns):
        raise ValueError(f"no such column: {sorted(set(members) - set(columns))}")
