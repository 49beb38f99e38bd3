"""drill and failover as people type them, on a real store, with real VMs."""

from __future__ import annotations

import base64
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.drills.name_updates import look_up
from appliance.drills.plan import read_plan
from appliance.formats.names import format_time
from appliance.recovery import accelerator
from appliance.recovery.runtime import poll
from tests.command import Holdfast
from tests.drills.servers import serve_names
from tests.recovery.guests import OBEDIENT, SILENT

PATIENCE_S = 120


@pytest.fixture
def protected(holdfast: Holdfast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holdfast:
    """A box with machines web1 and dead, each with a point."""
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")
    holdfast("init", "--recovery-out", tmp_path / "key.txt", expect=0)
    for name, disk in (("web1", OBEDIENT), ("dead", SILENT)):
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


def test_machines_of_a_plan_are_recovered_as_of_one_moment(
    protected: Holdfast, tmp_path: Path
) -> None:
    points = [each["name"] for each in protected("--json", "points").json()["points"]]
    first = {name.partition("@")[0]: name for name in points}
    moment = first["dead"].partition("@")[2]
    assert poll(lambda: format_time(datetime.now(UTC).replace(microsecond=0)) > moment, PATIENCE_S)
    protected("backup", tmp_path / "web1.raw", "--machine", "web1", expect=0)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        "name = 'both'\n[[machines]]\nname = 'web1'\nmemory_mib = 32\nready = 'none'\n"
        "[[machines]]\nname = 'dead'\nmemory_mib = 32\nready = 'none'\n"
    )
    ran = protected("--json", "drill", "run", plan, "--as-of", moment, expect=0).json()
    assert {each["name"]: each["point"] for each in ran["machines"]} == first
    assert 0 <= ran["points_apart_s"] <= 2 * PATIENCE_S
    assert "points of one moment, give or take" in protected("drill", "show", ran["id"]).out
    early = protected("drill", "run", plan, "--as-of", "2001-01-01T00:00:00Z", expect=5)
    assert "no complete point at 2001-01-01T00:00:00Z or before" in early.err
    protected("drill", "run", plan, "--as-of", "yesterday", expect=2)


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
    assert poll(
        lambda: any("VM runs" in log.read_text() for log in list(logs.glob("*/drill.log"))),
        PATIENCE_S,
    )
    assert [vm["state"] for vm in protected("--json", "vms").json()["vms"]] == ["running"]
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    cleared = protected("--json", "vms", expect=0)
    assert "had been killed: its VMs are removed" in cleared.err
    assert cleared.json()["vms"] == []
    assert "killed" not in protected("vms", expect=0).err
    assert not list((protected.state / "vms").iterdir())


def test_a_failover_waits_for_approval_moves_a_name_and_goes_back(
    protected: Holdfast, tmp_path: Path, bridge: str
) -> None:
    secret = base64.b64encode(os.urandom(32)).decode()
    zone = tmp_path / "zone"
    zone.mkdir()
    (tmp_path / "key").write_text(secret)
    with serve_names(zone, secret) as port:
        plan = tmp_path / "plan.toml"
        plan.write_text(
            "name = 'p'\n[[machines]]\nname = 'web1'\nmemory_mib = 32\n"
            "mac = '52:54:00:12:34:56'\nchecks = [{kind = 'login', text = 'web1 login'}]\n"
            f"[failover]\nbridge = '{bridge}'\n[[failover.dns]]\nserver = '127.0.0.1'\n"
            f"port = {port}\nzone = 'example.org'\nname = 'www.example.org'\n"
            "address = '192.0.2.11'\nkey_name = 'holdfast'\n"
            f"key_file = '{tmp_path / 'key'}'\n"
        )
        update = read_plan(plan).failover.dns[0]  # type: ignore[union-attr]
        shown = protected("failover", "run", plan, expect=0).out
        assert f"boot web1 on the network of {bridge}" in shown
        assert "nothing has happened yet" in shown
        (note,) = protected("--json", "failover", "list").json()["failovers"]
        assert note["state"] == "waits for approval"
        assert protected("--json", "vms").json()["vms"] == []
        assert len(look_up(update).addresses) == 2

        protected("failover", "approve", note["id"], "--by", "Ada", expect=0)
        assert look_up(update).addresses == ("192.0.2.11",)
        (vm,) = protected("--json", "vms").json()["vms"]
        assert vm["state"] == "running"
        assert list(Path(f"/sys/class/net/{bridge}/brif").iterdir())

        back = protected("failover", "reverse", note["id"], expect=0).out
        assert "point www.example.org back to 198.51.100.7, 198.51.100.8" in back
        assert look_up(update).addresses == ("192.0.2.11",)
        protected("failover", "approve", note["id"], "--by", "Grace", expect=0)
        assert len(look_up(update).addresses) == 2
        (vm,) = protected("--json", "vms").json()["vms"]
        assert vm["state"] == "stopped"
    log = protected("failover", "show", note["id"], expect=0).out
    assert "Ada approves the failover" in log
    assert "Grace approves the way back" in log


def test_a_failover_to_a_bridge_that_is_not_there_stops_and_says_so(
    protected: Holdfast, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("name = 'p'\nmachines = [{name = 'web1'}]\nfailover = {bridge = 'no-such'}\n")
    protected("failover", "run", plan, expect=0)
    (note,) = protected("--json", "failover", "list").json()["failovers"]
    stopped = protected("failover", "approve", note["id"], "--by", "Ada", expect=1)
    assert "bridge" in stopped.err
    assert "stopped" in protected("failover", "show", note["id"]).out
    assert protected("--json", "vms").json()["vms"] == []
