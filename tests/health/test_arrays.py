"""Arrays as sysfs shows them, and what that means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.formats.finding import Finding
from appliance.health.array_rules import judge_array
from appliance.health.arrays import count_redundancy, list_arrays, read_array
from appliance.health.inventory import Inventory
from tests.health.kernel_files import KernelFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOOD = "in_sync"
FAILED = "faulty"


def judge(files: KernelFiles) -> list[Finding]:
    inventory = Inventory(files.tree)
    return [
        finding
        for array in list_arrays(files.tree)
        for finding in judge_array(array, inventory, NOW)
    ]


def make(files: KernelFiles, level: str, *states: str, **more: str) -> None:
    members = {}
    for number, state in enumerate(states):
        name = f"sd{chr(ord('a') + number)}"
        files.disk(name, serial=f"S-{name}", host=number)
        members[name] = state
    files.array("md0", level, members, files=more)


def test_a_sound_array_is_quiet(files: KernelFiles) -> None:
    make(files, "raid1", GOOD, GOOD)
    assert judge(files) == []
    assert read_array(files.tree, "md0").redundancy == 1


def test_a_failed_member_is_named_with_its_serial_number(files: KernelFiles) -> None:
    make(files, "raid1", GOOD, FAILED)
    (finding,) = judge(files)
    assert (finding.rule, finding.severity) == ("array.degraded", "critical")
    assert "S-sdb" in finding.summary
    assert "disks replace sdb NEW" in finding.action


def test_a_member_that_could_not_be_written_is_to_be_replaced(files: KernelFiles) -> None:
    make(files, "raid6", GOOD, GOOD, GOOD, f"{GOOD},write_error,want_replacement")
    (finding,) = judge(files)
    assert (finding.rule, finding.severity) == ("array.member-errors.sdd", "warning")
    assert "S-sdd" in finding.summary


def test_a_member_that_is_being_replaced_is_told_no_more(files: KernelFiles) -> None:
    make(files, "raid1", GOOD, f"{GOOD},want_replacement", "replacement")
    assert "array.member-errors.sdb" not in [finding.rule for finding in judge(files)]


def test_raid6_with_one_failure_is_a_warning(files: KernelFiles) -> None:
    make(files, "raid6", GOOD, GOOD, GOOD, FAILED)
    (finding,) = judge(files)
    assert finding.severity == "warning"
    assert "1 more may fail" in finding.consequence


def test_a_rebuild_is_told_with_progress_and_time(files: KernelFiles) -> None:
    make(
        files,
        "raid1",
        GOOD,
        "spare",
        sync_action="recover",
        sync_completed="50000 / 100000",
        sync_speed="25",
    )
    activity = read_array(files.tree, "md0").activity
    assert activity is not None
    assert (activity.action, activity.done, activity.eta_s) == ("recover", 0.5, 1000.0)
    (finding,) = judge(files)
    assert "50%" in finding.action
    assert "16 min" in finding.action


def test_mismatches_matter_on_parity_and_are_good_to_know_on_a_mirror(files: KernelFiles) -> None:
    make(files, "raid5", GOOD, GOOD, GOOD, mismatch_cnt="128")
    (finding,) = judge(files)
    assert (finding.rule, finding.severity, finding.measure) == ("array.mismatch", "warning", 128)


def test_no_redundancy_and_no_bitmap_are_said(files: KernelFiles) -> None:
    make(files, "raid1", GOOD, GOOD, **{"bitmap/location": "none"})
    assert [finding.rule for finding in judge(files)] == ["array.no-bitmap"]


def test_an_array_that_did_not_start_is_critical(files: KernelFiles) -> None:
    make(files, "raid5", GOOD, array_state="inactive")
    (finding,) = judge(files)
    assert (finding.rule, finding.severity) == ("array.stopped", "critical")


def test_read_errors_of_a_member_are_a_warning(files: KernelFiles) -> None:
    make(files, "raid1", GOOD, GOOD)
    (files.tree.block("md0") / "md/dev-sda/errors").write_text("3\n")
    (finding,) = judge(files)
    assert finding.rule == "array.read-errors.sda"


def test_garbage_in_sysfs_breaks_nothing(files: KernelFiles) -> None:
    names = ("raid_disks", "degraded", "sync_completed", "sync_speed", "mismatch_cnt", "layout")
    for word in ("", "none", "-1", "99999999999999999999999", "\x00\xff", "1 / 0"):
        make(files, "raid10", GOOD, GOOD, **dict.fromkeys(names, word))
        judge(files)
        files = KernelFiles(files.tree.root / "more")


@pytest.mark.parametrize(
    ("level", "slots", "working", "layout", "redundancy"),
    [
        ("raid0", 2, {0, 1}, None, 0),
        ("raid1", 3, {0, 1, 2}, None, 2),
        ("raid1", 3, {1}, None, 0),
        ("raid5", 4, {0, 1, 2, 3}, None, 1),
        ("raid5", 4, {0, 1, 2}, None, 0),
        ("raid6", 4, {0, 1, 2, 3}, None, 2),
        ("raid6", 4, {0, 1}, None, 0),
        ("raid10", 4, {0, 1, 2, 3}, 0x102, 1),
        ("raid10", 4, {0, 2, 3}, 0x102, 0),
        ("raid10", 6, {0, 1, 2, 3, 4, 5}, 0x103, 2),
        ("raid10", 3, {0, 1, 2}, 0x102, 1),
        ("raid10", 3, {0, 1}, 0x102, 0),
    ],
)
def test_redundancy_is_what_survives_whichever_disk_fails(
    level: str, slots: int, working: set[int], layout: int | None, redundancy: int
) -> None:
    missing = slots - len(working)
    assert count_redundancy(level, slots, missing, working, layout) == redundancy
