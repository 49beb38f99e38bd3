"""Guests of one sector, booted through real mounts by a real QEMU."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.base import process
from appliance.base.errors import BusyError, Cancelled, HoldfastError, UsageError
from appliance.base.progress import Progress, Snapshot
from appliance.recovery import accelerator, boot, qemu, vms
from appliance.recovery.boot import BootResult
from appliance.recovery.disk_server import (
    end_disk_server,
    find_disk_server,
    start_disk_server,
)
from appliance.recovery.monitor import query_run_state
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import LOGIN, Wait
from appliance.recovery.runtime import Runtime, poll
from appliance.recovery.vm_note import parse_vm_name
from appliance.recovery.vm_start import BootOrder
from tests.recovery.conftest import Lab
from tests.recovery.guests import (
    COUNTER_OFFSET,
    COUNTING,
    OBEDIENT,
    PROTECTED,
    SAYS_LOGIN,
    SHOWS_LOGIN,
    SILENT,
    SWITCHES_OFF,
)

POINT = "web1@2026-11-21T09:30:00Z"
NONE = Wait("none")
SMALL = HardwareChoice(memory_mib=32)


@pytest.fixture(autouse=True)
def on_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")


def start(lab: Lab, wait: Wait = LOGIN, **options: object) -> BootResult:
    order = replace(BootOrder(POINT, hardware=SMALL, wait=wait, timeout_s=120), **options)  # type: ignore[arg-type]
    return boot.boot(lab.runtime, order, lab.serve_argv)


def folder_of(lab: Lab, name: str = POINT) -> Path:
    return lab.runtime.vms / name


def boots_counted(lab: Lab, tmp_path: Path) -> int:
    """What the guest COUNTING wrote on its disk, read from the stopped VM's overlay."""
    raw = tmp_path / "raw"
    folder = folder_of(lab)
    argv = lab.serve_argv(POINT, folder / "disks.sock")
    start_disk_server(argv, folder)
    process.run(["qemu-img", "convert", "-O", "raw", "overlay-0.qcow2", str(raw)], cwd=folder)
    end_disk_server(folder)
    return int.from_bytes(raw.read_bytes()[COUNTER_OFFSET : COUNTER_OFFSET + 2], "little")


