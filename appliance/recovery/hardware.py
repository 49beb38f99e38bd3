"""The computer that a recovered VM finds, and QEMU's command line for it.

Owns what QEMU is told. Never starts it. All names are relative to the VM's folder, in which QEMU
runs: the address of a Unix socket holds 107 bytes, and STATE may be moved.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from appliance.base import process
from appliance.base.errors import HoldfastError, UsageError
from appliance.recovery.accelerator import QEMU, QEMU_PACKAGE, Name
from appliance.recovery.disk_server import SOCKET as DISKS_SOCKET
from appliance.recovery.disk_server import disk_export_name
from appliance.recovery.monitor import SOCKETS
from appliance.recovery.overlay import overlay_file_name

SERIAL_LOG = "serial.log"
SERIAL_SOCKET = "serial.sock"
PID_FILE = "qemu.pid"
AGENT_SOCKET = "agent.sock"
VNC_SOCKET = "vnc.sock"
VNC_DISPLAYS = "127.0.0.1:0,to=999"  # the first free port from 5900 on
UEFI_VARIABLES = "uefi.fd"
SPARE_SLOT = "spare"
# Debian's ovmf: the program, and variables that every VM gets a copy of.
UEFI_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
UEFI_VARIABLES_TEMPLATE = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
MEMORY_MIB = 1024
# How long QEMU waits for a disk server that is gone: until somebody starts another, in effect.
RECONNECT_S = 7 * 24 * 3600
_CPUS_DEFAULT = 2
_CPUS_MAX = 255
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}")

Firmware = Literal["bios", "uefi"]
Bus = Literal["virtio", "sata", "ide"]


def new_mac() -> str:
    """A locally administered address, so that it is nobody's (IEEE 802, the second lowest bit)."""
    return ":".join(f"{byte:02x}" for byte in b"\x52\x54\x00" + secrets.token_bytes(3))


@dataclass(frozen=True)
class Hardware:
    """What a guest finds. `network`: `none`, `isolated`, or `bridge:NAME` of this host."""

    memory_mib: int = MEMORY_MIB
    cpus: int = min(_CPUS_DEFAULT, os.cpu_count() or 1)
    firmware: Firmware = "bios"
    bus: Bus = "virtio"
    network: str = "none"
    mac: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for hardware that cannot be."""
        if self.memory_mib < 1:
            raise UsageError("--memory is in MiB and at least 1")
        if not 1 <= self.cpus <= _CPUS_MAX:
            raise UsageError(f"--cpus is 1 to {_CPUS_MAX}")
        if self.firmware not in get_args(Firmware):
            raise UsageError(f"'{self.firmware}' is no firmware: bios or uefi")
        if self.bus not in get_args(Bus):
            raise UsageError(f"'{self.bus}' is no disk bus: virtio, sata or ide")
        if self.mac is not None and not _MAC.fullmatch(self.mac):
            raise UsageError(f"'{self.mac}' is no MAC address of one machine, as 52:54:00:12:34:56")
        kind, _, bridge = self.network.partition(":")
        if self.network not in ("none", "isolated") and (
            kind != "bridge" or not _BRIDGE.fullmatch(bridge)
        ):
            raise UsageError(f"'{self.network}' is no network: none, isolated or bridge:NAME")

    def with_address(self) -> Hardware:
        """The same; on a bridge with a MAC address of its own, where none was chosen.

        QEMU gives every guest the same one, and a bridge has room for one of each.
        """
        if self.mac is not None or not self.network.startswith("bridge:"):
            return self
        return replace(self, mac=new_mac())

    def to_json(self) -> dict[str, Any]:
        """Members of a note."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Hardware:
        """What `to_json` described. Raises KeyError, TypeError, ValueError or UsageError."""
        mac = value["mac"]
        return cls(
            memory_mib=int(value["memory_mib"]),
            cpus=int(value["cpus"]),
            firmware=value["firmware"],
            bus=value["bus"],
            network=str(value["network"]),
            mac=None if mac is None else str(mac),
        )


@dataclass(frozen=True)
class Machine:
    """Everything QEMU is told.

    `moved`: where disks went that were migrated, by disk. `is_paused`: the guest waits for somebody
    else's `cont`.
    """

    name: str
    hardware: Hardware
    limits_bytes: tuple[int, ...]
    accelerator: Name
    guest_port: int | None = None
    moved: tuple[str | None, ...] = ()
    vnc: str | None = None
    is_paused: bool = False


