"""Answers to writes by their idempotency keys: `STATE/answers.sqlite`.

Owns the table. An answer is durable when `put` returns; it is convenient, and never the only record
that something was done: a file that cannot be read is replaced by an empty one.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

from appliance.base.errors import HoldfastError

FILE_NAME = "answers.sqlite"
_WAIT_S = 10.0
_TABLE = """
create table if not exists answers (
    place text primary key, digest text not null, status integer not null, headers blob not null,
    body blob not null, is_secret integer not null, at_s real not null) without rowid;
create index if not exists answers_at on answers (at_s);
"""


class KeptAnswer(NamedTuple):
    """An answer, and the digest of the request it answered. `body` is empty if it is secret."""

    digest: str
    status: int
    headers: bytes
    body: bytes
    is_secret: bool


class AnswerFile:
    """The open file. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = _open(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            for end in ("", "-wal", "-shm"):
                Path(f"{path}{end}").unlink(missing_ok=True)
            self._database = _open(path)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def find(self, place: str, since_s: float) -> KeptAnswer | None:
        """What was answered at `place`, not earlier than `since_s`."""
        with self._lock:
            row = self._database.execute(
                "select digest, status, headers, body, is_secret from answers"
                " where place = ? and at_s >= ?",
                (place, since_s),
            ).fetchone()
        if row is None:
            return None
        digest, status, headers, body, is_secret = row
        return KeptAnswer(digest, status, headers, body, bool(is_secret))

    def put(self, place: str, answer: KeptAnswer, now_s: float, forget_before_s: float) -> None:
        """Keep an answer, durably on return; answers older than `forget_before_s` go.

        Raises HoldfastError where it cannot be kept, as on a full disk.
        """
        try:
            with self._lock, self._database:
                self._database.execute("delete from answers where at_s < ?", (forget_before_s,))
                self._database.execute(
                    "insert or replace into answers values (?, ?, ?, ?, ?, ?, ?)",
                    (place, *answer, now_s),
                )
        except sqlite3.Error as error:
            raise HoldfastError(f"{FILE_NAME}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.executescript(_TABLE)
    except BaseException:
        database.close()
        raise
    return database
