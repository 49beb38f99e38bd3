"""The arguments of boot, vms, stop and nbd."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from appliance.cli.retain_options import add_as_of, add_point

_BOOT = """\
Run a point as a virtual machine, in seconds: its disks are read from the store as they are needed,
and what it writes goes to an overlay beside it. It is a protected machine at once: 'backup vm:NAME'
stores what it changed, 'failback' and 'migrate' bring it home. Firmware and disk bus are read off
the disk itself. What you choose is remembered for the machine, but for the network, which is none
unless you say otherwise.
"""
_VMS = """\
List recovered VMs: where they are reached, what they wrote, and what will stop them. 'vms resume'
starts those again that ran when the box or their process died, 'vms resume VM' one that was
stopped, both on what they wrote. 'vms continue VM' lets a VM go on
that is paused, because its disk or its overlay was full.
"""
_SERVE = """\
Serve the disks of a point over NBD until Ctrl-C: for qemu-img, nbdcopy, a Proxmox or
libvirt host, or the kernel's own client on an empty machine. Without --listen only the owner of the
socket gets in. TCP that others can reach needs TLS with certificates on both sides: a directory
with ca-cert.pem, server-cert.pem and server-key.pem, as QEMU and libnbd name them.
Disks are read-only unless --writable: then what is written goes to an overlay, which stays, as a
VM without a guest that 'vms' lists, 'backup vm:NAME' protects and 'failback' brings home.
"""
_EXPORT = """\
Write a disk of a point as an image that other programs read. What is zeros is not written. Prints
the SHA-256 of the file, so that a copy of it can be checked.
"""
_FAILBACK = """\
Bring a recovered VM home: each disk is compared with its target, and only what differs is written,
in blocks of 4 KiB, while the VM runs on. Then its guest is shut down, the last changes follow, and
the target is what the VM was. Interrupt and repeat it as you like. The VM is stopped afterwards and
keeps its overlay until 'stop --discard'. A TARGET is an image, a block device, or an address such
as nbd://HOST/NAME.
"""
_MIGRATE = """\
Move the disks of a running VM to an image, a block device or an NBD server without stopping it: all
of it is copied, then the guest stands still for a moment and goes on from there, on this box. Its
overlay is gone then, and its point is needed no more.
"""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes of `20G`, `512M`, ... (binary units)."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)(iB|B)?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no size: 512M, 20G")
    return int(found[1]) * _UNITS[found[2]]


def add_boot(parser: argparse.ArgumentParser) -> None:
    """Arguments of boot."""
    parser.description = _BOOT
    add_point(parser)
    add_as_of(parser)
    parser.add_argument("--name", metavar="VM", help="the VM's name (default: the point's)")
    parser.add_argument(
        "--wait",
        metavar="login|tcp:PORT|none",
        default="login",
        help="what it means to be ready (default login)",
    )
    parser.add_argument("--memory", metavar="MiB", type=int, help="default 1024")
    parser.add_argument("--cpus", metavar="N", type=int, help="default 2")
    parser.add_argument(
        "--firmware", choices=("bios", "uefi"), help="default: as the disk's partitions say"
    )
    parser.add_argument(
        "--bus",
        choices=("virtio", "sata", "ide"),
        help="how disks are attached (default: virtio, sata for Windows, which lacks the drivers)",
    )
    parser.add_argument(
        "--network",
        metavar="none|isolated|bridge:NAME",
        help="none (default); a network that leads nowhere; a bridge of this host, which "
        "/etc/qemu/bridge.conf must allow",
    )
    parser.add_argument(
        "--mac", metavar="MAC", help="the old machine's address (default: a new one)"
    )
    add_overlay_limit(parser)
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=300.0, help="seconds to wait (default 300)"
    )
    parser.add_argument(
        "--screenshot", metavar="FILE", type=Path, help="save the screen as PNG when ready"
    )


def add_overlay_limit(parser: argparse.ArgumentParser) -> None:
    """How much a VM may write."""
    parser.add_argument(
        "--overlay-limit",
        metavar="SIZE",
        type=parse_size,
        help="how large the overlay of each disk may become, as 20G; the VM pauses there "
        "(default: the disk's size, at most half of the free space)",
    )


def add_vms(parser: argparse.ArgumentParser) -> None:
    """Arguments of vms."""
    parser.description = _VMS
    parser.add_argument(
        "action",
        choices=("list", "resume", "continue"),
        nargs="?",
        default="list",
        help="default list",
    )
    parser.add_argument("name", metavar="VM", nargs="?", help="which one is to resume or go on")
    add_overlay_limit(parser)


def add_stop(parser: argparse.ArgumentParser) -> None:
    """Arguments of stop."""
    parser.add_argument("name", metavar="VM", help="as 'holdfast vms' lists it")
    parser.add_argument(
        "--discard", action="store_true", help="throw away what the VM wrote (its overlay)"
    )
    add_grace(parser, 20.0)


def add_grace(parser: argparse.ArgumentParser, default_s: float) -> None:
    """How long a guest may take to shut down."""
    parser.add_argument(
        "--grace",
        metavar="S",
        type=float,
        default=default_s,
        help=f"seconds the guest has to shut down before it is stopped (default {default_s:.0f}; "
        "0: at once)",
    )


def add_nbd(parser: argparse.ArgumentParser) -> None:
    """Arguments of nbd."""
    parser.description = _SERVE
    add_point(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--socket", metavar="PATH", type=Path, help="a Unix socket (default: below the state)"
    )
    where.add_argument(
        "--listen", metavar="HOST[:PORT]", help="TCP; the port is 10809 unless given"
    )
    parser.add_argument(
        "--tls-certificates", metavar="DIR", type=Path, help="speak TLS only, with these"
    )
    parser.add_argument(
        "--touched", metavar="FILE", type=Path, help="note which blocks are read, for boot sets"
    )
    parser.add_argument("--writable", action="store_true", help="let it be written, to an overlay")
    parser.add_argument("--name", metavar="VM", help="of the overlay (default: the point's)")
    add_overlay_limit(parser)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of export."""
    parser.description = _EXPORT
    add_point(parser)
    parser.add_argument("target", metavar="TARGET", type=Path, help="the new file")
    parser.add_argument(
        "--format",
        choices=("raw", "qcow2", "vmdk", "vhdx", "vdi"),
        help="default: as the end of the file's name says",
    )
    parser.add_argument("--disk", metavar="N", type=int, default=0, help="disk number (default 0)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VM", help="as 'holdfast vms' lists it")
    parser.add_argument(
        "targets", metavar="TARGET", nargs="+", help="one for each disk of the VM, in order"
    )


def add_failback(parser: argparse.ArgumentParser) -> None:
    """Arguments of failback."""
    parser.description = _FAILBACK
    _add_targets(parser)
    parser.add_argument(
        "--force", action="store_true", help="overwrite what differs on a target that holds data"
    )
    add_grace(parser, 60.0)


def add_migrate(parser: argparse.ArgumentParser) -> None:
    """Arguments of migrate."""
    parser.description = _MIGRATE
    _add_targets(parser)
    parser.add_argument(
        "--format", choices=("raw", "qcow2"), default="raw", help="of an image (default raw)"
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite all of a target that holds data"
    )
