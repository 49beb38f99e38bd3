"""What setup can do on this host, found out by looking: nothing here changes anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.access.box_names import list_names
from appliance.access.setup_steps import Fact
from appliance.base.text import size
from appliance.health.array_changes import choose_disks, choose_level
from appliance.health.inventory import Inventory
from appliance.health.kernel_tree import KernelTree
from appliance.health.timekeeping import read_clock
from appliance.health.udev import read_properties
from appliance.host.host import Host
from appliance.host.ports import Ports
from appliance.host.timing import find_server_obstacle

_LOCAL = ("127.", "::1", "fe80:", "169.254.")


def find_facts(
    state: Path, has_admin: Callable[[], bool], has_notices: Callable[[], bool]
) -> Mapping[str, Callable[[], Fact]]:
    """A look at the host for each step but that of the recovery key."""
    store = state / "store"
    return {
        "admin": lambda: _simple(has_admin(), "admin", "make the first administrator"),
        "time": lambda: _look_at_time(Host()),
        "network": lambda: _look_at_network(Host()),
        "disks": lambda: look_at_disks(Inventory(KernelTree(), read_properties), os.geteuid() == 0),
        "store": lambda: _look_at_store(state, store),
        "vault": lambda: _needs_store(
            store, any((store / "vaults").glob("*.vault")), "vault", "add the off-site copy"
        ),
        "notices": lambda: _simple(has_notices(), "notices", "say who hears of findings"),
        "machine": lambda: _needs_store(
            store, any((store / "points").glob("*/*.point")), "machine", "protect the first machine"
        ),
    }


def _simple(is_done: bool, reason: str, text: str) -> Fact:
    return Fact(is_done, True, reason, "done" if is_done else text)


def _needs_store(store: Path, is_done: bool, reason: str, text: str) -> Fact:
    if not (store / "store.json").exists():
        return Fact(False, False, "no-store", "make the store first")
    return _simple(is_done, reason, text)


def _look_at_time(host: Host) -> Fact:
    is_right = read_clock().is_synchronised
    if is_right:
        return Fact(True, True, "synchronised", "the clock follows a time server")
    obstacle = find_server_obstacle(host)
    if obstacle is None:
        return Fact(
            False,
            True,
            "can-follow",
            "the clock follows no time server yet: 'holdfast box time --server HOST'",
        )
    if is_right is None:
        return Fact(
            False,
            False,
            "unknown",
            "no time service of this host can be asked: compare the clock yourself",
        )
    return Fact(False, False, "not-synchronised", f"the clock is free; {obstacle.text}")


def _look_at_network(host: Host) -> Fact:
    names = list_names()
    reached = [name for name in names if name[:1].isdigit() or ":" in name]
    reached = [address for address in reached if not address.startswith(_LOCAL)]
    can = Ports(host).find_obstacle() is None
    if reached and can:
        return Fact(True, True, "has-address", f"{reached[0]}; 'holdfast box network' sets another")
    if reached:
        return Fact(
            True, False, "host-sets-addresses", f"{reached[0]}; addresses are set by the host"
        )
    if can:
        return Fact(
            False,
            True,
            "no-address-yet",
            "no address for others: 'holdfast box network PORT --dhcp', or --address",
        )
    return Fact(
        False, False, "no-address", "this host has no address for others: set one on the host"
    )


def look_at_disks(inventory: Inventory, is_root: bool) -> Fact:
    """Whether an array can be made of empty disks, and which."""
    spare = choose_disks(inventory)
    if len(spare) < 2:
        return Fact(
            False,
            False,
            "no-spare-disks",
            "no two empty disks of one kind and size: the store lies where the state is",
        )
    if not is_root:
        return Fact(False, False, "not-root", "arrays are made by root: run the box as root")
    if shutil.which("mdadm") is None:
        return Fact(False, False, "no-mdadm", "mdadm is not installed: apt-get install mdadm")
    names = ", ".join(disk.name for disk in spare)
    return Fact(
        False,
        True,
        "spare-disks",
        f"{choose_level(len(spare))} of {len(spare)} disks of {size(spare[0].size_bytes)}: {names}",
    )


def _look_at_store(state: Path, store: Path) -> Fact:
    if (store / "store.json").exists():
        return Fact(True, True, "store", f"the store is in {state}")
    free = shutil.disk_usage(state if state.is_dir() else state.parent).free
    if not os.access(state if state.is_dir() else state.parent, os.W_OK):
        return Fact(False, False, "not-writable", f"{state} cannot be written by this user")
    return Fact(False, True, "free-space", f"{size(free)} are free in {state}")
