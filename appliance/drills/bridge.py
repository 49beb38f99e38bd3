"""The office's network for machines that take over: a card on a bridge of the box.

Only failovers use this. The tap device belongs to QEMU and goes with it.
"""

from __future__ import annotations

import secrets

from appliance.base import process
from appliance.drills.network import plug_agent
from appliance.drills.plan import Machine
from appliance.drills.vm import Vm

_PREFIX = "hf-"  # with eight digits within the 15 characters that Linux gives a device


def plug_bridge(vm: Vm, bridge: str, machine: Machine) -> None:
    """Give a VM that has just started a card on `bridge`, and start it once more.

    The card has the address that the plan gives, else a new one. Raises HoldfastError if there is
    no such bridge, or without the right to use it.
    """
    ip = process.find_program("ip", "iproute2")
    process.run([ip, "link", "show", "dev", bridge])
    tap = f"{_PREFIX}{secrets.token_hex(4)}"
    address = machine.mac or ":".join(
        f"{byte:02x}" for byte in b"\x52\x54\x00" + secrets.token_bytes(3)
    )
    with vm.monitor() as monitor:
        monitor.ask("netdev_add", type="tap", id="card", ifname=tap, script="no", downscript="no")
        process.run([ip, "link", "set", "dev", tap, "master", bridge, "up"])
        monitor.ask(
            "device_add", driver="virtio-net-pci", id="card-nic", netdev="card", mac=address
        )
        if machine.has_agent:
            plug_agent(monitor)
        monitor.ask("system_reset")
