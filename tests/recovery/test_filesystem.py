"""The filesystem by itself: who shares what, how old a listing may be, what errors become."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime

import pytest

from appliance.base.errors import IntegrityError, NotFoundError
from appliance.recovery.filesystem import LISTING_AGE_MAX_S, PointFilesystem
from appliance.recovery.points_view import DiskReader, PointEntry

TIME = "2026-11-21T09:30:00Z"
PATH = f"/web1/{TIME}/disk0.raw"
NO_HANDLE = 0


class Reader:
    def __init__(self) -> None:
        self.size_bytes = 10
        self.closed = 0

    def read(self, offset: int, length: int) -> bytes:
        return b"0123456789"[offset : offset + length]

    def runs(self, offset: int, length: int) -> list[tuple[int, bool]]:
        return [(length, True)]

    def close(self) -> None:
        self.closed += 1


class View:
    """Machine web1 with the points in `times`; counts how often it is asked."""

    def __init__(self) -> None:
        self.times = [TIME]
        self.readers: list[Reader] = []
        self.asked = 0
        self.error: Exception | None = None

    def machines(self) -> list[str]:
        self.asked += 1
        return ["web1"]

    def points(self, machine: str) -> list[PointEntry]:
        return [PointEntry(time, (10,), 0.0) for time in self.times]

    def open_disk(self, machine: str, directory_time: str, disk: int) -> DiskReader:
        if self.error is not None:
            raise self.error
        self.readers.append(Reader())
        return self.readers[-1]


class StoppedClock:
    """Moves only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, tzinfo=UTC)

    def monotonic_s(self) -> float:
        return self.seconds

    def sleep_s(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_disk_is_opened_once_and_closed_by_its_last_user() -> None:
    view = View()
    filesystem = PointFilesystem(view)
    first, second = (filesystem.open(PATH, os.O_RDONLY) for _ in range(2))
    assert first != second
    filesystem.release(PATH, first)
    assert filesystem.read(PATH, 4, 2, second) == b"2345"
    assert [reader.closed for reader in view.readers] == [0]
    filesystem.release(PATH, second)
    assert [reader.closed for reader in view.readers] == [1]
    filesystem.open(PATH, os.O_RDONLY)
    filesystem.destroy("/")
    assert [reader.closed for reader in view.readers] == [1, 1]


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [(0, 99, b"0123456789"), (9, 2, b"9"), (10, 1, b""), (99, 1, b"")],
)
def test_reads_end_with_the_disk(offset: int, size: int, expected: bytes) -> None:
    filesystem = PointFilesystem(View())
    handle = filesystem.open(PATH, os.O_RDONLY)
    assert filesystem.read(PATH, size, offset, handle) == expected


@pytest.mark.parametrize(
    ("error", "number"), [(NotFoundError("x"), errno.ENOENT), (IntegrityError("x"), errno.EIO)]
)
def test_errors_become_what_the_kernel_knows(error: Exception, number: int) -> None:
    view = View()
    view.error = error
    with pytest.raises(OSError, match="x") as refused:
        PointFilesystem(view).open(PATH, os.O_RDONLY)
    assert refused.value.errno == number


@pytest.mark.parametrize(
    ("path", "flags", "number"),
    [
        (PATH, os.O_WRONLY, errno.EROFS),
        (PATH, os.O_RDWR, errno.EROFS),
        ("/web1", os.O_RDONLY, errno.EISDIR),
        (f"{PATH}/x", os.O_RDONLY, errno.ENOENT),
        (f"/web1/{TIME}/disk1.raw", os.O_RDONLY, errno.ENOENT),
    ],
)
def test_what_cannot_be_opened_is_refused(path: str, flags: int, number: int) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        PointFilesystem(View()).open(path, flags)
    assert refused.value.errno == number


def test_a_listing_is_asked_for_again_when_it_has_aged() -> None:
    view, clock = View(), StoppedClock()
    filesystem = PointFilesystem(view, clock)
    for _ in range(5):
        assert filesystem.readdir("/web1", NO_HANDLE) == [".", "..", TIME]
    assert view.asked == 1
    view.times.append("2026-11-22T09:30:00Z")
    clock.sleep_s(LISTING_AGE_MAX_S)
    assert filesystem.readdir("/web1", NO_HANDLE)[2:] == view.times
