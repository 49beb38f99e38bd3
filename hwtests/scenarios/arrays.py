"""MD arrays: a failed member is found at once, replaced under guidance, and no byte is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hwtests.bench import Bench, await_true, findings, succeed
from hwtests.guest import Guest
from hwtests.scenario import Scenario

_FOUND_S = 5.0
_LOOK_S = 10.0
"""A look takes 6 s at most in an emulated guest whose host is not busy."""
_SLOW_PER_S = 25
_READS = 150
_LOOKS = 4
# In two rows of stripes, of which one at most is parity there.
_BAD_SECTORS = ("+6000-6007", "+7024-7031")
_DATA_MIB = 8


def make(bench: Bench, level: str, names: list[str]) -> str:
    """An array of empty disks, by the product; gives its name."""
    for left in succeed(bench.holdfast("--json", "array")).json()["arrays"]:
        if {member["name"] for member in left["members"]} & set(names):
            succeed(bench.run("mdadm", "--stop", f"/dev/{left['name']}"))
    for name in names:
        bench.run("mdadm", "--zero-superblock", f"/dev/{name}")
        succeed(bench.run("wipefs", "--all", "--quiet", f"/dev/{name}"))
    erase = [word for name in names for word in ("--erase", name)]
    argv = ["--json", "array", "create", *names, "--level", level, *erase, "--yes", "--wait"]
    said = succeed(bench.holdfast(*argv, timeout_s=600))
    return str(said.json()["array"])


def _erase(name: str) -> tuple[str, str]:
    """Consent: what earlier scenarios left there may go."""
    return "--erase", name


def stop(bench: Bench, array: str, names: list[str]) -> None:
    """Take an array apart and leave its disks empty."""
    succeed(bench.run("mdadm", "--stop", f"/dev/{array}"))
    for name in names:
        bench.run("mdadm", "--zero-superblock", f"/dev/{name}")


def fill(bench: Bench, array: str) -> str:
    """Write known bytes; gives their sum."""
    path = f"/dev/{array}"
    size = f"count={_DATA_MIB}"
    succeed(bench.run("dd", "if=/dev/urandom", f"of={path}", "bs=1M", size, "oflag=direct"))
    return sum_of(bench, array)


def sum_of(bench: Bench, array: str) -> str:
    """SHA-256 of what was written, read past the cache."""
    argv = ["dd", f"if=/dev/{array}", "bs=1M", f"count={_DATA_MIB}", "iflag=direct", "status=none"]
    said = succeed(bench.run("sh", "-c", f"{' '.join(argv)} | sha256sum"))
    return said.out.split()[0]


def show(bench: Bench, array: str) -> dict[str, Any]:
    """The array as the product lists it."""
    listed = succeed(bench.holdfast("--json", "array")).json()["arrays"]
    found: dict[str, Any] = next(item for item in listed if item["name"] == array)
    return found


def fail_and_replace(bench: Bench, level: str, count: int) -> str:
    """Fail a member while it is watched, replace it, read the data back."""
    names = bench.disks("array", count)
    (fresh,) = bench.disks("spare", 1)
    array = make(bench, level, names)
    before = fill(bench, array)
    number = bench.start("--json", "health", "--watch")
    await_true(lambda: bench.output(number), "the first look of the watch")
    gone = names[1]
    fail = ("mdadm", f"/dev/{array}", "--fail", f"/dev/{gone}")
    found_s = bench.time_until(number, "array.degraded", *fail)
    bench.end(number)
    look = bench.holdfast("--json", "health")
    # Beside a load of 30 an emulated guest gets a twentieth of a processor: its own commands tell.
    limit_s = _FOUND_S * max(1.0, look.seconds / _LOOK_S)
    assert found_s < limit_s, f"found only after {found_s:.1f} s, a look takes {look.seconds:.1f} s"
    (finding,) = findings(look, "array.degraded", f"array {array}")
    assert gone in finding["summary"], finding
    succeed(
        bench.holdfast(
            "--json",
            "disks",
            "replace",
            gone,
            fresh,
            *_erase(fresh),
            "--yes",
            "--wait",
            timeout_s=600,
        )
    )
    after = show(bench, array)
    members = {member["name"]: member["states"] for member in after["members"]}
    assert after["missing"] == 0, after
    assert "in_sync" in members[fresh], members
    assert gone not in members, members
    assert sum_of(bench, array) == before, "the data changed"
    stop(bench, array, [*names, fresh])
    found = f"found after {found_s:.1f} s (limit {limit_s:.1f})"
    return f"{found}, {gone} replaced by {fresh}, data intact"


def replace_sick(bench: Bench) -> str:
    """A member that still works is copied while it stays: the array is never degraded."""
    names = bench.disks("array", 2)
    (fresh,) = bench.disks("spare", 1)
    array = make(bench, "raid1", names)
    before = fill(bench, array)
    argv = ["disks", "replace", names[0], fresh, *_erase(fresh), "--healthy-too"]
    said = succeed(bench.holdfast("--json", *argv, "--yes", "--wait", timeout_s=600))
    assert any("--replace" in step["command"] for step in said.json()["steps"]), said.out
    after = show(bench, array)
    assert after["missing"] == 0, after
    assert fresh in {member["name"] for member in after["members"] if "in_sync" in member["states"]}
    assert sum_of(bench, array) == before
    stop(bench, array, [*names, fresh])
    return f"{names[0]} copied to {fresh} without losing redundancy"


def refuse_wrong(bench: Bench) -> str:
    """The member that works, a disk with data, and one in use are refused; nothing changes."""
    names = bench.disks("array", 2)
    (fresh,) = bench.disks("spare", 1)
    array = make(bench, "raid1", names)
    succeed(bench.run("mdadm", f"/dev/{array}", "--fail", f"/dev/{names[1]}"))
    said = bench.holdfast("disks", "replace", names[0], fresh, "--yes", "--healthy-too")
    assert said.code == 2, said
    assert names[1] in said.err, said.err
    succeed(bench.run("dd", "if=/dev/urandom", f"of=/dev/{fresh}", "bs=64k", "count=1"))
    said = bench.holdfast("disks", "replace", names[1], fresh, "--yes")
    assert said.code == 2, said
    assert "--erase" in said.err, said.err
    said = bench.holdfast("disks", "replace", names[1], names[0], "--yes")
    assert said.code == 2, said
    assert "in use" in said.err, said.err
    members = {member["name"] for member in show(bench, array)["members"]}
    assert members == set(names), members
    stop(bench, array, names)
    succeed(bench.run("dd", "if=/dev/zero", f"of=/dev/{fresh}", "bs=64k", "count=1"))
    return "working member, disk with data, disk in use: refused with exit 2"


def check_mismatches(bench: Bench) -> str:
    """Bytes changed behind the array's back are counted by its check."""
    names = bench.disks("array", 3)
    array = make(bench, "raid5", names)
    fill(bench, array)
    # Past the superblock and the bitmap, in the data of one member only.
    start = show(bench, array)["component_bytes"] // 2
    succeed(
        bench.run(
            *("dd", "if=/dev/urandom", f"of=/dev/{names[0]}", "bs=4096", "count=4"),
            *(f"seek={start // 4096}", "oflag=direct", "conv=notrunc"),
        )
    )
    succeed(bench.holdfast("--json", "array", "check", array, "--yes", "--wait", timeout_s=600))
    (finding,) = findings(bench.holdfast("--json", "health"), "array.mismatch", f"array {array}")
    assert finding["measure"] > 0, finding
    stop(bench, array, names)
    return str(finding["summary"])


