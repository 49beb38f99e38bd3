"""A disk that the kernel gave up is found without asking it, and a volume that lost a member."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.health.device_states import judge_states
from appliance.health.inventory import Inventory
from tests.health.kernel_files import KernelFiles

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def judge(files: KernelFiles) -> list[tuple[str, str, str]]:
    disks = Inventory(files.tree).disks
    found = judge_states(files.tree, disks, NOW)
    return [(item.subject, item.rule, item.severity) for item in found]


@pytest.mark.parametrize(
    ("state", "is_told"),
    [("running", False), ("offline", True), ("transport-offline", True), ("live", False),
     ("dead", True), ("", False)],
)  # fmt: skip
def test_a_disk_that_was_given_up_is_found(files: KernelFiles, state: str, is_told: bool) -> None:
    folder = files.disk("sda", serial="A")
    (folder / "device/state").write_text(f"{state}\n")
    assert judge(files) == ([("disk A", "disk.given-up", "critical")] if is_told else [])


@pytest.mark.parametrize(
    ("level", "state", "severity"),
    [
        ("raid-5", "active", None),
        ("raid-5", "degraded", "critical"),
        ("raid-6", "degraded", "warning"),
        ("raid-1", "offline", "critical"),
        ("raid-1", "resyncing", "notice"),
    ],
)
def test_what_a_controller_says_of_its_volume_is_judged(
    files: KernelFiles, level: str, state: str, severity: str | None
) -> None:
    folder: Path = files.disk("sda", serial="V")
    volume = f"sys/class/raid_devices/{(folder / 'device').resolve().name}"
    files.write(f"{volume}/level", level)
    files.write(f"{volume}/state", state)
    assert judge(files) == ([("disk V", "disk.volume", severity)] if severity else [])
