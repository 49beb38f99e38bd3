"""Commands at a VM's disks, killed between any two of their steps: the next one that looks mends.

A child of the test process does the work and kills itself before its nth step, which is a command
to QEMU that changes something, or a durable change of a file.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from appliance.base import durable
from appliance.base.clock import SystemClock
from appliance.base.errors import NoSpaceError
from appliance.base.progress import Progress
from appliance.recovery import accelerator, boot, disk_work, vms
from appliance.recovery.disk_server import find_disk_server
from appliance.recovery.disk_work import heal_disks
from appliance.recovery.failback import fail_back
from appliance.recovery.migrate import migrate
from appliance.recovery.monitor import Monitor
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import LOGIN
from appliance.recovery.runtime import find_process, poll
from appliance.recovery.vm_disks import moment_of
from appliance.recovery.vm_note import lock_vm, read_vm
from appliance.recovery.vm_start import BootOrder
from tests.conftest import SEED
from tests.recovery.conftest import Lab
from tests.recovery.guests import OBEDIENT, WRITING, find_lost_writes

POINT = "web1@2026-11-21T09:30:00Z"
MIB = 1 << 20
DEADLINE_S = 180.0


@pytest.fixture(autouse=True)
def on_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(accelerator.ENVIRONMENT, "tcg")


class Moves:
    """A VM with two disks whose guest writes on and on to the first one."""

    def __init__(self, lab: Lab, guest: bytes = WRITING) -> None:
        self.lab = lab
        self.folder = lab.runtime.vms / "vm"
        rng = random.Random(SEED)
        print(f"HOLDFAST_TEST_SEED={SEED}")
        self.second = rng.randbytes(MIB)
        lab.add_point(POINT, (guest + rng.randbytes(2 * MIB)).ljust(4 * MIB, b"\0"), self.second)
        self.targets = [str(lab.folder / f"target{disk}.raw") for disk in range(2)]
        self.boot()

    def boot(self) -> None:
        order = BootOrder(POINT, "vm", HardwareChoice(memory_mib=32), LOGIN, DEADLINE_S)
        boot.boot(self.lab.runtime, order, self.lab.serve_argv)

    def migrate(self) -> None:
        migrate(
            self.lab.runtime,
            "vm",
            self.targets,
            image_format="raw",
            force=True,
            progress=Progress(),
        )

    def fail_back(self, grace_s: float = 0) -> None:
        fail_back(
            self.lab.runtime,
            "vm",
            self.targets,
            force=True,
            grace_s=grace_s,
            serve_argv=self.lab.serve_argv,
            clock=SystemClock(),
            progress=Progress(),
        )

    def heal(self) -> None:
        """What every command does before its own work."""
        vms.heal(self.lab.runtime, self.lab.serve_argv)
        heal_disks(self.lab.runtime)

    def dots(self) -> int:
        return (self.folder / "serial.log").read_bytes().count(b".")

    def check(self) -> bool:
        """The guest goes on, nothing is left of the work; says whether it has moved."""
        before = self.dots()
        assert poll(lambda: self.dots() > before + 5, DEADLINE_S), "the guest stands still"
        assert not (self.folder / disk_work.NOTE).exists()
        assert not [path for path in self.folder.glob("moment*") if path.name != "moment.log"]
        note = read_vm(self.folder)
        with Monitor(self.folder) as monitor:
            assert not monitor.ask("query-jobs")
            assert not monitor.ask("query-block-exports")
            nodes = monitor.ask("query-named-block-nodes", flat=True)
        names = {node["node-name"] for node in nodes}
        assert not any(node.get("dirty-bitmaps") for node in nodes)
        for disk in range(2):
            moved = bool(note.moved and note.moved[disk])
            assert (f"moved{disk}" in names) is moved
            assert (f"disk{disk}" in names) is not moved
            assert (self.folder / f"overlay-{disk}.qcow2").exists() is not moved
        assert (find_disk_server(self.folder) is not None) is note.needs_point
        return not note.needs_point

    def check_targets(self, dots: int) -> None:
        assert not find_lost_writes(Path(self.targets[0]).read_bytes(), dots)
        assert Path(self.targets[1]).read_bytes() == self.second


def run_killed(work: Callable[[], None], dies: Callable[[str], bool]) -> bool:
    """Do `work` in a child that kills itself before the step for which `dies`; says if it did."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(dies)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the work itself failed"
    return False


def _kill_at(dies: Callable[[str], bool]) -> None:
    def step(name: str) -> None:
        if dies(name):
            os.kill(os.getpid(), signal.SIGKILL)

    ask, write, remove = Monitor.ask, durable.write_file, durable.remove_file

    def ask_or_die(self: Monitor, command: str, **arguments: object) -> Any:
        if not command.startswith("query-"):
            step(command)
        return ask(self, command, **arguments)

    def write_or_die(path: Path, *words: Any, **more: Any) -> None:
        step(f"write {path.name}")
        write(path, *words, **more)

    def remove_or_die(path: Path) -> None:
        step(f"remove {path.name}")
        remove(path)

    Monitor.ask = ask_or_die  # type: ignore[method-assign]
    durable.write_file = write_or_die
    durable.remove_file = remove_or_die


