"""One look at everything; a disk that hangs holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.base.clock import SystemClock
from appliance.formats.disk_seat import Seat
from appliance.formats.finding import Evidence, Finding
from appliance.health.disk_examination import Examination
from appliance.health.inventory import Disk, no_properties
from appliance.health.stakes import find_device, find_stakes
from appliance.health.survey import AskDisk, Report, Survey
from tests.health.kernel_files import KernelFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Memory:
    """Remembers nothing."""

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        pass

    def recall(self, subject: str, what: str, since: datetime) -> list[tuple[datetime, float]]:
        return []


class NoSeats:
    """Knows of no disk that was here."""

    def remember(self, seats: Sequence[Seat], now: datetime) -> None:
        pass

    def recall(self) -> list[Seat]:
        return []


class AllHere:
    """Every point exists only here."""

    def only_here(self) -> list[str]:
        return ["web1@2026-11-21T09:30:00Z"]


def sick(disk: Disk) -> Finding:
    return Finding(
        disk.subject, "disk.test", "warning", "sick", (Evidence("x", ((NOW, 1),)),), "", ""
    )


def look(files: KernelFiles, ask: AskDisk, timeout_s: float = 20.0) -> Report:
    return Survey(
        files.tree,
        SystemClock(),
        Memory(),
        ask,
        no_properties,
        seats=NoSeats(),
        disk_timeout_s=timeout_s,
    ).run()


def test_a_disk_that_hangs_is_silent_and_the_others_are_judged(files: KernelFiles) -> None:
    for number in range(24):
        files.disk(f"sd{chr(97 + number)}", serial=f"S{number}", host=number)
    over = threading.Event()

    def ask(disk: Disk) -> Examination:
        if disk.serial == "S3":
            over.wait(600)
        return Examination([sick(disk)])

    began_s = time.monotonic()
    report = look(files, ask, timeout_s=5.0)  # in which 23 threads have had their turn
    over.set()
    assert time.monotonic() - began_s < 60
    assert report.unseen == {"disk S3"}
    rules = {finding.subject: finding.rule for finding in report.findings}
    assert rules["disk S3"] == "disk.silent"
    assert sum(rule == "disk.test" for rule in rules.values()) == 23


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_whose_question_breaks_is_silent_too(files: KernelFiles) -> None:
    files.disk("sda", serial="S0")

    def ask(_: Disk) -> Examination:
        raise RuntimeError("garbage")

    assert look(files, ask).unseen == {"disk S0"}


def test_a_sick_disk_is_joined_with_its_array_and_the_points(
    files: KernelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("sda", "sdb", "sdc")):
        files.disk(name, serial=f"S-{name}", host=number)
    files.array("md0", "raid1", {"sda": "in_sync", "sdb": "in_sync"})
    report = look(files, lambda disk: Examination([sick(disk)] if disk.name != "sdb" else []))
    monkeypatch.setattr("appliance.health.stakes.find_device", lambda tree, path: "md0")
    stakes = {stake.name: stake for stake in find_stakes(report, files.tree, Path("/"), AllHere())}
    assert stakes.keys() == {"sda", "sdc"}
    assert stakes["sda"].arrays == ("md0 (raid1)",)
    assert stakes["sda"].redundancy == 1
    assert stakes["sda"].points == ("web1@2026-11-21T09:30:00Z",)
    assert stakes["sdc"].points == ()
    assert "the store lies on it; only here: 1 point" in str(stakes["sda"])


def test_the_device_of_a_folder_that_is_not_there_is_that_of_its_parent(
    files: KernelFiles, tmp_path: Path
) -> None:
    number = tmp_path.stat().st_dev
    folder = files.block("sdq")
    link = files.tree.sys / "dev/block" / f"{number >> 8 & 0xFFF}:{number & 0xFF}"
    link.parent.mkdir(parents=True)
    link.symlink_to(folder)
    assert find_device(files.tree, tmp_path / "not" / "there") == "sdq"


def test_without_disks_the_box_is_looked_at(files: KernelFiles) -> None:
    report = look(files, lambda disk: Examination([]))
    assert report.inventory.disks == []
    assert not report.wants_stop
    assert report.box.load.cores >= 1