def pull_member(guest: Guest) -> str:
    """A member that is pulled out is found by the next write; its place is filled again."""
    names = guest.disks("pulled", 2)
    (fresh,) = guest.disks("spare", 1)
    array = make(guest, "raid1", names)
    guest.ask_qemu("device_del", id="disk-PULL1")
    await_true(lambda: names[1] not in {disk["name"] for disk in _disks(guest)}, "the disk is gone")
    fill(guest, array)
    said = guest.holdfast("--json", "health")
    (finding,) = findings(said, "array.degraded", f"array {array}")
    assert "serial PULL1" in finding["summary"], finding
    before = sum_of(guest, array)
    argv = ["disks", "replace", names[1], fresh, *_erase(fresh), "--yes", "--wait"]
    succeed(guest.holdfast("--json", *argv, timeout_s=600))
    assert show(guest, array)["missing"] == 0
    assert sum_of(guest, array) == before
    stop(guest, array, [names[0], fresh])
    return str(finding["summary"])


def _disks(guest: Guest) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(guest.holdfast("--json", "disks").out)["disks"]
    return listed


def grow_raid(bench: Bench) -> str:
    """One disk more in a RAID5: larger, and the data is still there."""
    names = bench.disks("array", 3)
    (fresh,) = bench.disks("spare", 1)
    array = make(bench, "raid5", names)
    before, size = fill(bench, array), show(bench, array)["size_bytes"]
    argv = ["array", "grow", array, fresh, *_erase(fresh), "--yes", "--wait"]
    succeed(bench.holdfast("--json", *argv, timeout_s=600))
    after = show(bench, array)
    assert after["slots"] == 4, after
    assert after["size_bytes"] > size, after
    assert sum_of(bench, array) == before, "the data changed"
    stop(bench, array, [*names, fresh])
    return f"{size} to {after['size_bytes']} bytes, data intact"


