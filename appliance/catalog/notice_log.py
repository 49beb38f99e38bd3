"""What was told to whom, what is on its way, and how deliveries went: `STATE/notices.sqlite`.

Owns the tables. What is to be told and that it is on its way become durable together, so nothing
is told twice or forgotten when the box stops in between.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.catalog.kept_file import KeptFile
from appliance.formats.finding import Finding, decode_finding

NOTICE_FILE = "notices.sqlite"
KEPT_MAX = 10_000
_TABLES = """
create table if not exists told (
    channel text not null, key text not null, finding text not null, gone_s real,
    primary key (channel, key)
) without rowid;
create table if not exists messages (
    id integer primary key autoincrement, channel text not null, made_s real not null,
    body text not null, state text not null, tries integer not null default 0,
    next_s real not null, answer text not null default '', ended_s real
);
create index if not exists messages_waiting on messages (state, next_s);
"""


@dataclass(frozen=True)
class Told:
    """A finding that somebody was told of, as bad as it was told; `gone`: not seen since then."""

    finding: Finding
    gone: datetime | None = None


@dataclass(frozen=True)
class Message:
    """One message to one channel. `state`: waiting, sent or failed."""

    id: int
    channel: str
    made: datetime
    body: dict[str, Any]
    state: str
    tries: int
    next: datetime
    answer: str
    ended: datetime | None


class NoticeLog:
    """The notices of one box."""

    def __init__(self, state: Path) -> None:
        self._file = KeptFile(state / NOTICE_FILE, _TABLES)

    def told(self, channel: str) -> dict[str, Told]:
        """What a channel was told and that is not over yet, by key."""
        rows = self._file.do(
            lambda file: file.execute("select * from told where channel = ?", (channel,)).fetchall()
        )
        return {
            row["key"]: Told(decode_finding(json.loads(row["finding"])), _time(row["gone_s"]))
            for row in rows
        }

    def note(
        self,
        channel: str,
        told: Mapping[str, Told],
        body: Mapping[str, Any] | None,
        now: datetime,
    ) -> None:
        """Replace what a channel was told, and put a message on its way; durable together."""
        rows = [
            (channel, key, json.dumps(one.finding.to_json()), one.gone and one.gone.timestamp())
            for key, one in told.items()
        ]

        def write(file: sqlite3.Connection) -> None:
            file.execute("delete from told where channel = ?", (channel,))
            file.executemany("insert into told values (?, ?, ?, ?)", rows)
            if body is not None:
                _add(file, channel, body, now)

        self._file.do(write)

    def waiting(self, now: datetime, horizon: datetime) -> list[Message]:
        """Messages that are due, oldest first.

        No try is put off beyond `horizon`: where one is, a clock was wrong, and it is due.
        """
        statement = (
            "select * from messages where state = 'waiting' and (next_s <= ? or next_s > ?) "
            "order by id"
        )
        bounds = (now.timestamp(), horizon.timestamp())
        return _read(self._file.do(lambda file: file.execute(statement, bounds).fetchall()))

    def tried(self, message: Message, state: str, answer: str, when: datetime) -> None:
        """How a try went; `when`: the next one, or for what is over the end. Durable on return."""
        ended_s = None if state == "waiting" else when.timestamp()
        statement = (
            "update messages set state = ?, tries = tries + 1, next_s = ?, answer = ?, ended_s = ? "
            "where id = ?"
        )
        values = (state, when.timestamp(), answer, ended_s, message.id)
        self._file.do(lambda file: file.execute(statement, values))

    def record_test(self, channel: str, state: str, answer: str, now: datetime) -> None:
        """A test message that was sent at once, or was not."""
        self._file.do(lambda file: _add(file, channel, {"test": True}, now, (state, answer)))

    def list(self, limit: int, channel: str | None = None) -> Sequence[Message]:
        """The newest messages first."""
        where = "" if channel is None else "where channel = :channel "
        statement = f"select * from messages {where}order by id desc limit :limit"  # noqa: S608
        values = {"channel": channel, "limit": limit}
        return _read(self._file.do(lambda file: file.execute(statement, values).fetchall()))

    def find_stuck(self, tries: int) -> Sequence[Message]:
        """The oldest message on its way to each channel that was tried so often."""
        statement = (
            "select * from messages where id in (select min(id) from messages "
            "where state = 'waiting' and tries >= ? group by channel) order by channel"
        )
        return _read(self._file.do(lambda file: file.execute(statement, (tries,)).fetchall()))

    def forget(self, channel: str) -> None:
        """A channel is gone: what was on its way to it as well."""

        def write(file: sqlite3.Connection) -> None:
            file.execute("delete from told where channel = ?", (channel,))
            file.execute(
                "update messages set state = 'failed', answer = 'the channel was removed' "
                "where channel = ? and state = 'waiting'",
                (channel,),
            )

        self._file.do(write)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _add(
    file: sqlite3.Connection,
    channel: str,
    body: Mapping[str, Any],
    now: datetime,
    ending: tuple[str, str] = ("waiting", ""),
) -> None:
    """One message; `ending`: its state and the answer."""
    state, answer = ending
    now_s = now.timestamp()
    ended_s = None if state == "waiting" else now_s
    values = (channel, now_s, json.dumps(body), state, now_s, answer, ended_s)
    file.execute(
        "insert into messages (channel, made_s, body, state, next_s, answer, ended_s) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    file.execute(
        "delete from messages where state != 'waiting' and "
        "id <= (select max(id) from messages) - ?",
        (KEPT_MAX,),
    )


def _read(rows: Iterable[sqlite3.Row]) -> list[Message]:
    return [
        Message(
            row["id"],
            row["channel"],
            datetime.fromtimestamp(row["made_s"], UTC),
            json.loads(row["body"]),
            row["state"],
            row["tries"],
            datetime.fromtimestamp(row["next_s"], UTC),
            row["answer"],
            _time(row["ended_s"]),
        )
        for row in rows
    ]


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
