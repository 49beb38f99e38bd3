"""Commands beside a daemon: same output, same exit code, and honest when it hangs or dies."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from appliance.cli import by_daemon, daemon_link
from appliance.cli.console import Console
from appliance.cli.session import Session
from appliance.recovery.vm_note import NOTE
from appliance.sources.wire import bind_unix
from tests.command import Holdfast
from tests.daemon.conftest import Box, poll


@pytest.fixture
def filled(real_box: Box, holdfast: Holdfast, tmp_path: Path) -> Box:
    """A daemon on a store with a point of 3 MiB."""
    holdfast("init", "--recovery-out", tmp_path / "key", expect=0)
    image = tmp_path / "disk.raw"
    image.write_bytes(os.urandom(3 << 20))
    holdfast("backup", image, "--machine", "web1", expect=0)
    real_box.start()
    return real_box


def test_a_command_gives_with_a_daemon_what_it_gives_without(
    filled: Box, holdfast: Holdfast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    calls = [
        ("verify",),
        ("verify", "--json"),
        ("restore", "web1@latest", "out.raw"),
        ("restore", "web1@latest", "nowhere/out.raw"),
        ("restore", "nobody@latest", "out.raw"),
        ("collect", "--thin", "101"),
    ]
    with_daemon = [holdfast(*call) for call in calls]
    listed = holdfast("jobs", "list", "--json").json()["items"]
    assert [job["verb"] for job in listed] == [call[0] for call in reversed(calls)]
    assert (tmp_path / "out.raw").read_bytes() == (tmp_path / "disk.raw").read_bytes()
    (tmp_path / "out.raw").unlink()
    filled.stop()
    without = [holdfast(*call) for call in calls]
    for one, other in zip(with_daemon, without, strict=True):
        assert (one.code, one.out, one.err) == (other.code, other.out, other.err), one.argv


def test_what_writes_to_standard_output_does_so_itself(filled: Box, tmp_path: Path) -> None:
    holdfast = Holdfast(filled.state)
    assert (
        holdfast("restore", "web1@latest", "-", expect=0).stdout
        == (tmp_path / "disk.raw").read_bytes()
    )
    assert holdfast("restore", "web1@latest", "/dev/stdout", "--force", expect=0).stdout
    assert filled.ask("list")["items"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job(filled: Box, holdfast: Holdfast, number: signal.Signals) -> None:
    command = holdfast.start("scrub", "--all", "--rate", "0.05")
    poll(lambda: filled.ask("list", state="running")["items"], "a running job")
    poll(lambda: filled.ask("get", id=1)["phase"], "its work")
    command.send_signal(number)
    assert command.wait() == 128 + number
    assert filled.ask("get", id=1)["state"] == "cancelled"


@pytest.mark.parametrize("is_clean", [False, True])
def test_a_command_survives_the_restart_of_the_daemon(
    filled: Box, holdfast: Holdfast, *, is_clean: bool
) -> None:
    command = holdfast.start("scrub", "--all", "--rate", "1")
    poll(lambda: filled.ask("list", state="running")["items"], "a running job")
    if is_clean:
        filled.stop()
    else:
        filled.kill()
    filled.start()
    out, err = command.communicate()
    assert command.returncode == 0, err
    assert b"containers" in out
    states = [job["state"] for job in filled.ask("list")["items"]]
    assert states in (["done"], ["done", "interrupted"])
    assert is_clean or states == ["done"]


def test_recovered_machines_come_back_when_the_daemon_starts(filled: Box) -> None:
    filled.stop()
    (filled.state / "vms/web1").mkdir(parents=True)
    (filled.state / "vms/web1" / NOTE).write_text("damaged, and so left alone")
    filled.start()
    (job,) = poll(lambda: filled.ask("list", verb="vms")["items"], "the job")
    assert job["arguments"] == {"action": "resume"}
    assert filled.wait_for(job["id"])["exit_code"] is not None


def test_jobs_are_listed_shown_cancelled_and_retried_with_and_without_a_daemon(
    filled: Box, holdfast: Holdfast
) -> None:
    holdfast("verify", expect=0)
    holdfast("restore", "nobody@latest", "x", expect=5)
    for _ in range(2):
        listed = holdfast("jobs", "list", expect=0).out
        assert re.search(r"2  failed .* restore of nobody", listed)
        assert re.search(r"1  done .* verify", listed)
        assert "1  done" not in holdfast("jobs", "list", "--only", "failed", expect=0).out
        shown = holdfast("jobs", "show", "1", "--json", expect=0).json()
        assert shown["result"]["sound"] is True
        assert "nobody" in holdfast("jobs", "log", "2", expect=0).out
        assert "there is none" in holdfast("jobs", "show", "99", expect=5).err
        if filled.process and filled.process.poll() is None:
            again = holdfast("jobs", "retry", "2", "--json", expect=0).json()
            assert filled.wait_for(again["id"])["state"] == "failed"
            filled.stop()
    assert "no daemon runs" in holdfast("jobs", "retry", "2", expect=1).err


def test_a_daemon_that_hangs_is_said_and_the_command_works_alone(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(daemon_link, "ANSWER_S", 0.2)
    (state / "run").mkdir(parents=True)
    with bind_unix(state / "run/sock"):
        session = Session(state, Console(is_json=False))
        assert by_daemon._submit(session, "verify", {}) is None
    assert "does not answer" in capsys.readouterr().err
