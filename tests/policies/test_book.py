"""Machines and promises as records: life, defaults, damage, and how little is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.base.errors import IntegrityError, NotFoundError, UsageError
from appliance.formats.protection import NOTHING, Hourly, MachineRecord, Protection
from appliance.policies.book import Book
from appliance.policies.presets import PRESETS
from appliance.policies.sentence import describe_protection
from appliance.store.store import Store
from tests.damage import flip_last
from tests.store.stores import KEYS, make_store

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
SINCE = "2026-11-21T09:30:00Z"
HOURLY = Protection(schedule=(Hourly(),))


@pytest.fixture
def book(state: Path) -> Book:
    return Book(make_store(state).points)


def another(state: Path) -> Book:
    """As another process sees the same store."""
    return Book(Store(state, KEYS).points)


def test_a_machine_without_its_own_promise_has_the_default(book: Book) -> None:
    assert book.of("web1") == NOTHING
    book.set(HOURLY, NOW)
    assert book.of("web1").schedule == (Hourly(),)
    own = msgspec.structs.replace(HOURLY, machine="web1", rpo_s=7200)
    book.set(own, NOW)
    assert book.of("web1").rpo_s == 7200
    assert book.of("web2").rpo_s is None
    book.clear("web1")
    assert book.of("web1").rpo_s is None
    with pytest.raises(NotFoundError):
        book.clear("web1")


def test_a_target_that_changes_takes_no_slot_away_and_a_new_schedule_misses_none(
    book: Book,
) -> None:
    book.set(HOURLY, NOW)
    later = NOW + timedelta(days=1)
    assert book.set(msgspec.structs.replace(HOURLY, rpo_s=7200), later).since == SINCE
    other = msgspec.structs.replace(HOURLY, schedule=(Hourly(minute=5),))
    assert book.set(other, later).since == "2026-11-22T09:30:00Z"


def test_life_of_a_machine(book: Book) -> None:
    book.set(HOURLY, NOW)
    book.put(MachineRecord(machine="web1", since=SINCE, sources=("/srv/a.raw",)))
    assert [entry.is_scheduled for entry in book.entries()] == [True]
    book.set_state("web1", "paused", NOW)
    assert [entry.is_scheduled for entry in book.entries()] == [False]
    with pytest.raises(UsageError, match="paused already"):
        book.set_state("web1", "paused", NOW)
    later = book.set_state("web1", "active", NOW + timedelta(days=1))
    assert later.since == "2026-11-22T09:30:00Z"
    assert later.sources == ("/srv/a.raw",)
    book.set_state("web1", "retired", NOW)
    assert [entry.is_scheduled for entry in book.entries()] == [False]


def test_what_another_process_changes_is_seen(book: Book, state: Path) -> None:
    assert not list(book.entries())
    other = another(state)
    other.put(MachineRecord(machine="web1", since=SINCE))
    assert [entry.machine.machine for entry in book.entries()] == ["web1"]
    other.set_state("web1", "paused", NOW)
    assert [entry.machine.state for entry in book.entries()] == ["paused"]


def test_asking_again_reads_nothing_and_a_change_reads_one_record(state: Path, book: Book) -> None:
    for number in range(50):
        book.put(MachineRecord(machine=f"m{number}", since=SINCE))
    assert len(list(book.entries())) == 50
    before = book.reads
    for _ in range(10):
        assert len(list(book.entries())) == 50
    assert book.reads == before
    another(state).set_state("m7", "paused", NOW)
    assert sum(entry.machine.state == "paused" for entry in book.entries()) == 1
    assert book.reads == before + 1


def test_a_damaged_record_is_named_and_promises_nothing(book: Book, state: Path) -> None:
    book.put(MachineRecord(machine="web1", since=SINCE, sources=("/a",)))
    book.set(msgspec.structs.replace(HOURLY, machine="web1"), NOW)
    (path,) = (state / "store/policies").glob("*.protection")
    path.write_bytes(flip_last(path.read_bytes()))
    fresh = another(state)
    assert [entry.is_scheduled for entry in fresh.entries()] == [False]
    assert "damaged" in fresh.troubles()[0]
    with pytest.raises(IntegrityError):
        fresh.of("web1")
    fresh.set(msgspec.structs.replace(HOURLY, machine="web1"), NOW)
    assert not fresh.troubles()


def test_every_preset_can_be_set_and_speaks(book: Book) -> None:
    for preset in PRESETS:
        made = book.set(preset.protection, NOW)
        assert describe_protection(made).startswith("Backed up ")


def test_a_sentence_says_it_all() -> None:
    office = next(preset for preset in PRESETS if preset.name == "office-server")
    protection = msgspec.structs.replace(office.protection, blackout=("mon 09:00-10:00",))
    assert describe_protection(protection) == (
        "Backed up every hour from 07:00 to 19:00 on Monday to Friday, and at 23:00 every day; "
        "not during mon 09:00-10:00, but afterwards; no point older than 26 h; "
        "copied to every vault within 36 h; recovery rehearsed at 03:00 on Saturday; "
        "back within 4 h."
    )
    assert describe_protection(NOTHING) == "Backed up never by itself; copied to every vault."
