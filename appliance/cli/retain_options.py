"""The arguments of forget, unforget, hold, release and prune."""

from __future__ import annotations

import argparse

from appliance.formats.policy import COUNT_RULES, FOREVER, RULE_MAX

_PERIODS = {
    "last": "the N newest points",
    "hourly": "the newest point of each of the N newest hours that have one (UTC)",
    "daily": "the same for days (UTC)",
    "weekly": "the same for weeks from Monday (ISO, UTC)",
    "monthly": "the same for months (UTC)",
    "yearly": "the same for years (UTC)",
}


def add_point(parser: argparse.ArgumentParser) -> None:
    """The point that a command is about."""
    parser.add_argument("point", metavar="POINT", help="NAME@2026-11-21T09:30:00Z, or NAME@latest")


def add_exact_point(parser: argparse.ArgumentParser) -> None:
    """A point that only its own name can call."""
    parser.add_argument("point", metavar="POINT", help="NAME@2026-11-21T09:30:00Z")


def add_forget(parser: argparse.ArgumentParser) -> None:
    """Arguments of forget."""
    add_point(parser)
    parser.add_argument(
        "--now",
        action="store_true",
        help="skip the trash: root only, and not where a policy forbids it; cannot be undone",
    )


def add_hold(parser: argparse.ArgumentParser) -> None:
    """Arguments of hold."""
    add_point(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, shown to everybody")
    parser.add_argument(
        "--until",
        metavar="DATE",
        help="2027-01-31 or 2027-01-31T12:00:00Z (UTC); default: until it is released",
    )


def add_prune(parser: argparse.ArgumentParser) -> None:
    """Arguments of prune."""
    parser.description = (
        "Forget the points that no rule of the machine's policy keeps. They go to the trash, "
        "where 'unforget' brings them back until their window ends. Rules count complete points "
        "only. A machine's newest complete point always stays, and so does what is held, damaged, "
        "or needed by a VM. An incomplete point goes when a newer one is complete."
    )
    parser.add_argument("--machine", metavar="NAME", help="only this machine's points")
    parser.add_argument(
        "--simulate", action="store_true", help="only show what would go, and why each point stays"
    )
    parser.add_argument(
        "--trust-clock",
        action="store_true",
        help="the clock jumped and is right now: root only",
    )
    add_rules(parser.add_argument_group("a policy to try, with --simulate"))


def add_rules(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The --keep options."""
    for rule in COUNT_RULES:
        parser.add_argument(f"--keep-{rule}", metavar="N", type=int, help=_PERIODS[rule])
    parser.add_argument(
        "--keep-days",
        metavar=f"N|{FOREVER}",
        help=f"every point less than N days (1 to {RULE_MAX}) older than the machine's newest",
    )
