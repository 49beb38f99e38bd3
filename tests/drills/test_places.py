"""What a killed drill leaves, and that only that is cleared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.drills.places import announce, clear_killed, make_folder, name_vm, running_folder
from appliance.recovery.runtime import Runtime, poll
from tests.clocks import HandClock
from tests.command import ROOT

DRILL = "20261121T093000Z"


def test_a_taken_second_moves_to_the_next_free_one(tmp_path: Path) -> None:
    made = [make_folder(tmp_path / "drills", HandClock()).name for _ in range(3)]
    assert made == ["20261121T093000Z", "20261121T093001Z", "20261121T093002Z"]


def test_a_running_drill_is_left_alone_and_an_ended_one_leaves_nothing(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    assert clear_killed(runtime) == []
    with announce(runtime, DRILL, [name_vm(DRILL, 1)]):
        assert clear_killed(runtime) == []
    assert not list(running_folder(runtime).iterdir())


def test_a_drill_that_raised_is_cleared_by_the_next_command(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    with pytest.raises(KeyError), announce(runtime, DRILL, []):
        raise KeyError
    assert clear_killed(runtime) == [DRILL]
    assert clear_killed(runtime) == []


def test_a_killed_drill_is_cleared_and_vms_of_others_are_not_touched(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from appliance.drills.places import announce; "
        "from appliance.recovery.runtime import Runtime\n"
        f"with announce(Runtime(Path(sys.argv[1])), '{DRILL}', ['drill.x.1', 'web1', '../web1']):\n"
        "    time.sleep(600)"
    )
    held = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    note = running_folder(runtime) / f"{DRILL}.json"
    assert poll(note.exists, 60)
    assert clear_killed(runtime) == []
    bystander = runtime.vms / "web1"
    bystander.mkdir(parents=True)
    (bystander / "vm.json").write_text("kept")
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    assert clear_killed(runtime) == [DRILL]
    assert (bystander / "vm.json").read_text() == "kept"
    assert not list(running_folder(runtime).iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"vms": 3}', '{"vms": [3, null]}'])
def test_a_note_of_garbage_is_cleared(tmp_path: Path, text: str) -> None:
    runtime = Runtime(tmp_path)
    running_folder(runtime).mkdir(parents=True)
    (running_folder(runtime) / f"{DRILL}.lock").touch()
    (running_folder(runtime) / f"{DRILL}.json").write_text(text)
    assert clear_killed(runtime) == [DRILL]
    assert not list(running_folder(runtime).iterdir())
