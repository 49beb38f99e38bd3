"""Failback: a recovered VM's disks go home, and only what differs there is written.

Round one compares everything while the VM runs on; each further round takes what the guest wrote
during the last one, until that is little; then the guest is shut down or stopped for the rest. All
of it may be interrupted and begun again: what is at home already does not differ any more.

Owns the rounds and the comparing. Never discards the VM: its overlay stays until somebody says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.base.clock import Clock
from appliance.base.errors import HoldfastError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import counted
from appliance.recovery import qemu
from appliance.recovery.compare import Count, make_equal
from appliance.recovery.disk_server import ServeArgv, end_disk_server
from appliance.recovery.disk_work import hold_guest, work_on_disks
from appliance.recovery.hardware import node_of
from appliance.recovery.home import Home, open_home
from appliance.recovery.monitor import Monitor
from appliance.recovery.runtime import Runtime, poll
from appliance.recovery.vm_disks import (
    BITMAP_PREFIX,
    Moment,
    Range,
    export_nodes,
    hold_moment,
    moment_of,
    release_bitmaps,
    release_moment,
)
from appliance.recovery.vm_note import VmNote, find_folder, lock_vm, read_vm, write_vm
from appliance.sources.nbd import NbdAddress, NbdClient

# What one more round may leave for the pause: less than a second on a slow disk.
_LITTLE_BYTES = 64 << 20
_ROUNDS_MAX = 6
_BITMAP = BITMAP_PREFIX + "failback-{}"


@dataclass(frozen=True)
class Failback:
    """What went home. `pause_s`: how long the guest stood still, None if it did not run."""

    name: str
    compared_bytes: int
    written_bytes: int
    rounds: int
    pause_s: float | None
    shut_down: bool


def fail_back(
    runtime: Runtime,
    name: str,
    targets: Sequence[str],
    *,
    force: bool,
    grace_s: float,
    serve_argv: ServeArgv,
    clock: Clock,
    progress: Progress,
) -> Failback:
    """Bring the disks of VM `name` to `targets`, one for each; then the VM is stopped.

    On return the targets durably hold what the guest had written until it was stopped. Its guest
    has `grace_s` seconds to shut down. Raises NotFoundError for no such VM, BusyError while another
    command has it, UsageError for targets that do not fit, HoldfastError when QEMU fails; then, and
    when cancelled, the VM runs on and a repetition writes only what is not there yet.
    """
    folder = find_folder(runtime, name)
    with work_on_disks(runtime, name), ExitStack() as stack:
        note = read_vm(folder)
        if len(targets) != note.disks:
            raise UsageError(
                f"VM '{name}' has {counted(note.disks, 'disk')}, not {len(targets)}: "
                "give as many targets"
            )
        count = Count()
        if note.guest is None or not note.guest.qemu.is_alive():
            stack.enter_context(lock_vm(runtime, name))
            with moment_of(folder, note, serve_argv) as moment:
                homes = _open_homes(stack, moment, targets, force=force)
                make_equal(moment.addresses, homes, None, count, progress)
            return Failback(name, count.compared, count.written, 1, None, shut_down=False)
        rounds = _Rounds(folder, note, count, progress)
        rounds.begin()
        homes = _open_homes(stack, rounds.moment, targets, force=force)
        number = rounds.run(homes)
        with lock_vm(runtime, name):
            began_s = clock.monotonic_s()
            shut_down = rounds.finish(homes, grace_s)
            pause_s = round(clock.monotonic_s() - began_s, 2)
            assert note.guest is not None
            qemu.end_qemu(folder, note.guest.qemu, 0)
            end_disk_server(folder)
            release_moment(folder, note)
            write_vm(folder, replace(read_vm(folder).with_state("stopped"), is_wanted=False))
    return Failback(name, count.compared, count.written, number, pause_s, shut_down)


def _open_homes(
    stack: ExitStack, moment: Moment, targets: Sequence[str], *, force: bool
) -> list[Home]:
    homes = []
    for address, target in zip(moment.addresses, targets, strict=True):
        with NbdClient(address) as client:
            size_bytes = client.size_bytes
        home = open_home(target, size_bytes, force=force)
        stack.callback(home.close)
        homes.append(home)
    return homes


class _Rounds:
    """The rounds of one failback of a running VM."""

    def __init__(self, folder: Path, note: VmNote, count: Count, progress: Progress) -> None:
        self._folder = folder
        self._note = note
        self._count = count
        self._progress = progress
        self._number = 0
        self.moment = Moment((), 2, is_still=False)

    def begin(self) -> None:
        """Hold the first moment; from it on the guest's writes are counted."""
        with Monitor(self._folder) as monitor:
            release_bitmaps(monitor)
        self._hold()

    def _hold(self) -> None:
        """Hold a moment, from which on another bitmap counts; the last one is served with it."""
        before = [_BITMAP.format(self._number)] if self._number else []
        self._number += 1
        actions: list[dict[str, Any]] = []
        for disk in range(self._note.disks):
            node = node_of(self._note.moved, disk)
            added = {"node": node, "name": _BITMAP.format(self._number)}
            actions.append({"type": "block-dirty-bitmap-add", "data": added})
            for name in before:
                data = {"node": node, "name": name}
                actions.append({"type": "block-dirty-bitmap-disable", "data": data})
        is_still = hold_moment(self._folder, self._note, actions, before)
        path = self._folder / "moment.sock"
        names = [f"disk{disk}" for disk in range(self._note.disks)]
        self.moment = Moment(tuple(NbdAddress(name, path) for name in names), 2, is_still)

    def run(self, homes: Sequence[Home]) -> int:
        """Copy until little is left for the pause; gives the number of rounds, the last included.

        The moment of the last round is let go of.
        """
        make_equal(self.moment.addresses, homes, None, self._count, self._progress)
        while self._count_dirty() > _LITTLE_BYTES and self._number < _ROUNDS_MAX:
            self._hold()
            changed = self._read_changed(_BITMAP.format(self._number - 1))
            make_equal(self.moment.addresses, homes, changed, self._count, self._progress)
        release_moment(self._folder, self._note)
        return self._number + 1

    def finish(self, homes: Sequence[Home], grace_s: float) -> bool:
        """Stop the guest and copy the rest; says whether it shut down by itself.

        If that fails, `mend` lets the guest go on.
        """
        with Monitor(self._folder) as monitor:
            if monitor.run_state() == "running":
                hold_guest(self._folder)
            shut_down = _shut_down_or_stop(monitor, grace_s)
        nodes = [node_of(self._note.moved, disk) for disk in range(self._note.disks)]
        bitmap = _BITMAP.format(self._number)
        with Monitor(self._folder) as monitor:
            for node in nodes:
                monitor.ask("block-dirty-bitmap-disable", node=node, name=bitmap)
        export_nodes(self._folder, nodes, [bitmap])
        changed = self._read_changed(bitmap)
        make_equal(self.moment.addresses, homes, changed, self._count, self._progress)
        return shut_down

    def _count_dirty(self) -> int:
        name = _BITMAP.format(self._number)
        with Monitor(self._folder) as monitor:
            nodes = monitor.ask("query-named-block-nodes", flat=True)
        return sum(
            int(bitmap["count"])
            for node in nodes
            for bitmap in node.get("dirty-bitmaps", [])
            if bitmap.get("name") == name
        )

    def _read_changed(self, bitmap: str) -> list[list[Range]]:
        return [
            list(_read_bitmap(address, f"qemu:dirty-bitmap:{bitmap}"))
            for address in self.moment.addresses
        ]


def _read_bitmap(address: NbdAddress, context: str) -> Iterator[Range]:
    with NbdClient(address, [context]) as client:
        if not client.context_ids:
            raise HoldfastError(f"{address}: QEMU does not tell what the guest has written")
        at = 0
        while at < client.size_bytes:
            for length, is_dirty in client.statuses(at, client.size_bytes - at):
                if is_dirty:
                    yield at, length
                at += length


def _shut_down_or_stop(monitor: Monitor, grace_s: float) -> bool:
    """Have the guest shut down without QEMU ending, or stop it; says whether it shut down."""
    if grace_s > 0 and monitor.run_state() == "running":
        monitor.ask("set-action", shutdown="pause")
        monitor.ask("system_powerdown")
        if poll(lambda: monitor.run_state() == "shutdown", grace_s):
            return True
        monitor.ask("set-action", shutdown="poweroff")
    monitor.ask("stop")
    return False
