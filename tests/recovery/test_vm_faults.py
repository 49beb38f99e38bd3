"""What befalls VMs: disk servers killed, boxes restarted, overlays full, chunks damaged."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError, NoSpaceError, UsageError
from appliance.base.progress import Progress
from appliance.recovery import accelerator, boot, vms
from appliance.recovery.boot import BootResult
from appliance.recovery.disk_server import find_disk_server
from appliance.recovery.monitor import Monitor
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import LOGIN, Wait
from appliance.recovery.runtime import ProcessId, poll
from appliance.recovery.vm_note import read_vm
from appliance.recovery.vm_start import BootOrder
from tests.recovery.conftest import Lab
from tests.recovery.guests import COUNTING, OBEDIENT, SAYS_LOGIN, WRITING

POINT = "web1@2026-11-21T09:30:00Z"
SMALL = HardwareChoice(memory_mib=32)
PATIENCE_S = 180


@pytest.fixture(autouse=True)
def on_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")


def start(
    lab: Lab, name: str = "vm", wait: Wait = LOGIN, limit_bytes: int | None = None
) -> BootResult:
    order = BootOrder(POINT, name, SMALL, wait, PATIENCE_S, limit_bytes)
    return boot.boot(lab.runtime, order, lab.serve_argv)


def is_dead(process: ProcessId) -> bool:
    return not process.is_alive()


def kill_all(lab: Lab, name: str = "vm") -> None:
    """What a power cut does to a VM."""
    folder = lab.runtime.vms / name
    guest, server = read_vm(folder).guest, find_disk_server(folder)
    assert guest is not None
    assert server is not None
    for process in (server, guest.qemu):
        os.kill(process.pid, signal.SIGKILL)
        assert poll(partial(is_dead, process), PATIENCE_S)


def dots(lab: Lab) -> int:
    return (lab.runtime.vms / "vm/serial.log").read_bytes().count(b".")


def grows(value: Callable[[], int]) -> bool:
    before = value()
    return poll(lambda: value() > before, PATIENCE_S)


def test_a_guest_whose_disk_server_dies_goes_on_without_an_error(lab: Lab) -> None:
    lab.add_point(POINT, WRITING)
    start(lab)
    assert grows(lambda: dots(lab))
    server = find_disk_server(lab.runtime.vms / "vm")
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    assert poll(lambda: not server.is_alive(), PATIENCE_S)
    assert vms.heal(lab.runtime, lab.serve_argv).resumed == ("vm",)
    assert grows(lambda: dots(lab))
    assert vms.list_vms(lab.runtime)[0].state == "running"


def test_vms_come_back_after_a_restart_of_the_box(lab: Lab) -> None:
    lab.add_point(POINT, COUNTING)
    for name in ("vm", "other", "stopped"):
        start(lab, name, Wait("none"))
    vms.stop(lab.runtime, "stopped", grace_s=0)
    for name in ("vm", "other"):
        kill_all(lab, name)
    assert set(vms.heal(lab.runtime, lab.serve_argv).ended) == {"vm", "other"}
    wanted = {vm.name: vm.is_wanted for vm in vms.list_vms(lab.runtime)}
    assert wanted == {"other": True, "stopped": False, "vm": True}
    for name in ("vm", "other"):
        status = boot.resume(lab.runtime, name, lab.serve_argv, Progress())
        assert status.state == "running"
    with pytest.raises(HoldfastError, match="runs already"):
        boot.resume(lab.runtime, "vm", lab.serve_argv, Progress())


def test_an_overlay_at_its_limit_warns_and_pauses(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.recovery.overlay.LIMIT_MIN_BYTES", 1)
    lab.add_point(POINT, WRITING)
    # Not until it asks for a login: on a fast machine it is at its limit before anybody looks.
    start(lab, wait=Wait("none"), limit_bytes=448 << 10)
    assert poll(lambda: vms.list_vms(lab.runtime)[0].state == "io-error", PATIENCE_S)
    paused_at = dots(lab)
    vm = vms.list_vms(lab.runtime)[0]
    assert vm.warning is not None
    assert "--overlay-limit" in vm.warning
    with pytest.raises(NoSpaceError, match="larger"):
        vms.continue_vm(lab.runtime, "vm", None)
    assert vms.continue_vm(lab.runtime, "vm", 4 << 20) == "running"
    assert poll(lambda: dots(lab) > paused_at + 500, PATIENCE_S)


def test_an_overlay_in_which_nothing_fits_is_refused(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    with pytest.raises(UsageError, match="at least"):
        start(lab, limit_bytes=1 << 20)
    assert not vms.list_vms(lab.runtime)


def test_a_damaged_chunk_fails_its_read_and_nothing_else(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN, b"damaged".ljust(1 << 20, b"\0"))
    start(lab)
    assert vms.list_vms(lab.runtime)[0].state == "running"


def test_without_a_free_port_the_screen_is_a_socket(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    monkeypatch.setattr("appliance.recovery.hardware.VNC_DISPLAYS", "127.0.0.1:0,to=1")
    with ExitStack() as stack:
        for port in (5900, 5901):
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
                taken.listen()
            except OSError:
                continue  # somebody else has it, which is as good
        vm = start(lab).vm
    assert vm.vnc == str(lab.runtime.vms / "vm/vnc.sock")
    vms.screenshot(lab.runtime, "vm", tmp_path / "screen.png")


def test_memory_that_is_short_is_refused_with_what_there_is(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.recovery.vm_start.MEMORY_SPARE_MIB", 1 << 30)
    lab.add_point(POINT, SAYS_LOGIN)
    with pytest.raises(HoldfastError, match=r"are free and the VM needs .*--memory"):
        start(lab)


def test_hardware_is_as_asked_and_remembered_but_for_the_network(lab: Lab) -> None:
    lab.add_point(POINT, SAYS_LOGIN)
    asked = HardwareChoice(48, 1, None, "sata", "isolated", "52:54:00:12:34:56")
    order = BootOrder(POINT, "one", asked, LOGIN, PATIENCE_S)
    one = boot.boot(lab.runtime, order, lab.serve_argv).vm
    assert (one.memory_mib, one.cpus, one.bus, one.network) == (48, 1, "sata", "isolated")
    two = boot.boot(lab.runtime, BootOrder(POINT, "two"), lab.serve_argv).vm
    assert (two.memory_mib, two.cpus, two.bus, two.network) == (48, 1, "sata", "none")
    lab.add_point("db@2026-11-21T09:30:00Z", SAYS_LOGIN)
    hardware = HardwareChoice(bus="ide", cpus=1)
    order = BootOrder("db@2026-11-21T09:30:00Z", "db", hardware, LOGIN, PATIENCE_S)
    assert boot.boot(lab.runtime, order, lab.serve_argv).vm.memory_mib == 1024
    note = json.loads((lab.runtime.presets / "web1.json").read_bytes())
    assert note == {"memory_mib": 48, "cpus": 1, "bus": "sata", "mac": "52:54:00:12:34:56"}


def test_a_guest_that_switched_itself_off_is_not_wanted_back(lab: Lab) -> None:
    lab.add_point(POINT, OBEDIENT)
    start(lab)
    guest = read_vm(lab.runtime.vms / "vm").guest
    assert guest is not None
    with Monitor(lab.runtime.vms / "vm") as monitor:
        monitor.ask("system_powerdown")
    assert poll(lambda: not guest.qemu.is_alive(), PATIENCE_S)
    assert vms.heal(lab.runtime, lab.serve_argv).ended == ("vm",)
    assert not vms.list_vms(lab.runtime)[0].is_wanted
