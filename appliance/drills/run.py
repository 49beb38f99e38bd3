"""Runs a drill: machines booted from their points, group by group, checked, and removed.

Owns the order of things and what the record says. Nothing is written to the store but the record,
and no guest reaches anything but the other guests of its drill. A VM stays up while others may
need it: to the end on a shared network or when machines of a higher order follow.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from appliance import __version__
from appliance.base import durable
from appliance.base.clock import Clock
from appliance.base.errors import Cancelled, HoldfastError
from appliance.base.pace import pause
from appliance.base.progress import Progress
from appliance.base.text import duration, printable
from appliance.drills.budget import MemoryBudget, check_room, measure_free_mib
from appliance.drills.journal import Journal
from appliance.drills.network import DrillNetwork
from appliance.drills.places import announce, make_folder, name_vm
from appliance.drills.plan import Machine, Plan
from appliance.drills.records import DrillRecords
from appliance.drills.recovering import Recovered, Recovery
from appliance.drills.vm import Vm
from appliance.formats.drill import DETAIL_MAX, DrillRecord, Evidence, MachineResult, Verdict
from appliance.formats.names import PointName, format_time
from appliance.recovery.accelerator import choose_accelerator
from appliance.recovery.disk_server import ServeArgv
from appliance.recovery.runtime import Runtime

_LOG = "drill.log"
_PARALLEL_MAX = 16


@dataclass(frozen=True)
class DrillRoom:
    """What drills work with: paths, records, what serves a point, and the time."""

    runtime: Runtime
    records: DrillRecords
    serve_argv: ServeArgv
    clock: Clock


def run_drill(
    room: DrillRoom, plan: Plan, points: dict[str, PointName], progress: Progress
) -> DrillRecord:
    """Run a drill of `plan` from `points` (by machine); its record is durable on return.

    Raises HoldfastError before anything is started when memory does not suffice or QEMU is not
    installed, and Cancelled when it was cancelled, then with a record that says so. A drill that
    found something broken is no error: see the record's verdict. No VM of it is left.
    """
    free_mib = measure_free_mib()
    check_room(plan, free_mib)
    choose_accelerator(room.runtime)  # may try for seconds, which is no part of a recovery
    folder = make_folder(room.runtime.state / "drills", room.clock)
    drill = _Drill(room, plan, points, folder, free_mib, progress)
    vms = [name_vm(folder.name, number) for number in range(1, len(plan.machines) + 1)]
    with announce(room.runtime, folder.name, vms):
        drill.run()
    record = drill.conclude()
    room.records.put(record)
    progress.check()
    return record


@dataclass
class _Drill:
    """A drill on its way."""

    room: DrillRoom
    plan: Plan
    points: dict[str, PointName]
    folder: Path
    free_mib: int
    progress: Progress
    began: datetime = field(init=False)
    began_s: float = field(init=False)
    journal: Journal = field(init=False)
    results: dict[str, MachineResult] = field(default_factory=dict)
    staying: list[Vm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.room.clock.now().replace(microsecond=0)
        self.began_s = self.room.clock.monotonic_s()
        self.journal = Journal(self.folder / _LOG, self.room.clock)
        self.budget = MemoryBudget(self.free_mib)
        self.numbers = {item.name: place for place, item in enumerate(self.plan.machines, 1)}
        self.network = DrillNetwork(self.plan)

    def run(self) -> None:
        """Recover all groups; leaves no VM, also when cancelled."""
        self.journal.say(f"drill {self.folder.name} of plan '{self.plan.name}' begins")
        self.progress.phase("drill of", len(self.plan.machines), "items", about=self.plan.name)
        groups = list(self.plan.groups())
        try:
            for place, group in enumerate(groups):
                stays = self.plan.network == "shared" or place < len(groups) - 1
                self._run_group(group, stays=stays)
        except (Cancelled, KeyboardInterrupt):
            self.journal.say("cancelled")
        finally:
            for vm in self.staying:
                vm.remove()
            self.network.close()

    def _run_group(self, group: tuple[Machine, ...], *, stays: bool) -> None:
        running: list[Future[None]] = []
        with ThreadPoolExecutor(min(_PARALLEL_MAX, len(group))) as pool:
            running += [pool.submit(self._run_machine, item, stays=stays) for item in group]
        for future in running:
            future.result()

    def _run_machine(self, machine: Machine, *, stays: bool) -> None:
        """Recover one machine and note its result. Raises Cancelled."""
        room, clock = self.room, self.room.clock
        pause(clock, machine.delay_s, self.progress)
        self.budget.take(machine.memory_mib, self.progress)
        number = self.numbers[machine.name]
        name = name_vm(self.folder.name, number)
        vm = Vm(room.runtime, name, room.serve_argv, clock)
        began_s = clock.monotonic_s()
        point = self.points[machine.name]
        self.journal.say(f"{machine.name}: begins, from {point}")
        try:
            found = Recovery(
                vm=vm,
                machine=machine,
                plug=lambda plugged: self.network.plug(machine, plugged),
                clock=clock,
                progress=self.progress,
                journal=self.journal,
            ).run(str(point))
            evidence = self._keep_evidence(vm, number)
        finally:
            if stays:
                self.staying.append(vm)
            else:
                vm.remove()
                self.budget.give_back(machine.memory_mib)
        self.results[machine.name] = self._describe(machine, found, began_s, evidence)
        self._say_result(self.results[machine.name])
        self.progress.advance(1)

    def _keep_evidence(self, vm: Vm, number: int) -> tuple[Evidence, ...]:
        """What was on the screen and on the serial line, as files of the drill's folder."""
        screen = self.folder / f"{number}-screen.png"
        with suppress(HoldfastError):
            vm.take_screenshot(screen)
        serial = self.folder / f"{number}-serial.log"
        durable.write_file(serial, vm.read_serial_log())
        return tuple(seal_file(path) for path in (screen, serial) if path.exists())

    def _describe(
        self, machine: Machine, found: Recovered, began_s: float, evidence: tuple[Evidence, ...]
    ) -> MachineResult:
        point = self.points[machine.name]
        return MachineResult(
            name=machine.name,
            point=str(point),
            order=machine.order,
            memory_mib=machine.memory_mib,
            verdict="passed" if found.rto_s is not None else "failed",
            began_s=round(began_s - self.began_s, 2),
            rpo_s=max(0.0, (self.began - point.time).total_seconds()),
            rto_s=found.rto_s,
            error=printable(found.error)[:DETAIL_MAX],
            accelerator=found.accelerator,
            read_bytes=found.read_bytes,
            reads=found.reads,
            phases=tuple(found.phases),
            checks=tuple(found.checks),
            evidence=evidence,
        )

    def _say_result(self, result: MachineResult) -> None:
        if result.rto_s is None:
            reason = result.error or "a check failed"
            self.journal.say(f"{result.name}: FAILED: {reason}")
        else:
            self.journal.say(f"{result.name}: recovered within {duration(result.rto_s)}")

    def conclude(self) -> DrillRecord:
        """The record of what was found out."""
        results = tuple(
            self.results[item.name] for item in self.plan.machines if item.name in self.results
        )
        verdict: Verdict = "passed"
        if len(results) < len(self.plan.machines):
            verdict = "cancelled"
        elif any(result.verdict != "passed" for result in results):
            verdict = "failed"
        ends = [result.began_s + result.rto_s for result in results if result.rto_s is not None]
        self.journal.say(f"verdict: {verdict}")
        return DrillRecord(
            format=1,
            id=self.folder.name,
            plan=self.plan.name,
            plan_sha256=self.plan.digest,
            network=self.plan.network,
            began=format_time(self.began),
            ended=format_time(self.room.clock.now().replace(microsecond=0)),
            verdict=verdict,
            program=f"holdfast {__version__}",
            rto_s=round(max(ends), 2) if verdict == "passed" else None,
            machines=results,
            log=seal_file(self.journal.path),
        )


def seal_file(path: Path) -> Evidence:
    """What a record says of a file."""
    data = path.read_bytes()
    return Evidence(path.name, len(data), hashlib.sha256(data).hexdigest())
