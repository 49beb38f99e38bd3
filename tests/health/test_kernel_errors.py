"""The kernel's words about disks are understood, and nobody else's are believed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.health.kernel_errors import KernelError, judge_kernel_errors, parse_kernel_line

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MEDIUM = "critical medium error, dev sda, sector 4660 op 0x0:(READ)"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (MEDIUM, KernelError("sda", "medium", 4660)),
        (f"3,1201,5140900,-;blk_update_request: {MEDIUM}", KernelError("sda", "medium", 4660)),
        (
            "3,77,12,c;I/O error, dev nvme0n1, sector 18446744073709551615 op 0x1:(WRITE)",
            KernelError("nvme0n1", "io", 2**64 - 1),
        ),
        (f"14,77,12,-;{MEDIUM}", None),
        ("6,1,2,-;usb 1-1: new device", None),
        ("", None),
        ("3,1,2,-;critical medium error, dev ../../x, sector 1", None),
        (
            "critical medium error, dev sda, sector " + "9" * 5000,
            KernelError("sda", "medium", 10**20 - 1),
        ),
    ],
)
def test_lines_are_read(line: str, error: KernelError | None) -> None:
    assert parse_kernel_line(line) == error


def test_medium_errors_are_reported_with_their_blocks() -> None:
    errors = [KernelError("sda", "medium", sector) for sector in (4660, 4660, 4661)]
    (finding,) = judge_kernel_errors("disk A", errors, NOON)
    assert (finding.rule, finding.severity, finding.measure) == ("disk.medium-errors", "warning", 2)
    assert "LBA 4660, 4661" in finding.summary


def test_many_medium_errors_are_critical_and_told_in_one_line() -> None:
    errors = [KernelError("sda", "medium", sector) for sector in range(500)]
    (finding,) = judge_kernel_errors("disk A", errors, NOON)
    assert finding.severity == "critical"
    assert finding.summary.endswith("and 490 more")


def test_other_errors_point_at_the_way_to_the_disk() -> None:
    (finding,) = judge_kernel_errors("disk A", [KernelError("sda", "io", 8)], NOON)
    assert (finding.rule, "cable" in finding.action) == ("disk.transfer-errors", True)


def test_without_errors_nothing_is_said() -> None:
    assert list(judge_kernel_errors("disk A", [], NOON)) == []