def build_argv(folder: Path, machine: Machine) -> list[str]:
    """The command line of a VM.

    Its guest waits for `cont`. The guest's flushes reach the disk (the cache mode is writeback); a
    full disk pauses the guest instead of failing its writes, and what cannot be read of a point
    fails only there.
    """
    hardware = machine.hardware
    argv = [process.find_program(QEMU, QEMU_PACKAGE), "-name", f"guest={machine.name}"]
    argv += ["-pidfile", str(folder / PID_FILE)]
    argv += ["-nodefaults", "-no-user-config", "-S"]
    argv += ["-machine", "q35" if hardware.firmware == "uefi" else "pc"]
    # A bridge is reached through a program that QEMU starts.
    spawn = "allow" if hardware.network.startswith("bridge:") else "deny"
    argv += ["-sandbox", f"on,obsolete=deny,elevateprivileges={spawn},spawn={spawn}"
             ",resourcecontrol=deny"]  # fmt: skip
    argv += ["-accel", machine.accelerator]
    argv += ["-cpu", "host" if machine.accelerator == "kvm" else "max"]
    argv += ["-smp", str(hardware.cpus), "-m", f"{hardware.memory_mib}M"]
    if hardware.firmware == "uefi":
        argv += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={UEFI_CODE}"]
        argv += ["-drive", f"if=pflash,format=raw,unit=1,file={UEFI_VARIABLES}"]
        # A q35 takes a card while it runs only here.
        argv += ["-device", f"pcie-root-port,id={SPARE_SLOT},chassis=1"]
    # A q35 has no IDE.
    bus = "sata" if hardware.bus == "ide" and hardware.firmware == "uefi" else hardware.bus
    if bus == "sata":
        argv += ["-device", "ich9-ahci,id=sata"]
    for disk in range(len(machine.limits_bytes)):
        moved = machine.moved[disk] if disk < len(machine.moved) else None
        if moved is None:
            argv += disk_nodes(disk, machine.limits_bytes[disk])
        else:
            argv += ["-blockdev", moved]
        argv += ["-device", _disk_device(bus, disk, node_of(machine.moved, disk))]
    argv += [
        "-vga",
        "std",
        "-display",
        "none",
        "-vnc",
        f"{machine.vnc or VNC_DISPLAYS},password=on",
    ]
    argv += ["-chardev", f"socket,id=serial,path={SERIAL_SOCKET},server=on,wait=off"
             f",logfile={SERIAL_LOG},logappend=off", "-serial", "chardev:serial"]  # fmt: skip
    for number, path in enumerate(SOCKETS):
        argv += ["-chardev", f"socket,id=qmp{number},path={path},server=on,wait=off"]
        argv += ["-mon", f"chardev=qmp{number},mode=control"]
    if hardware.bus == "virtio":
        argv += _virtio_extras()
    return argv + _network(hardware, machine.guest_port)


def node_of(moved: Sequence[str | None], disk: int) -> str:
    """The name of the node that the guest's disk is on."""
    return moved_node(disk) if disk < len(moved) and moved[disk] else f"disk{disk}"


def moved_node(disk: int) -> str:
    """The name of the node that disk number `disk` is migrated to."""
    return f"moved{disk}"


def disk_nodes(disk: int, limit_bytes: int, *, is_read_only: bool = False) -> list[str]:
    """QEMU's nodes for a disk: `disk0` over `point0`, in a file that has a limit."""
    path = overlay_file_name(disk)
    read_only = ",read-only=on" if is_read_only else ""
    file_read_only = ",file.read-only=on" if is_read_only else ""
    return [
        "-blockdev",
        f"driver=nbd,node-name=point{disk},read-only=on,server.type=unix,"
        f"server.path={DISKS_SOCKET},export={disk_export_name(disk)},"
        f"reconnect-delay={RECONNECT_S}",
        "-blockdev",
        f"driver=raw,node-name=limit{disk},size={limit_bytes},file.driver=file,"
        f"file.node-name=file{disk},file.filename={path}{read_only}{file_read_only}",
        "-blockdev",
        f"driver=qcow2,node-name=disk{disk},file=limit{disk},backing=point{disk}{read_only}",
    ]


def _disk_device(bus: Bus, disk: int, node: str) -> str:
    common = f"drive={node},bootindex={disk + 1},werror=enospc,rerror=report"
    if bus == "virtio":
        return f"virtio-blk-pci,id=drive{disk},{common}"
    if bus == "sata":
        return f"ide-hd,id=drive{disk},bus=sata.{disk},{common}"
    return f"ide-hd,id=drive{disk},bus=ide.{disk // 2},unit={disk % 2},{common}"


def _virtio_extras() -> list[str]:
    """Randomness, and the way to a guest agent, for guests that know virtio."""
    argv = ["-object", "rng-random,id=rng,filename=/dev/urandom"]
    argv += ["-device", "virtio-rng-pci,rng=rng"]
    argv += ["-chardev", f"socket,id=agent,path={AGENT_SOCKET},server=on,wait=off"]
    argv += ["-device", "virtio-serial-pci"]
    return [*argv, "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]


def _network(hardware: Hardware, guest_port: int | None) -> list[str]:
    """A card, and what is behind it; none at all without a reason for one."""
    kind, _, bridge = hardware.network.partition(":")
    if kind == "bridge":
        backend = f"bridge,id=net,br={bridge}"
        if guest_port is not None:
            raise HoldfastError("a port is waited for on an isolated network only: --wait login")
    elif kind == "isolated" or guest_port is not None:
        forward = "" if guest_port is None else f",hostfwd=tcp:127.0.0.1:0-:{guest_port}"
        backend = f"user,id=net,restrict=on{forward}"
    else:
        return []
    card = "virtio-net-pci" if hardware.bus == "virtio" else "e1000"
    mac = f",mac={hardware.mac}" if hardware.mac else ""
    return ["-netdev", backend, "-device", f"{card},netdev=net{mac}"]
