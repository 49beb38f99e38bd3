"""Guards: the wrong disk is never overwritten, and no array is broken."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import pytest

from appliance.base.errors import NotFoundError, UsageError
from appliance.base.progress import Progress
from appliance.health import array_changes, content, replacement
from appliance.health.arrays import list_arrays
from appliance.health.inventory import Inventory
from appliance.health.plans import Plan
from appliance.health.replacement import Consent, plan_replacement
from tests.health.kernel_files import MIB, KernelFiles

GOOD = {"sda": "in_sync", "sdb": "in_sync"}
ONE_FAILED = {"sda": "in_sync", "sdb": "faulty"}


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans name programs; none is run here."""
    for module in (replacement, array_changes):
        monkeypatch.setattr(module, "find_program", lambda name, package: name)


def lay_out(files: KernelFiles, level: str, members: Mapping[str, str]) -> None:
    for number, name in enumerate(("sda", "sdb", "sdc")):
        files.disk(name, serial=f"S-{name}", host=number, number=f"8:{16 * number}")
    files.array("md0", level, members)


def plan(files: KernelFiles, old: str, new: str, *sick: str, **consent: str | bool) -> Plan:
    return plan_replacement(
        Inventory(files.tree),
        list_arrays(files.tree),
        old,
        new,
        sick=sick,
        consent=Consent(str(consent.get("erase", "")), bool(consent.get("is_healthy_too", False))),
    )


def test_a_failed_disk_is_taken_out_and_the_new_one_added(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    steps = [step.argv[2:] for step in plan(files, "S-sdb", "S-sdc").steps[1:]]
    assert steps == [
        ("--remove", "/dev/sdb"),
        ("--add", str(files.tree.dev / "sdc")),
    ]


def test_a_failed_disk_that_is_gone_is_taken_out_all_the_same(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    shutil.rmtree(files.tree.block("sdb"))
    (files.tree.sys / "block/sdb").unlink()
    assert plan(files, "sdb", "sdc").steps[1].argv[2:] == ("--remove", "detached")


def test_a_sick_disk_stays_until_its_copy_is_complete(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    argv = plan(files, "sdb", "sdc", "disk S-sdb").steps[-1].argv
    assert argv[2:4] == ("--replace", "/dev/sdb")


def test_the_disk_that_works_is_not_replaced_while_another_failed(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    refused = plan(files, "sda", "sdc", is_healthy_too=True)
    assert "the one that failed in md0 is sdb (serial S-sdb)" in refused.refusals[0]
    assert not refused.steps


def test_a_disk_with_nothing_wrong_needs_a_word(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    assert "nothing is wrong with sda" in plan(files, "sda", "sdc").refusals[0]
    assert not plan(files, "sda", "sdc", is_healthy_too=True).refusals


def test_a_new_disk_with_data_needs_its_serial_number(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    with (files.tree.dev / "sdc").open("r+b") as file:
        file.write(b"precious")
    assert "--erase S-sdc" in plan(files, "sdb", "sdc").refusals[0]
    assert plan(files, "sdb", "sdc", erase="S-sda").is_refused
    assert not plan(files, "sdb", "sdc", erase="S-sdc").is_refused


def test_data_at_the_end_of_a_disk_counts_too(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    with (files.tree.dev / "sdc").open("r+b") as file:
        file.seek(64 * MIB - 4096)
        file.write(b"\xfc\x4e\x2b\xa9")
    assert plan(files, "sdb", "sdc").is_refused


def test_no_consent_makes_a_mounted_disk_free(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    files.mount("8:32", "/dev/sdc", "/srv/other")
    refused = plan(files, "sdb", "sdc", erase="S-sdc")
    assert "in use: filesystem /srv/other" in refused.refusals[0]


def test_an_array_without_redundancy_is_not_broken(files: KernelFiles) -> None:
    lay_out(files, "raid0", GOOD)
    assert "all its data is gone" in plan(files, "sdb", "sdc", "disk S-sdb").refusals[0]


def test_a_disk_that_is_too_small_is_refused(files: KernelFiles) -> None:
    lay_out(files, "raid1", ONE_FAILED)
    files.disk("sdd", serial="S-sdd", host=9, size_bytes=8 * MIB)
    assert "too small" in plan(files, "sdb", "sdd").refusals[0]


def test_the_same_disk_twice_and_unknown_ones_are_refused(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    assert "same disk" in plan(files, "sda", "S-sda", is_healthy_too=True).refusals[0]
    with pytest.raises(NotFoundError, match="sdz"):
        plan(files, "sda", "sdz")
    assert "member of no array" in plan(files, "sdc", "sdc").refusals[0]


def test_a_rebuild_is_not_disturbed(files: KernelFiles) -> None:
    members = {"sda": "in_sync", "sdb": "spare"}
    lay_out(files, "raid1", members)
    (files.tree.block("md0") / "md/sync_action").write_text("recover\n")
    assert "busy with recover" in plan(files, "sda", "sdc", is_healthy_too=True).refusals[0]


def test_a_refused_plan_is_never_carried_out(files: KernelFiles) -> None:
    lay_out(files, "raid0", GOOD)
    with pytest.raises(UsageError):
        plan(files, "sdb", "sdc").carry_out(Progress())


def test_the_check_of_an_array_is_one_word_in_a_file(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    (array,) = list_arrays(files.tree)
    array_changes.plan_check(files.tree, array).carry_out(Progress())
    assert (files.tree.block("md0") / "md/sync_action").read_text() == "check"


def test_the_best_layout_is_made_of_what_is_empty_and_alike(files: KernelFiles) -> None:
    for number in range(5):
        files.disk(f"sd{chr(97 + number)}", serial=f"S{number}", host=number)
    with (files.tree.dev / "sdb").open("r+b") as file:
        file.write(b"old")
    made = array_changes.plan_creation(Inventory(files.tree), [], [])
    assert made.facts["disks"] == ["sda", "sdc", "sdd", "sde"]
    assert made.facts["level"] == "raid6"
    assert "--raid-devices=4" in made.steps[-1].argv


def test_twelve_disks_keep_one_as_spare(files: KernelFiles) -> None:
    for number in range(12):
        files.disk(f"sd{chr(97 + number)}", serial=f"S{number}", host=number)
    made = array_changes.plan_creation(Inventory(files.tree), [], [])
    assert "--raid-devices=11" in made.steps[-1].argv
    assert "--spare-devices=1" in made.steps[-1].argv


def test_an_array_in_use_cannot_be_made_over(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    made = array_changes.plan_creation(
        Inventory(files.tree), list_arrays(files.tree), ["sda", "sdc"], erase=["S-sda"]
    )
    assert "sda is in use: array md0" in made.refusals[0]


def test_growing_in_place_needs_larger_members(files: KernelFiles) -> None:
    lay_out(files, "raid1", GOOD)
    (array,) = list_arrays(files.tree)
    assert array_changes.plan_growth(Inventory(files.tree), array, None, "").is_refused
    for name in ("sda", "sdb"):
        (files.tree.block(name) / "size").write_text(str(4096 * MIB // 512))
    grown = array_changes.plan_growth(Inventory(files.tree), array, None, "")
    assert grown.steps[-1].argv[-1] == "--size=max"


def test_a_partition_of_a_disk_counts_as_its_content(files: KernelFiles) -> None:
    folder = files.disk("sda", serial="A")
    files.partition(folder, "sda1")
    assert content.describe_content(Inventory(files.tree).disks[0]) == "1 partition"


def test_the_programs_of_plans_have_their_packages_named() -> None:
    assert shutil.which("wipefs")
