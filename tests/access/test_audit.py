"""What was written down stays, and what was done to it shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.access.access import Access
from appliance.access.callers import Caller, Unauthenticated
from appliance.base.errors import IntegrityError
from tests.access.conftest import facts, log_in


class PlainRecords:
    """Sealed records without a seal."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def read(self, place: str) -> bytes | None:
        return self.kept.get(place)

    def write(self, place: str, plain: bytes) -> None:
        self.kept[place] = plain


@contextmanager
def rewriting(state: Path) -> Iterator[sqlite3.Connection]:
    """The file in the hands of somebody who knows SQLite and is root."""
    connection = sqlite3.connect(state / "access.sqlite")
    connection.execute("drop trigger audit_update")
    connection.execute("drop trigger audit_delete")
    yield connection
    connection.commit()
    connection.close()


def write_some(access: Access, count: int = 5) -> PlainRecords:
    for number in range(count):
        access.audit.note("ann", "forget", target=f"web1@{number}")
    records = PlainRecords()
    access.audit.seal(records)
    return records


def test_logins_writes_and_refusals_are_written_down(access: Access, admin: Caller) -> None:
    with pytest.raises(Unauthenticated):
        access.gate.log_in("ann", "wrong wrong wrong", None, facts())
    session = log_in(access, "ann")
    access.gate.log_out(session)
    entries = [(entry.who, entry.action, entry.outcome) for entry in access.audit.newest(limit=3)]
    assert entries == [
        ("ann", "logout", "done"),
        ("ann", "login", "done"),
        ("ann", "login", "refused"),
    ]
    assert access.audit.newest(limit=1)[0].address == "192.0.2.7"


def test_what_is_no_name_is_not_written_down(access: Access, tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        access.gate.log_in("my secret password", "ann", None, facts())
    for file in tmp_path.iterdir():
        assert b"my secret password" not in file.read_bytes()


def test_secrets_in_the_detail_are_hidden(access: Access) -> None:
    access.audit.note("ann", "vault add", detail={"name": "file1", "secret_key": "planted"})
    assert access.audit.newest()[0].detail == '{"name": "file1", "secret_key": "[hidden]"}'


def test_a_log_that_was_left_alone_is_sound(access: Access) -> None:
    records = write_some(access)
    access.audit.note("ann", "later")
    verdict = access.audit.verify(records)
    assert (verdict.entries, verdict.faults, verdict.sealed_number) == (6, (), 5)


@pytest.mark.parametrize("statement", ["update audit set entry = 'x'", "delete from audit"])
def test_entries_cannot_be_changed_or_removed(access: Access, statement: str) -> None:
    write_some(access)
    with pytest.raises(IntegrityError, match="append-only"):
        access.file.write(statement)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("update audit set entry = replace(entry, 'ann', 'bob') where number = 3", "3 was changed"),
        ("update audit set digest = replace(digest, 'a', 'b') where number = 3", "4 was changed"),
        ("update audit set entry = 'x' where number = 3", "3 cannot be read"),
        ("delete from audit where number = 3", "entries 3 to 3 are missing"),
        ("delete from audit where number = 1", "entries 1 to 1 are missing"),
        ("delete from audit where number >= 4", "entries 4 to 5 were cut off"),
        ("delete from audit", "entries 1 to 5 were cut off"),
    ],
)
def test_every_change_is_found(access: Access, tmp_path: Path, statement: str, fault: str) -> None:
    records = write_some(access)
    with rewriting(tmp_path) as connection:
        connection.execute(statement)
    assert fault in "; ".join(access.audit.verify(records).faults)


def test_a_chain_made_anew_shows_against_the_sealed_head(access: Access, tmp_path: Path) -> None:
    records = write_some(access)
    with rewriting(tmp_path) as connection:
        connection.execute("delete from audit")
    for number in range(6):
        access.audit.note("ann", "list", target=f"web1@{number}")
    assert not access.audit.verify(None).faults
    assert access.audit.verify(records).faults == ("entry 5 is not the one that was sealed",)
    access.audit.seal(records)  # must not make it right
    assert access.audit.verify(records).faults


def test_pages_go_backwards(access: Access) -> None:
    write_some(access, 7)
    numbers = []
    before = None
    while page := access.audit.newest(before=before, limit=3):
        numbers.append([entry.number for entry in page])
        before = page[-1].number
    assert numbers == [[7, 6, 5], [4, 3, 2], [1]]
