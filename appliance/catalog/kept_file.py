"""SQLite files in STATE that are not derived: what they say is nowhere else.

Owns how they are opened: a change is durable when its transaction ends (WAL, synchronous=FULL),
and a file that cannot be read is set aside, never deleted.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from appliance.base.durable import make_directory, move_file, named_os_errors
from appliance.base.errors import HoldfastError

_WAIT_S = 30.0
_Result = TypeVar("_Result")


class KeptFile:
    """One open file. Any thread may ask; one works at a time. Close it when done."""

    def __init__(self, path: Path, tables: str, version: int = 1) -> None:
        """`tables`: SQL that makes what is missing. Raises HoldfastError for an unusable disk."""
        self._lock = threading.Lock()
        self._path = path
        make_directory(path.parent)
        try:
            self._connection = self._open(tables, version)
        except sqlite3.OperationalError as error:
            raise HoldfastError(f"{path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                spoiled = path.with_name(path.name + suffix)
                if spoiled.exists():
                    move_file(spoiled, path.with_name(f"{path.name}{suffix}.damaged"))
            self._connection = self._open(tables, version)

    def do(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do `work` in one transaction, durable on return. Raises HoldfastError, nothing done."""
        with self._lock:
            try:
                with self._connection:
                    return work(self._connection)
            except sqlite3.Error as error:
                raise HoldfastError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _open(self, tables: str, version: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_WAIT_S, check_same_thread=False)
        try:
            with named_os_errors(self._path):
                self._path.chmod(0o600)
            connection.row_factory = sqlite3.Row
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            found = connection.execute("pragma user_version").fetchone()[0]
            if found not in (0, version):
                raise sqlite3.DatabaseError(f"version {found} is unknown")
            connection.executescript(tables)
            connection.execute(f"pragma user_version = {version}")
        except BaseException:
            connection.close()
            raise
        return connection
