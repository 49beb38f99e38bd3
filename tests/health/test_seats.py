"""A disk that is gone is named by where it sat."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.catalog.catalog import Catalog
from appliance.catalog.disk_seats import FORGET_AFTER, DiskSeats
from appliance.formats.finding import Finding
from appliance.health.array_rules import judge_array
from appliance.health.arrays import list_arrays
from appliance.health.inventory import Inventory
from appliance.health.seats import judge_vanished, list_seats
from tests.health.kernel_files import KernelFiles

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def hour(number: int) -> datetime:
    return NOON + timedelta(hours=number)


@pytest.fixture
def seats(tmp_path: Path) -> Iterator[DiskSeats]:
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield DiskSeats(catalog)


def look(files: KernelFiles, seats: DiskSeats, now: datetime) -> list[Finding]:
    inventory, arrays = Inventory(files.tree), list_arrays(files.tree)
    seats.remember(list_seats(inventory, arrays, now), now)
    known = seats.recall()
    found = [item for array in arrays for item in judge_array(array, inventory, now, known)]
    return [*found, *judge_vanished(inventory, arrays, known, now)]


def make(files: KernelFiles) -> None:
    for number, name in enumerate(("sda", "sdb")):
        disk = files.disk(name, serial=f"S-{name}", host=number)
        files.slot("0:0:9:0", f"Slot {number}", disk)
    files.array("md0", "raid1", {"sda": "in_sync", "sdb": "in_sync"}, files={"uuid": "u-1"})


def pull(files: KernelFiles, name: str) -> None:
    for top in ("sys/block", "sys/class/block"):
        (files.tree.root / top / name).unlink()


def put(files: KernelFiles, **values: str) -> None:
    for name, text in values.items():
        files.write(f"sys/devices/virtual/block/md0/md/{name.replace('__', '/')}", text)


def fail(files: KernelFiles) -> None:
    put(files, degraded="1", **{"dev-sdb__state": "faulty", "dev-sdb__slot": "none"})


def drop(files: KernelFiles) -> None:
    put(files, degraded="1")
    shutil.rmtree(files.tree.sys / "devices/virtual/block/md0/md/dev-sdb")


@pytest.mark.parametrize("lose", [fail, drop])
def test_a_member_that_vanished_is_named_with_its_serial_number_and_its_bay(
    files: KernelFiles, seats: DiskSeats, lose: object
) -> None:
    make(files)
    assert look(files, seats, hour(0)) == []
    assert callable(lose)
    lose(files)
    pull(files, "sdb")
    (finding,) = look(files, seats, hour(1))
    assert finding.rule == "array.degraded"
    assert "sdb (serial S-sdb, bay Slot 1, last seen 2026-11-21T12:00:00Z)" in finding.summary


def test_one_that_failed_first_and_was_pulled_later_is_named_after_a_restart_too(
    files: KernelFiles, seats: DiskSeats
) -> None:
    make(files)
    look(files, seats, hour(0))
    fail(files)
    look(files, seats, hour(1))  # here it has no slot any more
    drop(files)
    pull(files, "sdb")
    (finding,) = look(files, seats, hour(2))
    assert "S-sdb" in finding.summary


def test_one_that_was_pulled_before_anybody_saw_it_in_its_array_is_named_too(
    files: KernelFiles, seats: DiskSeats
) -> None:
    for number, name in enumerate(("sda", "sdb")):
        files.disk(name, serial=f"S-{name}", host=number)
    look(files, seats, hour(0))
    files.array("md0", "raid1", {"sda": "in_sync", "sdb": "faulty"})
    pull(files, "sdb")
    (finding,) = look(files, seats, hour(1))
    assert "sdb (serial S-sdb, last seen" in finding.summary


def test_a_place_that_another_disk_took_names_nobody(files: KernelFiles, seats: DiskSeats) -> None:
    make(files)
    look(files, seats, hour(0))
    pull(files, "sdb")
    drop(files)
    put(files, degraded="0", **{"dev-sdc__state": "in_sync", "dev-sdc__slot": "1"})
    files.disk("sdc", serial="S-sdc", host=7)
    assert look(files, seats, hour(1)) == []
    assert [seat.serial for seat in seats.recall() if seat.array] == ["S-sda", "S-sdc"]


def test_a_disk_that_vanished_with_a_filesystem_is_told_and_an_empty_one_is_not(
    files: KernelFiles, seats: DiskSeats
) -> None:
    files.disk("sda", serial="S-sda", number="8:0", host=0)
    files.disk("sdb", serial="S-sdb", number="8:16", host=1)
    files.mount("8:0", "/dev/sda", "/srv")
    assert look(files, seats, hour(0)) == []
    pull(files, "sda")
    pull(files, "sdb")
    (finding,) = look(files, seats, hour(1))
    assert (finding.subject, finding.rule) == ("disk S-sda", "disk.vanished")
    assert "filesystem /srv" in finding.summary
    assert look(files, seats, hour(24 * 31)) == []


def test_seats_are_forgotten_after_a_year(files: KernelFiles, seats: DiskSeats) -> None:
    make(files)
    look(files, seats, NOON)
    pull(files, "sda")
    pull(files, "sdb")
    seats.remember([], NOON + FORGET_AFTER)
    assert len(seats.recall()) == 2
    seats.remember([], NOON + FORGET_AFTER + timedelta(seconds=1))
    assert seats.recall() == []