def nth(number: int) -> Callable[[str], bool]:
    steps: list[str] = []

    def dies(name: str) -> bool:
        steps.append(name)
        if len(steps) <= number:
            return False
        print(f"killed before step {number}: {name}", flush=True)
        return True

    return dies


def try_migrations(moves: Moves, numbers: Iterable[int]) -> None:
    """Kill a migration before each of these steps, up to the last one it has."""
    for number in numbers:
        was_killed = run_killed(moves.migrate, nth(number))
        moves.heal()
        if not moves.check():
            assert was_killed
            continue
        moves.check_targets(moves.dots())
        moves.migrate()  # it is there, and that is fine
        if not was_killed:
            break
        vms.stop(moves.lab.runtime, "vm", discard=True)
        moves.boot()
    moves.migrate()
    assert moves.check()
    moves.check_targets(moves.dots())


def test_a_migration_killed_at_some_steps_is_mended(lab: Lab) -> None:
    try_migrations(Moves(lab), sorted(random.Random(SEED).sample(range(32), 6)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_migration_killed_at_any_step_is_mended(lab: Lab) -> None:
    try_migrations(Moves(lab), count())


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Path]:
    """A filesystem of 16 MiB of its own for VMs; gives its folder."""
    image, folder = lab.folder / "small.ext4", lab.runtime.vms
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    (folder / "lost+found").rmdir()
    yield folder
    lab.close()
    subprocess.run(["umount", folder], check=True)  # nothing that ran there is left


def fill(folder: Path) -> None:
    """Take every free byte, and prove that."""
    with (folder / "filler").open("wb", buffering=0) as file:
        size_bytes = MIB
        while size_bytes:
            try:
                file.write(os.urandom(size_bytes))
                os.fsync(file.fileno())
            except OSError:
                size_bytes //= 2
    with pytest.raises(NoSpaceError):
        durable.write_file(folder / "more", b"x")


def test_a_migration_from_a_full_disk_killed_in_its_switch_is_mended(
    lab: Lab, small_disk: Path
) -> None:
    moves = Moves(lab)
    fill(small_disk)
    assert run_killed(moves.migrate, lambda step: step == "write vm.json")
    moves.heal()
    assert moves.check()
    moves.check_targets(moves.dots())


def try_failbacks(moves: Moves, numbers: Iterable[int]) -> None:
    """Kill a failback before each of these steps, up to the last one it has."""
    for number in numbers:
        was_killed = run_killed(moves.fail_back, nth(number))
        moves.heal()
        if read_vm(moves.folder).state == "stopped":
            moves.check_targets(moves.dots())
            if not was_killed:
                break
            vms.stop(moves.lab.runtime, "vm", discard=True)
            moves.boot()
        else:
            assert not moves.check()
    moves.fail_back()
    moves.check_targets(moves.dots())


def test_a_failback_killed_at_some_steps_is_mended(lab: Lab) -> None:
    try_failbacks(Moves(lab), sorted(random.Random(SEED).sample(range(29), 5)))


@pytest.mark.slow
def test_a_failback_killed_at_any_step_is_mended(lab: Lab) -> None:
    try_failbacks(Moves(lab), count())


def test_a_guest_that_had_shut_down_for_a_killed_failback_is_started_again(lab: Lab) -> None:
    moves = Moves(lab, OBEDIENT)
    serial = moves.folder / "serial.log"
    assert run_killed(
        lambda: moves.fail_back(DEADLINE_S), lambda step: step == "block-dirty-bitmap-disable"
    )
    assert vms.list_vms(lab.runtime)[0].state == "shutdown"
    moves.heal()
    assert poll(lambda: serial.read_bytes().count(b"login:") == 2, DEADLINE_S)
    moves.fail_back(DEADLINE_S)
    assert vms.list_vms(lab.runtime)[0].state == "stopped"


def test_what_reads_a_stopped_vm_ends_after_whoever_was_killed_with_it(lab: Lab) -> None:
    moves = Moves(lab)
    vms.stop(lab.runtime, "vm", grace_s=0)

    def hold_and_die() -> None:
        with (
            disk_work.work_on_disks(lab.runtime, "vm"),
            lock_vm(lab.runtime, "vm"),
            moment_of(moves.folder, read_vm(moves.folder), lab.serve_argv),
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_killed(hold_and_die, lambda _: False)
    daemon = find_process(moves.folder, "moment.pid")
    assert daemon is not None
    moves.heal()
    assert not daemon.is_alive()
    assert find_disk_server(moves.folder) is None
    moves.boot()
    assert not moves.check()
