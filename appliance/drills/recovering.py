"""One machine, from its point to the last check that passes, with the moments on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.base.clock import Clock
from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.progress import Progress
from appliance.drills.checks import Target, run_check
from appliance.drills.journal import Journal
from appliance.drills.milestones import Milestones, Watcher
from appliance.drills.network import Doors
from appliance.drills.plan import Machine
from appliance.drills.vm import Started, Vm
from appliance.formats.drill import CheckResult, Phase
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import AcceleratorFailedError


@dataclass
class Recovered:
    """What became of a machine. `rto_s` is missing unless it recovered; `error` may say why."""

    rto_s: float | None = None
    error: str = ""
    accelerator: str = ""
    read_bytes: int = 0
    reads: int = 0
    phases: list[Phase] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)


@dataclass
class Recovery:
    """A machine on its way up as `vm`. `plug` gives a VM that has just started its network."""

    vm: Vm
    machine: Machine
    plug: Callable[[Vm], Doors]
    clock: Clock
    progress: Progress
    journal: Journal

    def run(self, point: str) -> Recovered:
        """Boot, wait until it is ready, and run all checks, those after a failing one too.

        The VM is left as it is. Raises Cancelled; whatever else goes wrong is in what comes back.
        """
        self._began_s = self.clock.monotonic_s()
        self._found = Recovered()
        try:
            try:
                self._come_up(point)
            except AcceleratorFailedError as error:
                if self._found.accelerator == "tcg":
                    raise
                # For the time that counts, the trial with KVM is a part of this recovery.
                self.journal.say(f"{self.machine.name}: {error}: once more, on TCG")
                self.vm.give_up_kvm(str(error))
                self.vm.remove()
                self._found = Recovered()
                self._come_up(point)
        except Cancelled:
            raise
        except (HoldfastError, OSError) as error:
            self._found.error = str(error)
        return self._found

    def _come_up(self, point: str) -> None:
        hardware = HardwareChoice(memory_mib=self.machine.memory_mib, network="none")
        started = self.vm.start(point, hardware, self.progress)
        self._found.accelerator = started.accelerator.name
        doors = self.plug(self.vm)
        self.vm.go_on()
        self.journal.say(f"{self.machine.name}: the VM runs on {started.accelerator.name}")
        ready_s: float | None = None
        with Watcher(self.vm, self.clock) as watcher:
            try:
                if self.machine.ready == "login":
                    self.vm.await_login(self.machine.timeout_s, self.progress)
                    ready_s = self.clock.monotonic_s()
                    self.vm.keep_boot_set(self.machine.name)
                    self.journal.say(f"{self.machine.name}: asks for a login")
            finally:
                watcher.look_again()
                self._note_phases(started, watcher.seen, ready_s)
            self._run_checks(Target(self.machine, self.vm, doors))
            watcher.look_again()
            self._note_phases(started, watcher.seen, ready_s)

    def _note_phases(self, started: Started, seen: Milestones, ready_s: float | None) -> None:
        latest_s = self.clock.monotonic_s() if ready_s is None else ready_s
        moments = {
            "point opened": started.opened_s,
            "VM started": started.running_s,
            "firmware": seen.firmware_s,
            "kernel": seen.kernel_s,
            "ready": ready_s,
        }
        self._found.phases = [
            # What is seen a moment after the login prompt was reached before it.
            Phase(name, round(max(0.0, min(at_s, latest_s) - self._began_s), 2))
            for name, at_s in moments.items()
            if at_s is not None
        ]
        if not self._found.reads:
            self._found.read_bytes, self._found.reads = seen.read_bytes, seen.reads

    def _run_checks(self, target: Target) -> None:
        for check in self.machine.checks:
            result = run_check(check, target, self._began_s, self.clock, self.progress)
            word = "passed" if result.passed else "FAILED"
            self.journal.say(f"{self.machine.name}: {result.title}: {word}: {result.detail}")
            self._found.checks.append(result)
        if all(result.passed for result in self._found.checks):
            self._found.rto_s = round(self.clock.monotonic_s() - self._began_s, 2)
