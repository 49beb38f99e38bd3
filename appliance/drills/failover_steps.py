"""How the steps of a failover are done. Each may be done again: what is there already is fine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import msgspec

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError, NotFoundError
from appliance.base.pace import pause
from appliance.base.progress import Progress
from appliance.base.text import counted
from appliance.drills import name_updates
from appliance.drills.checks import Target, run_check
from appliance.drills.journal import Journal
from appliance.drills.name_updates import Found
from appliance.drills.plan import DnsUpdate, Machine, Plan
from appliance.drills.vm import Vm
from appliance.formats.failover import Step
from appliance.recovery.disk_server import ServeArgv
from appliance.recovery.presets import HardwareChoice
from appliance.recovery.ready import AcceleratorFailedError
from appliance.recovery.runtime import Runtime


@dataclass(frozen=True)
class Steps:
    """The steps of one failover of `plan`, from `points` by machine."""

    failover: str
    plan: Plan
    points: dict[str, str]
    runtime: Runtime
    serve_argv: ServeArgv
    clock: Clock
    journal: Journal

    def prepare(self, step: Step) -> Step:
        """The step with what undoes it, where that is not known yet. Changes nothing."""
        if step.kind != "name" or step.before is not None:
            return step
        found = name_updates.look_up(self._names[step.item])
        return msgspec.structs.replace(step, before=found.addresses, before_ttl_s=found.ttl_s)

    def do(self, step: Step, progress: Progress) -> str:
        """Do it; gives a few words. Raises what it fails with."""
        match step.kind:
            case "start":
                return self._start(step.item, progress)
            case "check":
                return self._check(step.item, progress)
            case "stop":
                return self._stop(step.item)
            case "name":
                name_updates.point_elsewhere(self._names[step.item], _before(step))
                return "the name server says so"
            case "name back":
                name_updates.point_back(self._names[step.item], _before(step))
                return "the name server says so"

    @property
    def _names(self) -> tuple[DnsUpdate, ...]:
        return self.plan.failover.dns if self.plan.failover else ()

    def _vm(self, item: int) -> Vm:
        name = f"failover.{self.failover}.{item + 1}"
        return Vm(self.runtime, name, self.serve_argv, self.clock)

    def _start(self, item: int, progress: Progress) -> str:
        machine, vm = self.plan.machines[item], self._vm(item)
        assert self.plan.failover is not None
        if not vm.is_alive():
            pause(self.clock, machine.delay_s, progress)
            hardware = HardwareChoice(
                memory_mib=machine.memory_mib,
                network=f"bridge:{self.plan.failover.bridge}",
                mac=machine.mac,
            )
            vm.start(self.points[machine.name], hardware, progress)
        vm.go_on()  # also when an earlier run ended before this
        if machine.ready == "login":
            try:
                vm.await_login(machine.timeout_s, progress)
            except AcceleratorFailedError as error:
                vm.give_up_kvm(str(error))
                vm.shut_down()
                raise HoldfastError(
                    f"{error}: approve once more, it goes on without KVM"
                ) from error
        return f"VM '{vm.name}' runs from {self.points[machine.name]}"

    def _check(self, item: int, progress: Progress) -> str:
        machine, vm = self.plan.machines[item], self._vm(item)
        target = Target(machine, vm, None, _address(machine))
        began_s = self.clock.monotonic_s()
        for check in machine.checks:
            result = run_check(check, target, began_s, self.clock, progress)
            self.journal.say(f"{machine.name}: {result.title}: {result.detail}")
            if not result.passed:
                raise HoldfastError(f"{machine.name}: {result.title} failed: {result.detail}")
        return f"{counted(len(machine.checks), 'check')} passed"

    def _stop(self, item: int) -> str:
        vm = self._vm(item)
        try:
            vm.shut_down()
        except NotFoundError:
            return "it was not there"
        return f"VM '{vm.name}' is kept: 'holdfast stop {vm.name} --discard' drops it"


def _before(step: Step) -> Found:
    return Found(step.before or (), step.before_ttl_s)


def _address(machine: Machine) -> str:
    return "" if machine.address is None else str(ipaddress.ip_interface(machine.address).ip)
