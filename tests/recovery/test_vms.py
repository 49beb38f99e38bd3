"""VMs whose parts were killed, whose notes are garbage, and those that stop in every way."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.base.errors import (
    BusyError,
    HoldfastError,
    IntegrityError,
    NotFoundError,
    UsageError,
)
from appliance.recovery import accelerator, boot, qemu, vms
from appliance.recovery.disk_server import find_disk_server
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import Wait
from appliance.recovery.runtime import ProcessId, Runtime, poll
from appliance.recovery.vm_note import VmNote, VmStatus, lock_vm, read_vm, write_vm
from appliance.recovery.vm_start import BootOrder
from tests.recovery.conftest import Lab
from tests.recovery.guests import SAYS_LOGIN

POINT = "web1@2026-11-21T09:30:00Z"
NAME = "vm"
NOTHING = vms.Healed((), ())


@pytest.fixture(autouse=True)
def on_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")


@pytest.fixture
def folder(lab: Lab) -> Path:
    """The folder of a VM that runs."""
    lab.add_point(POINT, SAYS_LOGIN)
    start(lab)
    return lab.runtime.vms / NAME


def start(lab: Lab) -> VmStatus:
    order = BootOrder(POINT, NAME, hardware=HardwareChoice(memory_mib=32), wait=Wait("none"))
    return boot.boot(lab.runtime, order, lab.serve_argv).vm


def guest_of(folder: Path) -> ProcessId:
    guest = read_vm(folder).guest
    assert guest is not None
    return guest.qemu


def kill(process: ProcessId) -> None:
    os.kill(process.pid, signal.SIGKILL)
    assert poll(lambda: not process.is_alive(), 60)


def disk_server_of(folder: Path) -> ProcessId:
    server = find_disk_server(folder)
    assert server is not None
    return server


def states(lab: Lab) -> list[str]:
    return [vm.state for vm in vms.list_vms(lab.runtime)]


def assert_is_down(lab: Lab, folder: Path) -> None:
    assert states(lab) == ["stopped"]
    assert find_disk_server(folder) is None
    assert (folder / "overlay-0.qcow2").exists()
    assert start(lab).state == "running"


def test_a_killed_qemu_is_noticed_and_its_overlay_kept(lab: Lab, folder: Path) -> None:
    kill(guest_of(folder))
    assert states(lab) == ["stopped"]
    assert vms.heal(lab.runtime, lab.serve_argv).ended == (NAME,)
    assert vms.heal(lab.runtime, lab.serve_argv) == NOTHING
    assert_is_down(lab, folder)


def test_a_killed_disk_server_is_replaced_and_the_vm_goes_on(lab: Lab, folder: Path) -> None:
    guest = guest_of(folder)
    kill(disk_server_of(folder))
    assert vms.heal(lab.runtime, lab.serve_argv).resumed == (NAME,)
    assert guest.is_alive()
    assert vms.heal(lab.runtime, lab.serve_argv) == NOTHING


def test_a_disk_server_that_cannot_be_started_leaves_the_vm_waiting(lab: Lab, folder: Path) -> None:
    kill(disk_server_of(folder))
    assert vms.heal(lab.runtime, lambda *_: ["false"]) == NOTHING
    assert guest_of(folder).is_alive()
    assert vms.stop(lab.runtime, NAME).was_running


def test_both_killed_is_healed_too(lab: Lab, folder: Path) -> None:
    kill(disk_server_of(folder))
    kill(guest_of(folder))
    assert vms.heal(lab.runtime, lab.serve_argv).ended == (NAME,)
    assert_is_down(lab, folder)


def test_a_boot_over_a_dead_vm_needs_no_healing_first(lab: Lab, folder: Path) -> None:
    kill(guest_of(folder))
    assert start(lab).state == "running"


def test_a_whole_vm_is_left_alone(lab: Lab, folder: Path) -> None:
    guest = guest_of(folder)
    assert vms.heal(lab.runtime, lab.serve_argv) == NOTHING
    assert guest.is_alive()


@pytest.mark.parametrize("is_fresh", [True, False])
def test_a_start_that_was_killed_is_undone(lab: Lab, folder: Path, is_fresh: bool) -> None:
    guest = guest_of(folder)
    note = read_vm(folder)
    write_vm(
        folder, VmNote(**{**vars(note), "state": "starting", "guest": None, "is_fresh": is_fresh})
    )
    assert vms.heal(lab.runtime, lab.serve_argv).ended == (NAME,)
    assert not guest.is_alive(), "a QEMU that nobody noted is found by its own note"
    assert states(lab) == ([] if is_fresh else ["stopped"])
    assert find_disk_server(folder) is None


def test_a_vm_in_another_commands_hands_is_left_to_it(lab: Lab, folder: Path) -> None:
    kill(guest_of(folder))
    with lock_vm(lab.runtime, NAME):
        assert vms.heal(lab.runtime, lab.serve_argv) == NOTHING
        with pytest.raises(BusyError, match="another command"):
            vms.stop(lab.runtime, NAME)
        with pytest.raises(BusyError, match="another command"):
            start(lab)
    assert vms.heal(lab.runtime, lab.serve_argv).ended == (NAME,)


def test_a_folder_without_a_note_is_garbage(lab: Lab, folder: Path) -> None:
    (folder / "vm.json").unlink()
    vms.heal(lab.runtime, lab.serve_argv)
    assert states(lab) == []


@pytest.mark.parametrize(
    "garbage", [b"", b"[]", b"{}", b'{"state": "running", "guest": 1}', b"\xff\xfe", b"[" * 99_999]
)
def test_a_damaged_note_is_shown_and_can_be_discarded(
    lab: Lab, folder: Path, garbage: bytes
) -> None:
    guest = guest_of(folder)
    (folder / "vm.json").write_bytes(garbage)
    assert vms.heal(lab.runtime, lab.serve_argv) == NOTHING
    assert states(lab) == ["damaged"]
    with pytest.raises(IntegrityError, match="--discard"):
        vms.stop(lab.runtime, NAME)
    vms.stop(lab.runtime, NAME, discard=True)
    assert not guest.is_alive()
    assert states(lab) == []
    assert find_disk_server(folder) is None


def test_a_stopped_vm_stops_again_and_has_no_screen(lab: Lab, folder: Path) -> None:
    vms.stop(lab.runtime, NAME, grace_s=0)
    result = vms.stop(lab.runtime, NAME)
    assert (result.was_running, result.shut_down) == (False, False)
    with pytest.raises(HoldfastError, match="does not run"):
        vms.screenshot(lab.runtime, NAME, folder / "screen.png")
    assert vms.vms_using(lab.runtime, POINT) == [NAME]
    vms.stop(lab.runtime, NAME, discard=True)
    assert vms.vms_using(lab.runtime, POINT) == []


def test_a_vm_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(NotFoundError, match="holdfast vms"):
        vms.stop(lab.runtime, "nobody")
    with pytest.raises(UsageError):
        vms.stop(lab.runtime, "../../etc")
    with pytest.raises(NotFoundError):
        vms.screenshot(lab.runtime, "nobody", Path("x.png"))


def test_nothing_to_heal_costs_nothing(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path / "none")
    assert vms.heal(runtime, lambda *_: []) == NOTHING
    assert vms.list_vms(runtime) == []
    assert vms.vms_using(runtime, POINT) == []
    assert not runtime.state.exists()


def test_a_note_survives_writing_and_reading(lab: Lab, folder: Path) -> None:
    note = read_vm(folder)
    assert note.guest is not None
    write_vm(folder, note)
    assert read_vm(folder) == note


def test_a_moved_state_keeps_its_overlays(lab: Lab, folder: Path) -> None:
    vms.stop(lab.runtime, NAME, grace_s=0)
    moved = lab.folder / "moved"
    lab.runtime.state.rename(moved)
    lab.runtime = Runtime(moved)
    assert start(lab).state == "running"


def test_a_process_is_known_by_more_than_its_number() -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    assert own.is_alive()
    assert ProcessId.from_json(own.to_json()) == own
    assert not ProcessId(own.pid, own.started_ticks + 1, own.boot).is_alive()
    assert not ProcessId(own.pid, own.started_ticks, "another boot").is_alive()
    assert ProcessId.of(2**22 + 1) is None


# Its first thread ends (system call 60, exit), another goes on.
ENDS_IN_PART = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall(60, 0)
"""


def test_a_process_lives_as_long_as_any_of_its_threads() -> None:
    with subprocess.Popen([sys.executable, "-c", ENDS_IN_PART]) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        assert poll(lambda: b") Z " in stat.read_bytes(), 60)
        assert ProcessId.of(process.pid) is not None
        process.kill()
        assert poll(lambda: ProcessId.of(process.pid) is None, 60)


def test_a_png_is_measured_and_anything_else_refused() -> None:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
    assert qemu.read_png_size(head + struct.pack(">II", 640, 480) + bytes(20)) == (640, 480)
    for data in (b"", head, b"P6 1 1 255 abc".ljust(64), head + bytes(40)):
        with pytest.raises(IntegrityError):
            qemu.read_png_size(data)
