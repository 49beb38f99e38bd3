"""One look at everything: disks, arrays, pools and the box become one report.

Owns the order of looking, and that a disk that hangs holds up nobody: each disk is asked in a
thread of its own and given up on at a deadline. Never changes anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from appliance.base.clock import Clock
from appliance.formats.disk_seat import Seat
from appliance.formats.finding import Evidence, Finding, sort_findings
from appliance.health import ipmi, network, pools, power, sensors, space, thin_pools, timekeeping
from appliance.health.array_rules import judge_array
from appliance.health.arrays import Array, list_arrays
from appliance.health.device_states import judge_states
from appliance.health.disk_examination import Examination
from appliance.health.inventory import Disk, Inventory, Properties
from appliance.health.kernel_log import judge_kernel_log
from appliance.health.kernel_tree import KernelTree
from appliance.health.mounts import list_mounts
from appliance.health.seats import judge_vanished, list_seats
from appliance.health.siblings import judge_siblings

DISK_TIMEOUT_S = 20.0
"""How long all disks together may take; slower ones are reported as such."""

AskDisk = Callable[[Disk], Examination]
"""What one disk says of itself, and what is wrong with it. May take for ever."""


class History(Protocol):
    """What was measured before."""

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        """Remember a value."""

    def recall(self, subject: str, what: str, since: datetime) -> Sequence[tuple[datetime, float]]:
        """Values of `what`, oldest first."""


class Seats(Protocol):
    """Where disks sat before."""

    def remember(self, seats: Sequence[Seat], now: datetime) -> None:
        """Replace what is known of these disks and places."""

    def recall(self) -> Sequence[Seat]:
        """All that is known."""


@dataclass(frozen=True)
class Box:
    """Everything that is no disk."""

    load: sensors.Load
    sensors: list[sensors.Sensor]
    readings: list[ipmi.Reading]
    ports: list[network.Port]
    supplies: list[power.Ups]
    clock: timekeeping.ClockState
    fills: list[space.Fill]
    thin_pools: list[thin_pools.ThinPool] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "load": self.load.to_json(),
            "sensors": [sensor.__dict__ for sensor in self.sensors],
            "ipmi": [reading.to_json() for reading in self.readings],
            "ports": [port.to_json() for port in self.ports],
            "ups": [ups.to_json() for ups in self.supplies],
            "clock": self.clock.to_json(),
            "filesystems": [
                {**fill.__dict__, "used_percent": round(fill.used_percent, 1)}
                for fill in self.fills
            ],
            "thin_pools": [pool.to_json() for pool in self.thin_pools],
            "troubles": self.troubles,
        }


@dataclass(frozen=True)
class Report:
    """What one look came to.

    Attributes:
        findings: sorted, worst first.
        examined: kernel name of a disk -> what it said; disks that did not answer are not there.
        unseen: subjects of disks of which nothing is known this time: silent, or asleep.
    """

    when: datetime
    inventory: Inventory
    arrays: list[Array]
    pools: list[pools.Pool]
    box: Box
    findings: list[Finding]
    examined: dict[str, Examination]
    unseen: frozenset[str]

    @property
    def wants_stop(self) -> bool:
        """Whether the power is about to go."""
        return power.Power(self.box.supplies).wants_stop


class Survey:
    """Looks. One at a time."""

    def __init__(
        self,
        tree: KernelTree,
        clock: Clock,
        history: History,
        ask_disk: AskDisk,
        properties: Properties,
        *,
        seats: Seats,
        disk_timeout_s: float = DISK_TIMEOUT_S,
    ) -> None:
        self._tree = tree
        self._clock = clock
        self._history = history
        self._seats = seats
        self._ask_disk = ask_disk
        self._properties = properties
        self._disk_timeout_s = disk_timeout_s

    def run(self) -> Report:
        """Look at everything once, and remember what has a trend."""
        now = self._clock.now()
        inventory = Inventory(self._tree, self._properties)
        arrays = list_arrays(self._tree)
        self._seats.remember(list_seats(inventory, arrays, now), now)
        seats = self._seats.recall()
        found_pools = pools.list_pools(self._tree)
        asked = _Asked(self._ask_disk, inventory.disks)
        box = self._look_at_box()
        findings = [
            *(item for array in arrays for item in judge_array(array, inventory, now, seats)),
            *judge_vanished(inventory, arrays, seats, now),
            *pools.judge_pools(found_pools, now),
            *self._judge_box(box, inventory, now),
            *judge_states(self._tree, inventory.disks, now),
            *judge_kernel_log(self._tree, inventory, now),
            *judge_siblings(self._tree, inventory, arrays, self._history, now),
        ]
        deadline_s = self._clock.monotonic_s() + self._disk_timeout_s
        examined = asked.collect(self._clock, deadline_s)
        silent = [disk for disk in inventory.disks if disk.name not in examined]
        findings += [_judge_silent(disk, now) for disk in silent]
        findings += [finding for one in examined.values() for finding in one.findings]
        asleep = [disk for disk in inventory.disks if disk not in silent]
        asleep = [disk for disk in asleep if examined[disk.name].is_asleep]
        unseen = frozenset(disk.subject for disk in (*silent, *asleep))
        box.troubles.extend(_list_denied(inventory.disks, examined))
        return Report(
            now, inventory, arrays, found_pools, box, sort_findings(findings), examined, unseen
        )

    def _look_at_box(self) -> Box:
        readings, trouble = ipmi.list_readings(self._tree)
        return Box(
            load=sensors.read_load(),
            sensors=sensors.list_sensors(self._tree),
            readings=readings,
            ports=network.list_ports(self._tree),
            supplies=power.list_ups(self._tree),
            clock=timekeeping.read_clock(),
            fills=space.list_fills(list_mounts(self._tree)),
            thin_pools=thin_pools.list_thin_pools(self._tree, thin_pools.ask_kernel(self._tree)),
            troubles=[trouble] if trouble else [],
        )

    def _judge_box(self, box: Box, inventory: Inventory, now: datetime) -> Iterator[Finding]:
        def recall(subject: str, what: str, value: float) -> space.Samples:
            self._history.note(subject, what, now, value)
            return self._history.recall(subject, what, now - space.HISTORY)

        yield from sensors.judge_load(box.load, now)
        yield from sensors.judge_sensors(box.sensors, now)
        yield from sensors.judge_memory_errors(self._tree, now)
        yield from ipmi.judge_readings(box.readings, now)
        yield from network.judge_ports(box.ports, now)
        yield from power.judge_ups(box.supplies, now)
        yield from power.judge_caches(self._tree, inventory.disks, list_mounts(self._tree), now)
        for fill in box.fills:
            samples = recall(f"filesystem {fill.target}", "used bytes", float(fill.used_bytes))
            yield from space.judge_fill(fill, samples, now)
        yield from thin_pools.judge_thin_pools(box.thin_pools, recall, now)
        clock = box.clock
        earlier = self._history.recall("box", clock.series, datetime.min.replace(tzinfo=now.tzinfo))
        yield from timekeeping.judge_clock(clock, earlier, now)
        if not earlier:
            self._history.note("box", clock.series, now, clock.booted_s)


class _Asked:
    """Every disk, each in a thread of its own that nobody has to wait for."""

    def __init__(self, ask: AskDisk, disks: list[Disk]) -> None:
        self._ask = ask
        self._answers: dict[str, Examination] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(disk,), daemon=True) for disk in disks
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, disk: Disk) -> None:
        self._answers[disk.name] = self._ask(disk)

    def collect(self, clock: Clock, deadline_s: float) -> dict[str, Examination]:
        """The answers that came until `deadline_s`, by the kernel names of disks."""
        for thread in self._threads:
            thread.join(max(deadline_s - clock.monotonic_s(), 0.0))
        return dict(self._answers)


def _list_denied(disks: list[Disk], examined: dict[str, Examination]) -> list[str]:
    """That nobody but root may ask disks, if that is why they said nothing."""
    pages = [(disk, examined[disk.name].pages) for disk in disks if disk.name in examined]
    denied = [disk.name for disk, page in pages if page and "denied" in page.faults.values()]
    return [f"{', '.join(denied)} may not be asked: run this as root"] if denied else []


def _judge_silent(disk: Disk, now: datetime) -> Finding:
    return Finding(
        subject=disk.subject,
        rule="disk.silent",
        severity="critical",
        summary=f"{disk.path} does not answer",
        evidence=(Evidence("answer", ((now, "none"),), "", f"within {DISK_TIMEOUT_S:.0f} s"),),
        consequence="Whatever reads from it waits; an array gives it up sooner or later.",
        action="Look at its cable and power. If it goes on, replace the disk.",
    )
