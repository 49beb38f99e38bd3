"""Which VMs somebody hears of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.recovery.vm_findings import judge_vms
from appliance.recovery.vm_note import VmStatus

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WELL = VmStatus(
    *("web1", "web1@2026-11-21T09:30:00Z", "running", Path("serial"), Path("serial.log")),
    overlay_bytes=80 << 20,
    overlay_limit_bytes=100 << 20,
    is_wanted=True,
)


@pytest.mark.parametrize(
    ("vm", "rule", "severity"),
    [
        (replace(WELL, state="io-error", warning="full"), "vm.full", "critical"),
        (replace(WELL, state="internal-error"), "vm.internal-error", "critical"),
        (replace(WELL, state="stopped"), "vm.ended", "critical"),
        (replace(WELL, state="damaged"), "vm.damaged", "warning"),
        (replace(WELL, warning="its overlay has 20 MiB left"), "vm.filling", "warning"),
    ],
)
def test_a_vm_that_needs_somebody_is_a_finding(vm: VmStatus, rule: str, severity: str) -> None:
    (found,) = judge_vms([WELL, vm], NOW)
    assert (found.subject, found.rule, found.severity) == ("vm web1", rule, severity)
    assert "web1" in found.action


def test_a_vm_that_runs_rests_or_changes_is_none() -> None:
    quiet = [
        WELL,
        replace(WELL, state="stopped", is_wanted=False),
        *(replace(WELL, state=state) for state in ("starting", "served", "paused")),
    ]
    assert not list(judge_vms(quiet, NOW))


def test_a_fuller_overlay_is_told_again() -> None:
    half = replace(WELL, warning="filling")
    (before,) = judge_vms([half], NOW)
    (after,) = judge_vms([replace(half, overlay_bytes=95 << 20)], NOW)
    assert after.is_worse_than(before.severity, before.measure)
