"""Thin pools: what the kernel says of them, how full they are, until when, and if they work."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.device_mapper import make_status_request, parse_thin_pool
from appliance.formats.finding import Finding
from appliance.health.space import Samples
from appliance.health.thin_pools import ThinPool, ask_kernel, judge_thin_pools, list_thin_pools
from tests.health.kernel_files import KernelFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIB = 1 << 20
LINE = "1 20/1024 {used}/1000 - {mode} discard_passdown queue_if_no_space {check} 1024"
# struct dm_ioctl ends after 312 bytes, and struct dm_target_spec 40 bytes later.
HEAD_BYTES = 312


def answer(line: str, kind: bytes = b"thin-pool", targets: int = 1, flags: int = 0) -> bytes:
    """As the kernel answers for a device of 1000 MiB."""
    head = bytearray(HEAD_BYTES)
    struct.pack_into("=3I4I", head, 0, 4, 47, 0, 16384, HEAD_BYTES, targets, 0)
    struct.pack_into("=I", head, 28, flags)
    target = struct.pack("=QQiI16s", 0, 1000 * MIB // 512, 0, 0, kind)
    return (bytes(head) + target + line.encode() + b"\0").ljust(16384, b"\0")


def line(used: int = 500, mode: str = "rw", check: str = "-") -> str:
    return LINE.format(used=used, mode=mode, check=check)


def pool(said: str, name: str = "vg/pool") -> ThinPool:
    status = parse_thin_pool(answer(said))
    assert status is not None
    return ThinPool(name, is_lvm=True, status=status)


def judge(said: str, history: Callable[[str], Samples] = lambda _: []) -> list[Finding]:
    return list(judge_thin_pools([pool(said)], lambda _, what, __: history(what), NOW))


def test_the_question_is_as_the_kernel_wants_it() -> None:
    asked = make_status_request(0xFD03)
    assert struct.unpack_from("=3I", asked) == (4, 0, 0)
    assert struct.unpack_from("=2I", asked, 12) == (len(asked), HEAD_BYTES)
    assert struct.unpack_from("=I", asked, 28) == (1 << 11,), "it must not make the pool write"
    assert struct.unpack_from("=Q", asked, 40) == (0xFD03,)
    assert not any(asked[48:])


def test_a_pool_with_room_is_quiet() -> None:
    found = pool(line())
    assert [(part.what, part.used_bytes, part.size_bytes) for part in found.parts()] == [
        ("data", 500 * MIB, 1000 * MIB),
        ("metadata", 20 * 4096, 1024 * 4096),
    ]
    assert not judge(line())


@pytest.mark.parametrize(("used", "severity"), [(910, "warning"), (980, "critical")])
def test_a_full_pool_says_how_to_grow_it(used: int, severity: str) -> None:
    (found,) = judge(line(used))
    assert (found.subject, found.rule, found.severity) == ("pool vg/pool", "pool.data", severity)
    assert f"{used // 10} % full" in found.summary
    assert "lvextend --size +SIZE vg/pool" in found.action
    assert "wait" in found.consequence


def test_its_metadata_can_be_full_before_its_data() -> None:
    (found,) = judge(line().replace("20/1024", "1000/1024"))
    assert (found.rule, found.severity) == ("pool.metadata", "critical")
    assert "--poolmetadatasize" in found.action


def test_a_steady_growth_says_the_day() -> None:
    def grow(what: str) -> Samples:
        days = range(10, -1, -1) if what == "used data bytes" else ()
        return [(NOW - timedelta(days=ago), (500 - 25 * ago) * float(MIB)) for ago in days]

    (found,) = judge(line(), grow)
    assert found.severity == "warning"
    assert "full in 20 days (2026-12-11)" in found.summary
    assert found.evidence[0].values[-1][1] == 500.0 * MIB


@pytest.mark.parametrize(
    ("said", "do"),
    [
        (line(1000, "out_of_data_space"), "lvextend"),
        (line(10, "ro"), "lvconvert --repair"),
        (line(10, "rw", "needs_check"), "lvconvert --repair"),
        ("Fail", "lvconvert --repair"),
    ],
)
def test_a_pool_that_takes_no_writes_is_critical(said: str, do: str) -> None:
    found = judge(said)[0]
    assert (found.rule, found.severity) == ("pool.thin-state", "critical")
    assert do in found.action


def test_only_thin_pools_are_listed_by_the_names_that_lvm_gives_them(tmp_path: Path) -> None:
    files = KernelFiles(tmp_path)
    told = {}
    for minor, (name, uuid, kind) in enumerate(
        (
            ("my--vg-pool--1-tpool", "LVM-abc-tpool", b"thin-pool"),
            ("bare", "", b"thin-pool"),
            ("vg-root", "LVM-def", b"linear"),
            ("gone", "", b""),
        )
    ):
        files.block(f"dm-{minor}", number=f"254:{minor}")
        files.write(f"sys/devices/virtual/block/dm-{minor}/dm/name", name)
        files.write(f"sys/devices/virtual/block/dm-{minor}/dm/uuid", uuid)
        told[254 << 8 | minor] = answer(line(), kind) if kind else b""
    files.block("sda", number="8:0")
    found = list_thin_pools(files.tree, told.__getitem__)
    assert [(one.name, one.is_lvm) for one in found] == [("my-vg/pool-1", True), ("bare", False)]
    assert not list_thin_pools(files.tree, ask_kernel(files.tree)), "there is no control node"


def test_an_answer_of_several_targets_is_no_pool() -> None:
    assert parse_thin_pool(answer(line(), targets=2)) is None
    assert parse_thin_pool(answer(line(), flags=1 << 8)) is None


def test_answers_are_garbage_too(seed: int) -> None:
    chance = random.Random(seed)
    good, read = answer(line())[: HEAD_BYTES + 160], 0
    for _ in range(20_000):
        spoiled = bytearray(good[: chance.choice((len(good), chance.randrange(len(good))))])
        for _ in range(chance.randrange(6)):
            at = chance.choice((chance.randrange(12, 32), chance.randrange(312, 472)))
            spoiled[at : at + 1] = bytes((chance.choice((0, 0x20, 0x30, 0xFF)),))
        try:
            status = parse_thin_pool(spoiled)
        except IntegrityError:
            continue
        if status is not None:
            found = ThinPool("x", is_lvm=False, status=status)
            list(judge_thin_pools([found], lambda *_: [], NOW))
            read += 1
    assert read
