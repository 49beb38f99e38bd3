"""Reading in order decodes whole extents in the background, each once; random reads do not."""

from __future__ import annotations

import threading

from appliance.store.read_ahead import SEQUENTIAL_BYTES, ReadAhead

KIB = 1024


class Disk:
    """Counts what is decoded."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.ahead = ReadAhead(self.load, 10)

    def load(self, number: int) -> bytes | None:
        self.loads.append(number)
        return None if number == 7 else bytes([number])


def test_reads_in_order_become_sequential_also_when_they_overtake_each_other() -> None:
    disk = Disk()
    offsets = [at * 128 * KIB for at in (0, 2, 1, 3, 5, 4, 6, 7)]
    found = [disk.ahead.is_sequential(offset, 128 * KIB) for offset in offsets]
    assert not found[0]
    assert found[-1]
    assert not disk.ahead.is_sequential(1 << 30, 128 * KIB), "a jump ends it"


def test_random_reads_never_are() -> None:
    disk = Disk()
    offsets = [at * 37 * 1024 * KIB for at in range(1, 50)]
    assert not any(disk.ahead.is_sequential(offset, 4 * KIB) for offset in offsets)
    assert SEQUENTIAL_BYTES > 4 * KIB
    assert disk.loads == []


def test_each_extent_is_decoded_once_and_the_next_ones_ahead() -> None:
    disk = Disk()
    for number in range(10):
        for _ in range(3):
            assert disk.ahead.extent(number) == (None if number == 7 else bytes([number]))
    disk.ahead.close()
    assert sorted(disk.loads) == list(range(10))


def test_threads_that_want_the_same_extent_wait_for_one_decoding() -> None:
    disk = Disk()
    threads = [threading.Thread(target=disk.ahead.extent, args=(3,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    disk.ahead.close()
    assert disk.loads.count(3) == 1


def test_what_was_closed_begins_again() -> None:
    disk = Disk()
    disk.ahead.extent(0)
    disk.ahead.close()
    assert disk.ahead.extent(0) == b"\0"
    disk.ahead.close()