def test_a_point_boots_to_its_login_prompt(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    result = start(lab)
    vm = result.vm
    assert (vm.name, vm.point, vm.state, vm.accelerator) == (POINT, POINT, "running", "tcg")
    assert vm.ready_s is not None
    assert vm.vnc is not None
    assert vm.vnc.startswith("127.0.0.1:59")
    assert "login:" in vm.serial_log.read_text()
    assert not result.kept_overlay
    assert [shown.state for shown in vms.list_vms(lab.runtime)] == ["running"]
    assert vms.vms_using(lab.runtime, POINT) == [POINT]


def test_secrets_of_a_vm_are_for_its_owner_alone(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    vm = start(lab, NONE).vm
    assert vm.vnc_password
    assert vm.vnc_password not in repr(vm)
    assert (folder_of(lab) / "vm.json").stat().st_mode & 0o077 == 0
    assert folder_of(lab).stat().st_mode & 0o077 == 0


def test_a_login_prompt_on_the_screen_alone_is_seen(lab: Lab, tmp_path: Path) -> None:
    lab.add_point(POINT, SHOWS_LOGIN)
    vm = start(lab).vm
    assert vm.serial_log.read_bytes() == b""
    assert vms.screenshot(lab.runtime, POINT, tmp_path / "screen.png") == (720, 400)
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")


def test_a_running_name_is_busy(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    start(lab)
    with pytest.raises(BusyError, match="runs already"):
        start(lab)


def test_a_stopped_vm_continues_on_what_it_wrote(lab: Lab, tmp_path: Path) -> None:
    lab.add_point(POINT, COUNTING)
    start(lab)
    assert vms.stop(lab.runtime, POINT, grace_s=0).was_running
    assert find_disk_server(folder_of(lab)) is None
    assert [vm.state for vm in vms.list_vms(lab.runtime)] == ["stopped"]
    assert boots_counted(lab, tmp_path) == 1
    assert start(lab).kept_overlay
    vms.stop(lab.runtime, POINT, grace_s=0)
    assert boots_counted(lab, tmp_path) == 2


def test_a_discarded_vm_leaves_nothing_and_the_point_is_as_it_was(lab: Lab) -> None:
    lab.add_point(POINT, COUNTING)
    start(lab)
    vms.stop(lab.runtime, POINT, discard=True)
    assert vms.list_vms(lab.runtime) == []
    assert not folder_of(lab).exists()
    assert (lab.files / POINT.replace("@", "/") / "0").read_bytes() == COUNTING
    assert not start(lab).kept_overlay


def test_a_guest_that_hears_the_power_button_shuts_down(lab: Lab) -> None:
    lab.add_point(POINT, OBEDIENT)
    start(lab)
    assert vms.stop(lab.runtime, POINT).shut_down


def test_a_guest_that_does_not_is_switched_off(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    start(lab)
    result = vms.stop(lab.runtime, POINT, grace_s=0.3)
    assert result.was_running
    assert not result.shut_down


def test_a_guest_that_is_not_ready_in_time_stays_running(lab: Lab) -> None:
    lab.add_point(POINT, SILENT)
    with pytest.raises(HoldfastError, match=r"serial\.log") as late:
        start(lab, timeout_s=0.6)
    assert POINT in str(late.value)
    assert [vm.state for vm in vms.list_vms(lab.runtime)] == ["running"]


def test_a_guest_that_switches_itself_off_is_an_error_that_keeps_the_vm(lab: Lab) -> None:
    lab.add_point(POINT, SWITCHES_OFF)
    with pytest.raises(HoldfastError, match="ended before it was ready"):
        start(lab)
    assert [vm.state for vm in vms.list_vms(lab.runtime)] == ["stopped"]
    assert find_disk_server(folder_of(lab)) is None


def test_a_guest_does_not_run_before_its_start_is_noted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_late(folder: Path, timeout_s: float) -> str | None:
        poll(lambda: qemu.find_qemu(folder) is None, 1.0)  # long enough for it to switch itself off
        return query_run_state(folder, timeout_s)

    monkeypatch.setattr(qemu, "query_run_state", ask_late)
    lab.add_point(POINT, SWITCHES_OFF)
    with pytest.raises(HoldfastError, match="ended before it was ready"):
        start(lab)
    assert [vm.state for vm in vms.list_vms(lab.runtime)] == ["stopped"]


def test_an_open_connection_to_nobody_is_not_ready(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    with pytest.raises(HoldfastError, match="tcp:22"):
        start(lab, Wait("tcp", 22), timeout_s=0.5)


@pytest.mark.parametrize("existed", [False, True])
def test_a_cancelled_boot_leaves_only_what_was_there(lab: Lab, existed: bool) -> None:
    lab.add_point(POINT, SILENT)
    if existed:
        start(lab, NONE)
        vms.stop(lab.runtime, POINT, grace_s=0)

    def cancel_while_waiting(shown: Snapshot) -> None:
        if shown.phase == "waiting for the login prompt":
            progress.cancel()

    progress = Progress(cancel_while_waiting)
    with pytest.raises(Cancelled):
        boot.boot(lab.runtime, BootOrder(POINT, hardware=SMALL), lab.serve_argv, progress=progress)
    assert [vm.state for vm in vms.list_vms(lab.runtime)] == ["stopped"] * existed
    assert folder_of(lab).exists() == existed
    assert find_disk_server(folder_of(lab)) is None


def test_kvm_that_breaks_down_under_a_guest_is_replaced(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.add_point(POINT, PROTECTED)
    monkeypatch.setenv(accelerator.ENVIRONMENT, "kvm")
    if not accelerator.KVM_DEVICE.exists():
        pytest.skip("not installable: this machine has no /dev/kvm at all")
    vm = start(lab).vm
    monkeypatch.delenv(accelerator.ENVIRONMENT)
    if vm.accelerator == "tcg":
        assert "internal error of KVM" in vm.accelerator_reason
        assert accelerator.choose_accelerator(lab.runtime).name == "tcg"


def test_a_newer_point_is_another_vm_and_kept_overlays_are_told(lab: Lab) -> None:
    newer = lab.add_point("web1@2026-11-22T09:30:00Z", SAYS_LOGIN)
    lab.add_point(POINT, SAYS_LOGIN)
    lab.add_point("db@2026-11-22T09:30:00Z", SAYS_LOGIN)
    start(lab, NONE)
    start(lab, NONE, point="db@2026-11-22T09:30:00Z", name="db")
    vms.stop(lab.runtime, POINT, grace_s=0)
    result = start(lab, NONE, point=newer)
    assert result.other_overlays == (POINT,)
    with pytest.raises(BusyError, match=r"belongs to .*--discard"):
        start(lab, NONE, point=newer, name=POINT)


def test_all_disks_of_a_point_are_there(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN, b"y" * 1000, b"")
    start(lab)
    names = sorted(path.name for path in folder_of(lab).glob("*.qcow2"))
    assert names == ["overlay-0.qcow2", "overlay-1.qcow2", "overlay-2.qcow2"]


def test_a_point_that_is_not_there_leaves_no_vm(lab: Lab) -> None:
    lab.add_point("web1@2026-11-22T09:30:00Z", SAYS_LOGIN)
    with pytest.raises(HoldfastError, match="there is no point"):
        start(lab)
    assert not folder_of(lab).exists()


def test_a_disk_server_that_fails_leaves_no_vm(lab: Lab) -> None:
    order = BootOrder(POINT, hardware=SMALL)
    with pytest.raises(HoldfastError, match="locked"):
        boot.boot(lab.runtime, order, lambda *_: ["sh", "-c", "echo locked >&2; exit 8"])
    assert not folder_of(lab).exists()


def test_memory_that_is_not_there_is_refused(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    with pytest.raises(HoldfastError, match="--memory"):
        start(lab, hardware=HardwareChoice(memory_mib=1 << 24))
    assert not folder_of(lab).exists()


def test_a_name_that_qemu_cannot_take_is_no_name() -> None:
    for text in ("", "a/b", "..", ".", "@", "a,b", "a\nb", "a@../b", "x" * 65, "\u202eabc"):
        with pytest.raises(UsageError):
            parse_vm_name(text)
    long = "\U00010400" * 64 + "@2026-11-21T09:30:00Z"
    with pytest.raises(UsageError, match="--name"):
        parse_vm_name(long)
    assert parse_vm_name(POINT) == POINT


def test_two_boots_at_once_are_one_vm(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    outcomes: list[str] = []

    def try_it() -> None:
        try:
            start(lab)
            outcomes.append("up")
        except BusyError:
            outcomes.append("busy")

    threads = [threading.Thread(target=try_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["busy", "busy", "up"]


def test_a_deep_state_is_no_obstacle(lab: Lab) -> None:
    deep = lab.folder / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    lab.runtime = Runtime(deep)
    lab.add_point(POINT, SAYS_LOGIN)
    assert start(lab).vm.state == "running"
    assert vms.stop(lab.runtime, POINT, discard=True).discarded


def test_notes_can_be_shown_as_json(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    start(lab, NONE)
    note = json.loads((folder_of(lab) / "vm.json").read_bytes())
    assert note["point"] == POINT
    assert poll(lambda: "login:" in (folder_of(lab) / "serial.log").read_text(), 120)
