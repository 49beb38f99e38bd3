"""The arguments of every command, with help that teaches."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from appliance.cli import (
    access_options,
    box_options,
    browse_options,
    daemon_options,
    drill_options,
    health_options,
    key_options,
    notice_options,
    policy_options,
    retain_options,
    update_options,
    vault_options,
    vm_options,
)
from appliance.cli.arguments import ArgumentParser
from appliance.cli.global_options import add_action, add_global_options

if TYPE_CHECKING:
    from appliance.cli.session import Session

Handler = Callable[["Session", argparse.Namespace], int]

_EPILOG = """\
the main job:
  holdfast init                                make the store; keep the recovery key it prints
  holdfast backup /dev/sdb --machine web1      make a recovery point
  holdfast points                              what there is
  holdfast restore web1@latest disk.raw        write the disk back
  holdfast boot web1@latest                    run the last backup as a VM
  holdfast health                              is anything broken?

exit codes: 0 done, 1 failed, 2 usage, 3 done with named gaps, 4 integrity, 5 not found, 6 busy,
7 no space, 8 key or permission, 130/143 cancelled by Ctrl-C/SIGTERM
"""


class _Command(NamedTuple):
    module: str
    function: str
    summary: str
    arguments: Callable[[argparse.ArgumentParser], None]


def build(version: str) -> argparse.ArgumentParser:
    """The parser of the whole command."""
    main: argparse.ArgumentParser = ArgumentParser(
        prog="holdfast",
        description="Back up disks, deduplicated and encrypted, and boot the last backup.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    main.add_argument("--version", action="version", version=f"holdfast {version}")
    add_global_options(main)
    commands = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.arguments(add_action(commands, name, command.summary))
    return main


def handler(command: str) -> Handler:
    """The function that does `command`; its module is imported only now."""
    found = COMMANDS[command]
    module = importlib.import_module(f"appliance.cli.{found.module}")
    function: Handler = getattr(module, found.function)
    return function


# ---- arguments, one function per command that has any ----


def _none(_: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def _init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recovery-out",
        metavar="F",
        type=Path,
        help="write the recovery key to this new file instead of printing it",
    )


def _unlock(parser: argparse.ArgumentParser) -> None:
    key_options.add_recovery_key(
        parser, "open with this recovery key (when the box key or passphrase is lost)"
    )


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        type=Path,
        help="raw image or block device; several are the disks of one point; or vm:NAME, a "
        "recovered VM, of which only what it wrote is read (default: what 'machines add' was told)",
    )
    parser.add_argument(
        "--machine", metavar="NAME", help="the machine it is (of vm:NAME: the one it was)"
    )
    parser.add_argument(
        "--changed",
        metavar="FILE",
        type=Path,
        help="read only these ranges: lines of OFFSET LENGTH [DISK] in bytes; needs --base",
    )
    parser.add_argument(
        "--base",
        metavar="POINT",
        help="compare with this point (default: the machine's newest)",
    )
    parser.add_argument(
        "--allow-inconsistent",
        action="store_true",
        help="read a block device although it is mounted read-write; the point says so",
    )


def _points(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", metavar="NAME", help="only this machine's points")
    parser.add_argument(
        "--trash", action="store_true", help="forgotten points, and until when each can come back"
    )


def _restore(parser: argparse.ArgumentParser) -> None:
    retain_options.add_point(parser)
    parser.add_argument("target", metavar="TARGET", help="file, block device, pipe, or - ")
    parser.add_argument("--disk", metavar="N", type=int, default=0, help="disk number (default 0)")
    parser.add_argument(
        "--force", action="store_true", help="overwrite a file or device that holds data"
    )


def _mount(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="an empty directory")
    parser.add_argument("--foreground", action="store_true", help="stay until it is unmounted")


def _umount(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="where the points are mounted")
    parser.add_argument("--lazy", action="store_true", help="detach now, end when nobody reads")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("point", metavar="POINT", nargs="?", help="only what this point needs")
    parser.add_argument(
        "--depth",
        choices=("structure", "ciphertext", "full"),
        default="full",
        help="structure: everything is there; ciphertext: and unchanged (without the key: "
        "containers only); full: and decrypts",
    )

    parser.add_argument(
        "--look-only",
        action="store_true",
        help="change nothing: leave damaged containers where they are",
    )


def _collect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--thin",
        metavar="PERCENT",
        type=float,
        default=50.0,
        help="rewrite containers of which less is needed (default 50; 0: free whole ones only)",
    )
    _rate(parser)


def _recompress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--level",
        metavar="N",
        type=int,
        choices=range(2, 20),
        default=9,
        help="zstd level of what is written, 2 to 19 (default 9); done once for each level",
    )
    _rate(parser)


def _rate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate",
        metavar="MiB/s",
        type=float,
        default=0.0,
        help="rewrite no faster than this (default: as fast as the rest of the box lets it)",
    )


def _scrub(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days", metavar="N", type=float, default=30.0, help="a full pass in N days (default 30)"
    )
    parser.add_argument(
        "--rate",
        metavar="MiB/s",
        type=float,
        default=64.0,
        help="read no faster than this (default 64; 0: no limit)",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--for", metavar="SECONDS", type=float, dest="for_s", help="then stop")
    amount.add_argument("--all", action="store_true", help="read everything, not the share due")


COMMANDS: dict[str, _Command] = {
    "setup": _Command("users", "setup", "the first steps of a box", access_options.add_setup),
    "users": _Command("users", "users", "people who may log in", access_options.add_users),
    "tokens": _Command("users", "tokens", "programs that may come in", access_options.add_tokens),
    "certificates": _Command(
        "certificates", "certificates", "what browsers are shown", access_options.add_certificates
    ),
    "bundle": _Command(
        "bundle",
        "bundle",
        "how this box is, for support, without secrets",
        access_options.add_bundle,
    ),
    "box": _Command("box", "box", "name, time and addresses of the host", box_options.add_box),
    "audit": _Command("users", "audit", "who did what", access_options.add_audit),
    "init": _Command("keys", "init", "make the store and its keys", _init),
    "unlock": _Command("keys", "unlock", "keep the key in memory until reboot", _unlock),
    "lock": _Command("keys", "lock", "forget the key that unlock keeps", _none),
    "key": _Command("key_commands", "key", "list, add, revoke, prove keys", key_options.add_key),
    "backup": _Command("protect", "backup", "make a recovery point of disks", _backup),
    "points": _Command("protect", "points", "list recovery points", _points),
    "forget": _Command(
        "retain", "forget", "put a recovery point into the trash", retain_options.add_forget
    ),
    "unforget": _Command(
        "retain", "unforget", "bring a forgotten point back", retain_options.add_exact_point
    ),
    "hold": _Command("retain", "hold", "forbid that a point is forgotten", retain_options.add_hold),
    "release": _Command("retain", "release", "end a hold", retain_options.add_exact_point),
    "policy": _Command(
        "policies",
        "policy",
        "what machines are promised, and what is kept",
        policy_options.add_policy,
    ),
    "machines": _Command(
        "machines", "machines", "machines: list, add, pause, retire", policy_options.add_machines
    ),
    "prune": _Command("retain", "prune", "forget what no policy keeps", retain_options.add_prune),
    "collect": _Command("reclaim", "collect", "free what no point needs", _collect),
    "recompress": _Command("reclaim", "recompress", "store again, smaller, when idle", _recompress),
    "verify": _Command(
        "integrity", "verify", "read and authenticate, name what is damaged", _verify
    ),
    "scrub": _Command("integrity", "scrub", "read the share that is due, save the sound", _scrub),
    "status": _Command("protect", "status", "what is protected, space, health", _none),
    "health": _Command("health", "health", "is anything broken?", health_options.add_health),
    "acknowledge": _Command(
        "health", "acknowledge", "be quiet about a known finding", health_options.add_acknowledge
    ),
    "notices": _Command(
        "notices", "notices", "mail and webhooks for findings", notice_options.add_notices
    ),
    "disks": _Command(
        "disks", "disks", "disks: list, show, locate, replace", health_options.add_disks
    ),
    "array": _Command(
        "arrays", "array", "RAID: list, check, create, grow", health_options.add_array
    ),
    "vault": _Command("vaults", "vault", "the off-site copy", vault_options.add_vault),
    "learn": _Command("learn", "learn", "bring the daemon's lists of points up to date", _none),
    "serve": _Command("serve", "serve", "run the box: the daemon", daemon_options.add_serve),
    "jobs": _Command("jobs", "jobs", "what the daemon does and did", daemon_options.add_jobs),
    "update": _Command("updates", "update", "new releases of this box", update_options.add_update),
    "restore": _Command("recover", "restore", "write a disk back", _restore),
    "ls": _Command("browse", "ls", "list the files inside a point", browse_options.add_ls),
    "cat": _Command("browse", "cat", "a file inside a point", browse_options.add_cat),
    "get": _Command("fetch", "get", "fetch files from inside a point", browse_options.add_get),
    "history": _Command(
        "search", "history", "versions of a file in points", browse_options.add_history
    ),
    "find": _Command("search", "find", "search points for names", browse_options.add_find),
    "mount": _Command("virtual", "mount", "show all points as files (FUSE)", _mount),
    "umount": _Command("virtual", "umount", "take the mount away", _umount),
    "boot": _Command("virtual", "boot", "run a point as a VM", vm_options.add_boot),
    "vms": _Command(
        "virtual", "vms", "list recovered VMs, bring them back, let go on", vm_options.add_vms
    ),
    "stop": _Command("virtual", "stop", "stop a recovered VM", vm_options.add_stop),
    "failback": _Command(
        "vm_moves", "failback", "bring a recovered VM home", vm_options.add_failback
    ),
    "migrate": _Command(
        "vm_moves", "migrate", "move a running VM's disks elsewhere", vm_options.add_migrate
    ),
    "export": _Command(
        "export", "export", "write a disk as qcow2, vmdk, vhdx, vdi, raw", vm_options.add_export
    ),
    "nbd": _Command("nbd", "nbd", "serve a point's disks over NBD", vm_options.add_nbd),
    "drill": _Command(
        "drills", "drill", "rehearse a recovery, measure it, report", drill_options.add_drill
    ),
    "failover": _Command(
        "failovers",
        "failover",
        "recover for real, by a plan, and go back",
        drill_options.add_failover,
    ),
}

# Nothing that one could ask the daemon for: about itself, or only for whoever is at the box.
DAEMON_COMMANDS = frozenset({"audit", "certificates", "jobs", "serve", "setup", "tokens", "users"})
