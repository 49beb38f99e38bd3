"""What the schedule has asked for: `STATE/schedule.sqlite`.

Owns one row for each thing that comes again and again: up to when its slots are answered, how
often it ran, and the job that did it last. It decides nothing.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.catalog.kept_file import KeptFile

SCHEDULE_FILE = "schedule.sqlite"
_TABLES = """
create table if not exists answers (
    subject text primary key, answered_s real not null, run integer not null, job text not null
) without rowid;
create table if not exists series (name text primary key);
"""


@dataclass(frozen=True)
class Answer:
    """What is known of `subject`, as `backup web1`.

    Attributes:
        answered: slots up to then need no run any more.
        run: the number of runs so far.
        job: id of the last one, "" for none.
    """

    subject: str
    answered: datetime
    run: int = 0
    job: str = ""


class ScheduleLog:
    """The answers of one box."""

    def __init__(self, state: Path) -> None:
        self._file = KeptFile(state / SCHEDULE_FILE, _TABLES)
        self.series = self._file.do(_find_series)

    def read(self) -> dict[str, Answer]:
        """All answers, by subject."""
        rows = self._file.do(lambda file: file.execute("select * from answers").fetchall())
        return {
            row["subject"]: Answer(
                row["subject"],
                datetime.fromtimestamp(row["answered_s"], UTC),
                row["run"],
                row["job"],
            )
            for row in rows
        }

    def put(self, *answers: Answer) -> None:
        """Replace what was known, durably on return."""
        rows = [
            (answer.subject, answer.answered.timestamp(), answer.run, answer.job)
            for answer in answers
        ]
        self._file.do(
            lambda file: file.executemany("replace into answers values (?, ?, ?, ?)", rows)
        )

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _find_series(file: sqlite3.Connection) -> str:
    """A name for this file: were it lost, runs would be numbered from 1 again."""
    row = file.execute("select name from series").fetchone()
    if row is not None:
        return str(row[0])
    name = secrets.token_hex(8)
    file.execute("insert into series values (?)", (name,))
    return name
