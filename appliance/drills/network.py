"""The networks of drills: QEMU's user-mode network, which leads nowhere, with doors for checks.

A guest gets its network card before it runs, and a reset, so that the firmware finds the card. (A
reset of a firmware that had begun left some guests dead before their first words.) `apart`: each
guest has a network to itself. `shared`: guests hang on a switch of this process by Unix sockets;
the first one's QEMU serves addresses and holds the doors of all.
Nothing is routed out, and the box answers nothing but what it asked for itself (`restrict=on`); a
door is a port of the box's loopback.

Owns network cards and doors. Never opens a door on another address.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from appliance.base.errors import HoldfastError
from appliance.drills.plan import Machine, Plan
from appliance.drills.switch import Switch
from appliance.drills.vm import Vm
from appliance.recovery.hardware import SPARE_SLOT, Hardware, new_mac
from appliance.recovery.monitor import Monitor
from appliance.recovery.qemu import list_connections

LOOPBACK = "127.0.0.1"
_FORWARD = "TCP[HOST_FORWARD]"
# Guests without an address of their own: 10.0.2.15 is the first that QEMU gives out.
_DYNAMIC = "10.0.2.15"
_DYNAMIC_GUESTS = 8


@dataclass(frozen=True)
class Doors:
    """Ports of the box's loopback that lead into a guest, by the guest's port.

    `gateway` is the folder of the VM whose QEMU holds them.
    """

    ports: Mapping[int, int]
    gateway: Path | None = None


class DrillNetwork:
    """The network of one drill. Its methods may be called from any thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._switch = Switch() if plan.network == "shared" else None
        self._lock = threading.Lock()
        self._gateway: Path | None = None
        self._shared_doors: dict[tuple[str, int], int] = {}

    def plug(self, machine: Machine, vm: Vm) -> Doors:
        """Give a guest that does not run yet what its checks need.

        Raises MonitorError if QEMU refuses.
        """
        if self._plan.network == "none":
            return Doors({})
        card = _card(vm.hardware)
        with self._lock, vm.monitor() as monitor:
            if self._plan.network == "apart":
                doors = _plug_apart(monitor, machine, vm.folder, card)
            else:
                doors = self._plug_shared(monitor, machine, vm.folder, card)
            monitor.ask("system_reset")
        return doors

    def _plug_shared(
        self, monitor: Monitor, machine: Machine, folder: Path, card: dict[str, str]
    ) -> Doors:
        if self._gateway is None or self._gateway == folder:  # the same: it was started once more
            forwards = [
                _forward(str(other.interface.ip), port)
                for other in self._plan.machines
                if other.interface is not None
                for port in other.ports
            ]
            addresses = [other.interface for other in self._plan.machines if other.interface]
            monitor.ask("netdev_add", id="user", **user_network(addresses, forwards))
            _join_hub(monitor, "user")
            # What is for a guest must not reach the user-mode network, which would refuse it; the
            # switch knows its place before anybody speaks to it, because it always speaks first.
            self._plug_cable(monitor, folder, "trunk", hears_strangers=False)
            _join_hub(monitor, "trunk")
            self._gateway = folder
            self._shared_doors = find_doors(list_connections(monitor))
        self._plug_cable(monitor, folder, "card")
        monitor.ask("device_add", netdev="card", **card)
        address = "" if machine.interface is None else str(machine.interface.ip)
        ports = {port: self._shared_doors[address, port] for port in machine.ports}
        return Doors(ports, self._gateway)

    def _plug_cable(
        self, monitor: Monitor, folder: Path, netdev: str, *, hears_strangers: bool = True
    ) -> None:
        """Lay a cable from `netdev` to the switch."""
        assert self._switch is not None
        local, remote = f"{netdev}.sock", f"hub-{netdev}.sock"
        self._switch.add_port(folder, remote, local, hears_strangers=hears_strangers)
        monitor.ask(
            "netdev_add",
            type="dgram",
            id=netdev,
            local={"type": "unix", "path": local},
            remote={"type": "unix", "path": remote},
        )

    def close(self) -> None:
        """Take the wire away; guests that still run hear nothing any more."""
        if self._switch is not None:
            self._switch.close()


def _plug_apart(monitor: Monitor, machine: Machine, folder: Path, card: dict[str, str]) -> Doors:
    interface = machine.interface
    address = _DYNAMIC if interface is None else str(interface.ip)
    forwards = [_forward(address, port) for port in machine.ports]
    network = user_network([] if interface is None else [interface], forwards)
    monitor.ask("netdev_add", id="card", **network)
    monitor.ask("device_add", netdev="card", **card)
    found = find_doors(list_connections(monitor))
    return Doors({port: found[address, port] for port in machine.ports}, folder)


def user_network(
    addresses: list[ipaddress.IPv4Interface], forwards: list[dict[str, str]]
) -> dict[str, Any]:
    """Options of QEMU's user-mode network around guests with these addresses.

    Its own two addresses are taken from the network's end, apart from those of guests.
    """
    options: dict[str, Any] = {"type": "user", "restrict": True, "hostfwd": forwards}
    if not addresses:
        return options
    network = addresses[0].network
    taken = {interface.ip for interface in addresses}
    last = int(network.broadcast_address)
    untaken = (
        address
        for number in range(last - 1, int(network.network_address), -1)
        if (address := ipaddress.IPv4Address(number)) not in taken
    )
    free = list(islice(untaken, 2 + _DYNAMIC_GUESTS))
    if len(free) < 3:
        raise HoldfastError(f"network {network} has no room for the box: give it a larger prefix")
    host, dns, *dynamic = free
    return options | {
        "net": str(network),
        "host": str(host),
        "dns": str(dns),
        "dhcpstart": str(dynamic[-1]),
    }


def find_doors(rows: list[list[str]]) -> dict[tuple[str, int], int]:
    """(address, port) of a guest -> port of the box that leads there, from `info usernet`."""
    return {(row[4], int(row[5])): int(row[3]) for row in rows if row[0] == _FORWARD}


def _forward(address: str, port: int) -> dict[str, str]:
    return {"str": f"tcp:{LOOPBACK}:0-{address}:{port}"}


def _join_hub(monitor: Monitor, netdev: str) -> None:
    monitor.ask("netdev_add", type="hubport", id=f"{netdev}-port", hubid=0, netdev=netdev)


def _card(hardware: Hardware) -> dict[str, str]:
    """A card that the guest knows, where this kind of computer takes one while it runs."""
    card = {"driver": "virtio-net-pci" if hardware.bus == "virtio" else "e1000", "mac": new_mac()}
    return card | ({"bus": SPARE_SLOT} if hardware.firmware == "uefi" else {})