def slow_member(guest: Guest) -> str:
    """A member whose requests take long is told apart from its siblings, and they are not."""
    names = guest.disks("array", 3)
    array = make(guest, "raid5", names)
    slow = names[1]
    listed = {disk["name"]: disk["serial"] for disk in _disks(guest)}
    limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)

    def throttle(iops: int) -> None:
        disk = f"disk-{listed[slow]}"
        guest.ask_qemu("block_set_io_throttle", id=disk, iops=iops, **limits)

    throttle(_SLOW_PER_S)
    try:
        for _ in range(_LOOKS):
            said = guest.holdfast("--json", "health")
            reads = f"bs=4096 count={_READS} iflag=direct status=none"
            each = " & ".join(f"dd if=/dev/{name} of=/dev/null {reads}" for name in names)
            succeed(guest.run("sh", "-c", f"{each} & wait"))
        said = guest.holdfast("--json", "health")
    finally:
        throttle(0)
    found = findings(said, "disk.slow")
    assert [item["subject"] for item in found] == [f"disk {listed[slow]}"], found
    stop(guest, array, names)
    return f"{slow}: {found[0]['summary']}"


def bad_sector(guest: Guest) -> str:
    """A member has sectors that cannot be read: the array answers, and the member is told."""
    guest.load("configfs")
    guest.load("null_blk", "nr_devices=0")
    succeed(guest.run("mount", "-t", "configfs", "none", "/sys/kernel/config"))
    names = ["nullb1", "nullb2", "nullb3"]
    for number, name in enumerate(names, 1):
        folder = f"/sys/kernel/config/nullb/{name}"
        succeed(guest.run("mkdir", folder))
        values = {"memory_backed": 1, "size": 64, "index": number, "power": 1}
        for file, value in values.items():
            guest.write(f"{folder}/{file}", str(value))
    array = "md9"
    paths = [f"/dev/{name}" for name in names]
    argv = ["--create", f"/dev/{array}", "--run", "--level=raid5", "--raid-devices=3"]
    succeed(guest.run("mdadm", *argv, "--metadata=1.2", "--assume-clean", *paths))
    number = guest.start("--json", "health", "--watch")
    await_true(lambda: guest.output(number), "the first look of the watch")
    before = fill(guest, array)
    for sectors in _BAD_SECTORS:
        guest.write(f"/sys/kernel/config/nullb/{names[0]}/badblocks", sectors)
    after = sum_of(guest, array)
    assert after == before, "the data changed"
    rule = f"array.member-errors.{names[0]}"
    await_true(lambda: rule in guest.output(number), rule)
    guest.end(number)
    succeed(guest.run("mdadm", "--stop", f"/dev/{array}"))
    return f"{rule}, data intact"


_ROLES = {"array": 2, "spare": 1}
SCENARIOS = tuple(
    replace(scenario, lane="arrays")
    for scenario in (
        Scenario(
            "RAID1 member fails",
            "finding within 5 s, guided replace, data intact",
            lambda bench: fail_and_replace(bench, "raid1", 2),
            roles=_ROLES,
            is_core=True,
        ),
        Scenario(
            "RAID6 member fails",
            "finding within 5 s, guided replace, data intact",
            lambda bench: fail_and_replace(bench, "raid6", 4),
            roles={"array": 4, "spare": 1},
        ),
        Scenario(
            "sick member replaced",
            "stays in use until its copy is complete",
            replace_sick,
            roles=_ROLES,
        ),
        Scenario(
            "wrong disk replaced",
            "refused, nothing changed",
            refuse_wrong,
            roles=_ROLES,
            is_core=True,
        ),
        Scenario(
            "array check with mismatches",
            "finding with their number",
            check_mismatches,
            roles={"array": 3},
            is_core=True,
        ),
        Scenario(
            "RAID1 member pulled out",
            "found by the next write, place filled again",
            pull_member,
            needs=frozenset(("qemu",)),
        ),
        Scenario(
            "RAID5 grows by a disk",
            "larger, data intact",
            grow_raid,
            roles={"array": 3, "spare": 1},
        ),
        Scenario(
            "a member slower than its siblings",
            "finding about that one",
            slow_member,
            needs=frozenset(("qemu",)),
            roles={"array": 3},
        ),
        Scenario(
            "sectors of a member that cannot be read (null_blk)",
            "finding, data intact",
            bad_sector,
            needs=frozenset(("qemu", "modules")),
        ),
    )
)
