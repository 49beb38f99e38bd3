"""Members of an array side by side: how long each takes for a request, from look to look.

Owns the bookkeeping between looks; who counts as slow is decided in `latency_rules`. Never asks a
disk: the kernel counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from appliance.formats.finding import Finding
from appliance.health.arrays import Array
from appliance.health.inventory import Disk, Inventory
from appliance.health.kernel_tree import KernelTree, read_text
from appliance.health.latency_rules import DiskWork, judge_latency, latency_ms, parse_stat

_REQUESTS, _WAIT, _LATENCY = "requests", "wait ms", "latency ms"
_LOOK_BACK = timedelta(days=1)


class History(Protocol):
    """What was measured before."""

    def note(self, subject: str, what: str, when: datetime, value: float) -> None:
        """Remember a value."""

    def recall(self, subject: str, what: str, since: datetime) -> Sequence[tuple[datetime, float]]:
        """Values of `what`, oldest first."""


def judge_siblings(
    tree: KernelTree,
    inventory: Inventory,
    arrays: Sequence[Array],
    history: History,
    now: datetime,
) -> Iterator[Finding]:
    """Who is slower than the others of its array; remembers the counters for the next look."""
    for array in arrays:
        members = [inventory.disk_of(member.name) for member in array.members]
        disks = {disk.name: disk for disk in members if disk is not None}
        looks: defaultdict[datetime, dict[str, float]] = defaultdict(dict)
        for disk in disks.values():
            _note(tree, disk, history, now)
            for when, value in history.recall(disk.subject, _LATENCY, now - _LOOK_BACK):
                looks[when][disk.subject] = value
        yield from judge_latency(sorted(looks.items()))


def _note(tree: KernelTree, disk: Disk, history: History, now: datetime) -> None:
    work = parse_stat(read_text(tree.block(disk.name) / "stat"))
    if work is None:
        return
    since = now - _LOOK_BACK
    earlier = [history.recall(disk.subject, what, since) for what in (_REQUESTS, _WAIT)]
    if all(earlier):
        before = DiskWork(int(earlier[0][-1][1]), int(earlier[1][-1][1]))
        latency = latency_ms(before, work)
        if latency is not None:
            history.note(disk.subject, _LATENCY, now, latency)
        elif work.requests >= before.requests:
            return  # too few requests yet: the counters add up until there are enough
    history.note(disk.subject, _REQUESTS, now, float(work.requests))
    history.note(disk.subject, _WAIT, now, float(work.wait_ms))
