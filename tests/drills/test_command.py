"""drill and failover as people type them, on a real store, with real VMs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from appliance.recovery import accelerator
from appliance.recovery.runtime import poll
from tests.command import Holdfast
from tests.recovery.guests import SAYS_LOGIN, SILENT


@pytest.fixture
def protected(holdfast: Holdfast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holdfast:
    """A box with machines web1 and dead, each with a point."""
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    holdfast("init", "--recovery-out", tmp_path / "key.txt", expect=0)
    for name, disk in (("web1", SAYS_LOGIN), ("dead", SILENT)):
        image = tmp_path / f"{name}.raw"
        image.write_bytes(disk)
        holdfast("backup", image, "--machine", name, expect=0)
    return holdfast


def test_a_drill_is_run_listed_shown_and_reported(protected: Holdfast, tmp_path: Path) -> None:
    ran = protected("--json", "drill", "run", "web1", "--memory", "32", expect=0).json()
    assert ran["verdict"] == "passed"
    assert [phase["name"] for phase in ran["machines"][0]["phases"]][-1] == "ready"
    assert Path(ran["folder"], "drill.log").exists()
    plan = tmp_path / "plan.toml"
    plan.write_text(
        "name = 'both'\n[[machines]]\nname = 'web1'\nmemory_mib = 32\n"
        "[[machines]]\nname = 'dead'\nmemory_mib = 32\ntimeout_s = 2\n"
    )
    failed = protected("drill", "run", plan, expect=1)
    assert "dead: failed, RPO" in failed.out
    assert "web1: passed, RTO" in failed.out
    listed = protected("--json", "drill", "list").json()["drills"]
    assert [each["verdict"] for each in listed] == ["passed", "failed"]
    assert len(protected("drill", "list", "--machine", "dead").out.splitlines()) == 1
    assert "no drills" in protected("drill", "list", "--plan", "other").out
    shown = protected("drill", "show", ran["id"], expect=0).out
    assert "point opened" in shown
    page = tmp_path / "report.html"
    said = protected("drill", "report", "--out", page, "--title", "Branch office", expect=0)
    assert "2 machines" in said.out
    assert "2 machines tried: 1 recovered, 1 did not." in page.read_text()
    protected("drill", "report", ran["id"], "--out", page, expect=0)
    assert "1 machine tried, and every check passed." in page.read_text()
    assert protected("--json", "vms").json()["vms"] == []


def test_what_cannot_be_drilled_says_so(protected: Holdfast, tmp_path: Path) -> None:
    assert "no complete point" in protected("drill", "run", "none", expect=5).err
    protected("drill", "run", "none.toml", expect=5)
    protected("drill", "run", "..", expect=2)
    protected("drill", "show", "20261121T093000Z", expect=5)
    protected("drill", "report", "--out", tmp_path / "page", expect=5)
    assert "no drills yet" in protected("drill", "list", expect=0).out
    huge = protected("drill", "run", "web1", "--memory", "9999999", expect=1)
    assert "needs" in huge.err


def test_a_killed_drill_is_cleared_by_the_next_command(protected: Holdfast) -> None:
    running = protected.start("drill", "run", "dead", "--memory", "32")
    logs = protected.state / "drills"
    assert poll(lambda: any("VM runs" in log.read_text() for log in logs.glob("*/drill.log")), 60)
    assert [vm["state"] for vm in protected("--json", "vms").json()["vms"]] == ["running"]
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    cleared = protected("--json", "vms", expect=0)
    assert "had been killed: its VMs are removed" in cleared.err
    assert cleared.json()["vms"] == []
    assert "killed" not in protected("vms", expect=0).err
    assert not list((protected.state / "vms").iterdir())


def test_a_failover_is_shown_and_waits(protected: Holdfast, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("name = 'p'\nmachines = [{name = 'web1'}]\nfailover = {bridge = 'no-such'}\n")
    shown = protected("failover", "run", plan, expect=0).out
    assert "boot web1 on the network of no-such" in shown
    assert "nothing has happened yet" in shown
    (note,) = protected("--json", "failover", "list").json()["failovers"]
    assert note["state"] == "waits for approval"
    assert protected("--json", "vms").json()["vms"] == []
