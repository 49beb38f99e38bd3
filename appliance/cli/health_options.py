"""The arguments of health, acknowledge, disks and array."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_action

_PLAN = (
    " Without --yes it only shows the plan, and what forbids it; nothing is changed. "
    "DISK is a kernel name (sdb), a path, a serial number, or a bay."
)


def add_health(parser: argparse.ArgumentParser) -> None:
    """Arguments of health."""
    parser.description = (
        "Is anything broken? One look at disks, arrays, filesystems, power, clock and network. "
        "Each finding says what is wrong, since when and by which value, what happens if nobody "
        "does anything, and what to do. Exit code 0: nothing to do; 3: something is."
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="stay, and print findings as they come and go (with --json one object a line)",
    )
    parser.add_argument(
        "--watchdog",
        metavar="DEVICE",
        type=Path,
        help="with --watch: feed this hardware watchdog, which restarts a box that hangs",
    )
    parser.add_argument(
        "--power",
        action="store_true",
        help="only what the box runs on, at once: exit code 3 on battery; wants_stop in --json "
        "says that every UPS is almost empty",
    )
    parser.add_argument("--all", action="store_true", help="acknowledged findings too")


def add_acknowledge(parser: argparse.ArgumentParser) -> None:
    """Arguments of acknowledge."""
    parser.description = (
        "Say that a finding is known: 'health' is quiet about it until it becomes worse."
    )
    parser.add_argument(
        "finding", metavar="FINDING", help="the word in brackets that 'health' shows before it"
    )


def add_disks(parser: argparse.ArgumentParser) -> None:
    """Arguments of disks and what it can do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = add_action(
        actions,
        "show",
        "everything about one disk",
        "What a disk is, what lies on it, what it says itself, and what is wrong.",
    )
    show.add_argument("disk", metavar="DISK", help="kernel name, path, serial number, or bay")
    locate = add_action(
        actions,
        "locate",
        "switch on the light beside a bay",
        "Switch the light of a bay on, to find a disk; --off when you found it.",
    )
    locate.add_argument("bay", metavar="BAY", help="a bay, or a disk in one")
    locate.add_argument("--off", action="store_true", help="switch it off")
    test = add_action(
        actions,
        "test",
        "start the self-test that a disk has built in",
        "Start a self-test of a disk. It runs inside the disk, which works on and "
        "loses nothing; 'disks show' tells how it ended.",
    )
    test.add_argument("disk", metavar="DISK", help="kernel name, path, serial number, or bay")
    kind = test.add_mutually_exclusive_group()
    kind.add_argument("--long", action="store_true", help="all of it, for hours (default: minutes)")
    kind.add_argument("--stop", action="store_true", help="stop the test that runs")
    replace = add_action(
        actions,
        "replace",
        "put NEW into the place of OLD in its array",
        "Replace a disk of an array. OLD stays in use until NEW is a full copy, unless "
        "it failed already." + _PLAN,
    )
    replace.add_argument("old", metavar="OLD", help="the disk that leaves")
    replace.add_argument("new", metavar="NEW", help="the disk that takes its place")
    replace.add_argument(
        "--healthy-too", action="store_true", help="OLD may be a disk with nothing wrong"
    )
    _add_erase(replace, "NEW")
    _add_consent(replace)


def add_array(parser: argparse.ArgumentParser) -> None:
    """Arguments of array and what it can do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    check = add_action(
        actions,
        "check",
        "read all of an array and compare its members",
        "Read all of an array and compare its members; repairs nothing." + _PLAN,
    )
    spare = add_action(
        actions,
        "spare",
        "give an array a disk that takes over when one fails",
        "Add a spare; where a member is missing it is filled at once." + _PLAN,
    )
    create = add_action(
        actions,
        "create",
        "make a new array of empty disks",
        "Make an array in the best layout for the disks: two mirror, three are RAID5, "
        "from four on two may fail (RAID6); from eight on one waits as spare." + _PLAN,
    )
    grow = add_action(
        actions,
        "grow",
        "use larger members, or one disk more",
        "Let an array use all that its members have, or take one more disk." + _PLAN,
    )
    for action in (check, spare, grow):
        action.add_argument("array", metavar="ARRAY", help="as 'holdfast array' lists it: md0")
    spare.add_argument("new", metavar="DISK", help="the disk to add")
    create.add_argument(
        "disks", metavar="DISK", nargs="*", help="default: all empty disks of one kind and size"
    )
    create.add_argument(
        "--level", choices=("raid1", "raid5", "raid6", "raid10"), default="", help="default: best"
    )
    create.add_argument(
        "--erase",
        metavar="SERIAL",
        action="append",
        default=[],
        help="this disk may be overwritten",
    )
    grow.add_argument("new", metavar="DISK", nargs="?", help="a disk to add (default: none)")
    _add_erase(spare, "DISK")
    _add_erase(grow, "DISK")
    for action in (check, spare, create, grow):
        _add_consent(action)


def _add_erase(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--erase",
        metavar="SERIAL",
        default="",
        help=f"serial number of {what}: what it carries may be lost",
    )


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="carry out the plan")
    parser.add_argument("--wait", action="store_true", help="stay until the array has finished")
