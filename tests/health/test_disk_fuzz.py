"""Garbage from disks: every page may be anything, and still there is a verdict or one clear error.

`make test` does 100,000 mutated pages, `make test-slow` ten times that. The sense buffers and the
lengths of transfers meet the same in C, under sanitizers (native/tests/test_smart.c).
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.disk_pages import DiskPages
from appliance.formats.disk_report import disk_to_json, parse_disk
from appliance.formats.finding import decode_finding
from appliance.health.disk_examination import DiskExaminer
from appliance.health.disk_reading import DiskAsleepError, read_disk
from appliance.health.kernel_errors import parse_kernel_line
from appliance.native.smart import Command, Registers, Reply, Result, decode_header
from tests.clocks import HandClock
from tests.health.ata_pages import seal
from tests.health.exams import SUBJECT, PlainHistory
from tests.health.shapes import SHAPES

PAGES = 100_000
SLOW = 10
BASE = {"ata": "identify", "nvme": "controller", "scsi": "inquiry"}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
EDGES = (0, 1, 2, 0x0F, 0x7F, 0x80, 0xFE, 0xFF)


def spoil(page: bytes, chance: random.Random) -> bytes:
    """Flips, edges, runs of one byte, other lengths; half of the time adding up again."""
    data = bytearray(page)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(7)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data += chance.randbytes(chance.randrange(64))
        elif kind == 2:
            data[at : at + 16] = bytes((chance.choice(EDGES),)) * min(16, len(data) - at)
        elif kind == 3 and data:
            data[at % min(len(data), 16)] = chance.choice(EDGES)
        elif data:
            at = min(at, len(data) - 1)
            data[at] = chance.choice(EDGES) if kind > 4 else chance.randrange(256)
    return seal(data) if len(data) % 512 == 0 and chance.random() < 0.5 else bytes(data)


def meet_pages(seed: int, count: int) -> None:
    chance = random.Random(seed)
    shapes = [shape.make() for shape in SHAPES.values()]
    judged = 0
    for _ in range(count):
        pages = chance.choice(shapes)
        name = chance.choice(list(pages.pages))
        kept = {BASE[pages.protocol], "data" if name == "thresholds" else name}
        mutant = {key: page for key, page in pages.pages.items() if key in kept}
        mutant[name] = spoil(pages.pages[name], chance)
        judged += judge(DiskPages(pages.protocol, mutant, {}, pages.nsid))
    assert judged > count // 2


def judge(pages: DiskPages) -> bool:
    """Whether there was a verdict; whatever there was can be printed and kept."""
    try:
        disk = parse_disk(pages)
    except IntegrityError:
        return False
    json.dumps(disk_to_json(disk), allow_nan=False).encode()
    for finding in DiskExaminer(PlainHistory(), HandClock(NOON)).judge(pages, SUBJECT).findings:
        assert decode_finding(json.loads(json.dumps(finding.to_json()))) == finding
    return True


def test_a_hundred_thousand_spoiled_pages_are_survived(seed: int) -> None:
    meet_pages(seed, PAGES)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_million_spoiled_pages_are_survived(seed: int) -> None:
    meet_pages(seed + 1, SLOW * PAGES)


class Babble:
    """A transport of chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.asked = 0

    def send(self, command: Command) -> Reply:
        self.asked += 1
        chance = self._chance
        result = Result.OK if chance.random() < 0.9 else chance.choice(list(Result))
        status, error, device, count = chance.randbytes(4)
        registers = Registers(status, error, device, count, chance.randrange(2**48))
        return Reply(
            result,
            chance.randbytes(chance.choice((0, 3, 64, 512, command.length_bytes, 4096))),
            registers=registers if chance.random() < 0.5 else None,
        )


@pytest.mark.parametrize("protocol", ["ata", "nvme", "scsi"])
def test_a_disk_that_babbles_is_read_in_few_questions(protocol: str, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        babble = Babble(chance)
        try:
            pages = read_disk(babble, protocol)  # type: ignore[arg-type]
        except DiskAsleepError:
            continue
        judge(pages)
        assert babble.asked < 400


def test_headers_of_replies_are_garbage_too(seed: int) -> None:
    chance = random.Random(seed)
    read = 0
    for _ in range(20_000):
        header = bytearray(b"HFSR" + chance.randbytes(44))
        header[4], header[10:14] = chance.randrange(10), bytes(4)
        try:
            _, sense_bytes, data_bytes = decode_header(bytes(header))
        except ValueError:
            continue
        assert sense_bytes <= 252
        assert data_bytes <= 1 << 16
        read += 1
    assert read


def test_lines_of_the_kernel_are_garbage_too(seed: int) -> None:
    chance = random.Random(seed)
    line = "3,1201,5140900,-;critical medium error, dev sda, sector 4660 op 0x0:(READ)"
    for _ in range(20_000):
        parse_kernel_line(spoil(line.encode(), chance).decode("utf-8", "replace"))
