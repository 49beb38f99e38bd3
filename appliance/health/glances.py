"""What answers at once: arrays, what the kernel said of disks, network ports, and the power.

Owns what is kept from one glance to the next so that each is short on a slow box, too: the picture
of the disks for as long as they are the same, and the errors of the log that were read already.
Never asks a disk, and never judges by what it kept: arrays, ports and supplies are read anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from appliance.formats.disk_seat import Seat
from appliance.formats.finding import Finding, sort_findings
from appliance.health.array_rules import judge_array
from appliance.health.arrays import list_arrays
from appliance.health.inventory import Inventory, Properties, stamp_disks
from appliance.health.kernel_log import KernelLog
from appliance.health.kernel_tree import KernelTree
from appliance.health.network import judge_ports, list_ports
from appliance.health.power import judge_ups, look_at_power


class Glances:
    """One watch's. One thread glances at all but the power, another at that."""

    def __init__(self, tree: KernelTree, properties: Properties) -> None:
        """Takes the first picture of the disks, so that no failure waits for it."""
        self._tree = tree
        self._properties = properties
        self._inventory = Inventory(tree, properties)
        self._log = KernelLog(tree)
        self._has_supplies = True  # until somebody has looked

    def glance_at_arrays(self, seats: Sequence[Seat], now: datetime) -> list[Finding]:
        """Every finding about arrays."""
        inventory = self._look_at_disks()
        return sort_findings(
            finding
            for array in list_arrays(self._tree)
            for finding in judge_array(array, inventory, now, seats)
        )

    def glance_at_log(self, now: datetime) -> list[Finding]:
        """Every finding by the kernel's log."""
        return sort_findings(self._log.judge(self._look_at_disks(), now))

    def glance_at_ports(self, now: datetime) -> list[Finding]:
        """Every finding about network ports."""
        return sort_findings(judge_ports(list_ports(self._tree), now))

    def glance_at_power(self, now: datetime) -> list[Finding] | None:
        """Every finding about supplies; None where there was none when somebody last looked."""
        if not self._has_supplies:
            return None
        supplies = look_at_power(self._tree).supplies
        self._has_supplies = bool(supplies)
        return sort_findings(judge_ups(supplies, now))

    def note_look(self, inventory: Inventory, *, has_supplies: bool) -> None:
        """What a look at everything saw. Any thread may say so."""
        self._inventory = inventory
        self._has_supplies = has_supplies

    def _look_at_disks(self) -> Inventory:
        """The disks; a picture of them takes longer than all the rest of a glance."""
        inventory = self._inventory
        if stamp_disks(self._tree) != inventory.stamp:
            self._inventory = inventory = Inventory(self._tree, self._properties)
        return inventory

    def close(self) -> None:
        """Glance no more."""
        self._log.close()
