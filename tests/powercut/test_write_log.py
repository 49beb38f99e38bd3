"""Logs of dm-log-writes, byte by byte, and what a cut may leave of them."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from tests.powercut.write_log import DISCARD, FLUSH, FUA, MARK, WriteLog

SECTOR = 512
MAGIC = 0x6A736677736872


def write_log(path: Path, requests: list[tuple[int, bytes, int]]) -> WriteLog:
    """A log of (sector, data or mark, flags), as the kernel lays it out."""
    pieces = [struct.pack("<QQQI", MAGIC, 1, len(requests), SECTOR).ljust(SECTOR, b"\0")]
    for sector, data, flags in requests:
        is_mark = bool(flags & MARK)
        sectors = 0 if is_mark else len(data) // SECTOR
        head = struct.pack("<QQQQ", sector, sectors, flags, len(data) if is_mark else 0)
        pieces.append((head + (data if is_mark else b"")).ljust(SECTOR, b"\0"))
        if not is_mark and not flags & DISCARD:
            pieces.append(data)
    path.write_bytes(b"".join(pieces))
    return WriteLog(path)


def sector(letter: str, count: int = 1) -> bytes:
    return letter.encode() * SECTOR * count


@pytest.fixture
def log(tmp_path: Path) -> WriteLog:
    requests = [
        (0, sector("a"), 0),
        (3, sector("d"), DISCARD),
        (0, b"", FLUSH),
        (1, sector("b", 2), 0),
        (3, sector("f"), FUA),
        (0, b"one|mark", MARK),
        (0, sector("z"), FLUSH),
    ]
    return write_log(tmp_path / "log", requests)


def cut(log: WriteLog, place: Path, number: int, generator: random.Random | None) -> bytes:
    base, target = place / "base", place / "target"
    base.write_bytes(sector(".", 4))
    log.build(base, target, number, generator)
    return target.read_bytes()


def test_marks_are_found_with_their_text(log: WriteLog) -> None:
    assert [log.entries[number].mark for number in log.marks()] == ["one|mark"]


def test_what_was_flushed_or_forced_is_there_and_the_rest_may_be_lost(
    log: WriteLog, tmp_path: Path
) -> None:
    assert cut(log, tmp_path, 6, None) == sector("a") + sector(".", 2) + sector("f")


def test_nothing_is_durable_before_the_first_flush(log: WriteLog, tmp_path: Path) -> None:
    assert cut(log, tmp_path, 2, None) == sector(".", 4)


def test_a_flush_makes_durable_what_came_before_it_and_not_its_own_data(
    log: WriteLog, tmp_path: Path
) -> None:
    assert cut(log, tmp_path, 7, None) == sector("a") + sector("b", 2) + sector("f")


def test_unflushed_writes_are_kept_lost_and_torn(log: WriteLog, tmp_path: Path) -> None:
    states = [cut(log, tmp_path, 6, random.Random(number)) for number in range(64)]
    seen = {state[SECTOR : 3 * SECTOR] for state in states}
    assert seen == {sector(".", 2), sector("b", 2), sector("b") + sector(".")}


def test_another_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(SECTOR))
    with pytest.raises(ValueError, match="is no log"):
        WriteLog(tmp_path / "log")
