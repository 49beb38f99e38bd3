"""What was acknowledged is there after a power cut, on ext4 and XFS, written by a real kernel.

At each mark the disk is built twice: as it is when nothing survives that was not flushed, and at a
seeded moment before the next mark, where each write that was not flushed is kept, lost or torn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.command import Holdfast
from tests.powercut.content import make_disk
from tests.powercut.recording import FILESYSTEMS, Recording, mounted, record

RESTORED_MAX = 6


@dataclass
class Expected:
    """Points by name: those that must be there, and those that may be there."""

    sure: dict[str, bytes] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)

    def follow(self, mark: str) -> None:
        """Count one acknowledged step."""
        _, kind, machine, generation, point = mark.split("|")
        if kind == "backup":
            self.sure[point] = make_disk(machine, int(generation))
        elif kind == "forget":
            del self.sure[point]

    def foresee(self, mark: str) -> None:
        """Count a step that the cut may have interrupted."""
        _, kind, _, _, point = mark.split("|")
        if kind == "forget":
            self.leaving.add(point)


@pytest.fixture(scope="session")
def ten_marks(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Five steps on each filesystem."""
    return record(tmp_path_factory.mktemp("powercut"), marks=10, timeout_s=540)


@pytest.mark.parametrize("kind", FILESYSTEMS)
def test_what_was_acknowledged_survives(
    ten_marks: Recording, kind: str, seed: int, tmp_path: Path
) -> None:
    marks, cuts = check_marks(ten_marks, kind, seed, tmp_path)
    assert marks == 5
    assert cuts == 10


def test_a_disk_that_drops_its_writes_costs_nothing_acknowledged_before(
    ten_marks: Recording, tmp_path: Path
) -> None:
    expected = Expected()
    for mark in ten_marks.marks("flakey"):
        expected.follow(mark)
    assert len(expected.sure) == 2
    with mounted(ten_marks.flakey, "ext4", tmp_path / "mnt") as root:
        points = Holdfast(root / "state")("--json", "points", expect=0).json()["points"]
    # The third was made when nothing reached the disk any more: had it, nothing was dropped.
    assert {point["name"] for point in points} == expected.sure.keys()
    check_disk(ten_marks.flakey, "ext4", expected, tmp_path, goes_on=True)


def test_a_disk_that_lied_about_its_flushes_is_noticed(
    ten_marks: Recording, tmp_path: Path
) -> None:
    """The proof that these tests can fail: what was flushed is lost too."""
    log, disk, expected = ten_marks.logs["ext4"], tmp_path / "cut.raw", Expected()
    expected.follow(log.entries[log.marks()[0]].mark)
    log.build(ten_marks.bases["ext4"], disk, 0, None)
    with pytest.raises(AssertionError):
        check_disk(disk, "ext4", expected, tmp_path, goes_on=False)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_hundred_marks(tmp_path: Path, seed: int) -> None:
    recording = record(tmp_path, marks=200, timeout_s=3600)
    total = [check_marks(recording, kind, seed, tmp_path) for kind in FILESYSTEMS]
    assert sum(marks for marks, _ in total) == 200


def check_marks(recording: Recording, kind: str, seed: int, place: Path) -> tuple[int, int]:
    """Cut at every mark and once before the next; gives (marks, cuts)."""
    log, base = recording.logs[kind], recording.bases[kind]
    generator = random.Random(f"{kind} {seed}")
    numbers = log.marks()
    said = [log.entries[number].mark for number in numbers]
    assert said == recording.marks(kind)
    expected, disk, cuts = Expected(), place / "cut.raw", 0
    for place_of_mark, number in enumerate(numbers):
        expected.follow(said[place_of_mark])
        log.build(base, disk, number + 1, None)
        check_disk(disk, kind, expected, place, goes_on=False)
        is_last = place_of_mark + 1 == len(numbers)
        end = len(log.entries) if is_last else numbers[place_of_mark + 1]
        if not is_last:
            expected.foresee(said[place_of_mark + 1])
        cut = generator.randrange(number + 1, end + 1)
        print(f"{kind}: {said[place_of_mark]}: cut after {cut} of {len(log.entries)} writes")
        log.build(base, disk, cut, generator)
        check_disk(disk, kind, expected, place, goes_on=True)
        cuts += 2
    return len(numbers), cuts


def check_disk(disk: Path, kind: str, expected: Expected, place: Path, *, goes_on: bool) -> None:
    """Every acknowledged point comes back bit for bit; then the next commands work."""
    with mounted(disk, kind, place / "mnt") as root:
        holdfast = Holdfast(root / "state")
        listed = {
            point["name"] for point in holdfast("--json", "points", expect=0).json()["points"]
        }
        assert expected.sure.keys() - expected.leaving <= listed
        names = sorted(expected.sure.keys() & listed)
        # The rest is read by `verify`; a long recording has dozens.
        generator = random.Random(" ".join(names))
        for name in generator.sample(names, min(len(names), RESTORED_MAX)):
            restored = holdfast("restore", name, "-", expect=0).stdout
            assert restored == expected.sure[name], f"{name} came back changed"
        if goes_on:
            image = place / "next.raw"
            image.write_bytes(make_disk("a", 99))
            holdfast("backup", image, "--machine", "a", expect=0)
            holdfast("collect", expect=0)
            holdfast("verify", expect=0)
            assert holdfast("restore", "a@latest", "-", expect=0).stdout == image.read_bytes()
