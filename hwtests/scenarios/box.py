"""The box: disks and pools that fill up, a clock that jumps, power-fail safety, and IPMI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hwtests.bench import Bench, await_true, findings, succeed
from hwtests.guest import Guest
from hwtests.scenario import Scenario

_DAY_S = 86400
_MOUNT = "/srv"
_ROOM_SECTORS = 48 << 11


@contextmanager
def _mounted(guest: Guest, *options: str) -> Iterator[str]:
    """A fresh filesystem at _MOUNT; gives the kernel name of its disk."""
    (name,) = guest.disks("filled", 1)
    succeed(guest.run("mkfs.ext4", "-q", "-F", f"/dev/{name}"))
    succeed(guest.run("mount", "-t", "ext4", *options, f"/dev/{name}", _MOUNT))
    try:
        yield name
    finally:
        succeed(guest.run("umount", _MOUNT))


def forecast(guest: Guest) -> str:
    """A filesystem that fills by the same amount each day is said to be full on a day."""
    with _mounted(guest):
        for day in range(5):
            dd = ("dd", "if=/dev/urandom", f"of={_MOUNT}/{day}", "bs=1M", "count=4", "conv=fsync")
            succeed(guest.run(*dd))
            guest.holdfast("--json", "health")
            guest.set_clock(_DAY_S)
        found = findings(guest.holdfast("--json", "health"), "space.full", f"filesystem {_MOUNT}")
    assert found, "no forecast"
    assert "full in" in found[0]["summary"], found
    return str(found[0]["summary"])


def _map(guest: Guest, name: str, table: str) -> str:
    """A device of the device mapper; gives its node. Nobody makes those in /dev/mapper there."""
    succeed(guest.run("dmsetup", "create", name, "--table", table))
    argv = ["dmsetup", "info", "--columns", "--noheadings", "-o", "blkdevname", name]
    return f"/dev/{succeed(guest.run(*argv)).out.strip()}"


@contextmanager
def _thin_volume(guest: Guest) -> Iterator[str]:
    """A thin volume in a pool of 48 MiB, larger than that; gives its device node."""
    guest.load("dm-thin-pool")
    (name,) = guest.disks("filled", 1)
    device = f"/dev/{name}"
    succeed(guest.run("dd", "if=/dev/zero", f"of={device}", "bs=1M", "count=4", "conv=fsync"))
    try:
        meta = _map(guest, "meta", f"0 8192 linear {device} 0")
        room = _map(guest, "room", f"0 {_ROOM_SECTORS} linear {device} 8192")
        # Blocks of 64 KiB; what finds no room fails at once.
        table = f"0 {_ROOM_SECTORS} thin-pool {meta} {room} 128 0 1 error_if_no_space"
        pool = _map(guest, "pool", table)
        succeed(guest.run("dmsetup", "message", "pool", "0", "create_thin 0"))
        yield _map(guest, "thin", f"0 {4 * _ROOM_SECTORS} thin {pool} 0")
    finally:
        for made in ("thin", "pool", "room", "meta"):
            guest.run("dmsetup", "remove", "--retry", made)


def thin_pool(guest: Guest) -> str:
    """A thin pool that is almost full is found, and one that is full; the numbers are dmsetup's."""
    with _thin_volume(guest) as volume:
        write = ("dd", "if=/dev/zero", f"of={volume}", "bs=1M", "oflag=direct")
        succeed(guest.run(*write, "count=45"))
        listed = guest.holdfast("--json", "health")
        (found,) = findings(listed, "pool.data", "pool pool")
        assert found["severity"] == "warning", found
        (pool,) = listed.json()["box"]["thin_pools"]
        said = succeed(guest.run("dmsetup", "status", "pool")).out.split()
        assert said[4:6] == [
            f"{pool['metadata_used']}/{pool['metadata_blocks']}",
            f"{pool['used']}/{pool['blocks']}",
        ], (said, pool)
        assert guest.run(*write, "count=60").code, "there was room for everything"
        stopped = findings(guest.holdfast("--json", "health"), "pool.thin-state", "pool pool")
        assert [one["severity"] for one in stopped] == ["critical"], stopped
    return f"{found['summary']}; {stopped[0]['summary']}"


def clock_jump(guest: Guest) -> str:
    """The clock is set a day forward between two looks."""
    guest.holdfast("--json", "health")
    guest.set_clock(_DAY_S)
    try:
        said = guest.holdfast("--json", "health")
    finally:
        guest.set_clock(-_DAY_S)
    found = findings(said, "clock.jump")
    assert found, said.out[:500]
    return str(found[0]["summary"])


def no_barriers(guest: Guest) -> str:
    """A filesystem that never flushes, and a cache that the kernel does not flush."""
    with _mounted(guest, "-o", "nobarrier") as name:
        guest.write(f"/sys/block/{name}/queue/write_cache", "write through")
        try:
            said = guest.holdfast("--json", "health")
        finally:
            guest.write(f"/sys/block/{name}/queue/write_cache", "write back")
    found = [*findings(said, "power.no-barriers"), *findings(said, "power.cache-not-flushed")]
    assert {item["severity"] for item in found} == {"critical"}, said.out[:800]
    assert len(found) == 2, found
    return "; ".join(item["summary"] for item in found)


def management_controller(guest: Guest) -> str:
    """The simulated controller is found and asked."""
    for name in ("ipmi_si", "ipmi_devintf"):
        guest.load(name)
    await_true(lambda: guest.run("ls", "/dev/ipmi0").code == 0, "/dev/ipmi0")
    box = guest.holdfast("--json", "health").json()["box"]
    assert not box["troubles"], box["troubles"]
    return f"asked, {len(box['ipmi'])} readings"


def is_quiet(bench: Bench) -> str:
    """Nothing is critical on a bench with which nothing is wrong."""
    said = bench.holdfast("--json", "health")
    loud = [item for item in findings(said) if item["severity"] == "critical"]
    assert not loud, loud
    return f"{len(said.json()['findings'])} findings, none critical"


_QEMU = frozenset(("qemu",))
_MODULES = frozenset(("qemu", "modules"))
SCENARIOS = (
    Scenario("nothing is wrong", "no critical finding", is_quiet),
    Scenario(
        "disk full forecast", "full in N days", forecast, needs=_QEMU | {"clock"}, is_core=True
    ),
    Scenario("thin pool full", "warning, then critical", thin_pool, needs=_MODULES, is_core=True),
    Scenario("clock jump", "finding", clock_jump, needs=_QEMU | {"clock"}, is_core=True),
    Scenario("power-fail safety", "no barriers, cache not flushed", no_barriers, needs=_QEMU),
    Scenario("simulated IPMI", "found and asked", management_controller, needs=_QEMU),
)
