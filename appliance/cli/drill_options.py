"""The arguments of drill and failover, with help that teaches."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_action
from appliance.cli.retain_options import add_as_of


def add_drill(parser: argparse.ArgumentParser) -> None:
    """Drill run, list, show, report."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run = add_action(
        actions, "run", "boot machines from their points, apart from everything, and check"
    )
    run.add_argument(
        "what", metavar="MACHINE|PLAN", help="a machine, or a plan (a file that ends in .toml)"
    )
    run.add_argument(
        "--memory",
        metavar="MiB",
        type=int,
        default=1024,
        help="of a MACHINE's VM (default 1024); a plan says it itself",
    )
    add_as_of(run)
    some = add_action(actions, "list", "all drills, oldest first: the trend")
    some.add_argument("--machine", metavar="NAME", help="only drills of this machine")
    some.add_argument("--plan", metavar="NAME", help="only drills of this plan")
    show = add_action(actions, "show", "one drill in full")
    show.add_argument("drill", metavar="DRILL", help="as 'holdfast drill list' calls it")
    report = add_action(actions, "report", "a page to read, print and sign (HTML)")
    report.add_argument(
        "drill",
        metavar="DRILL",
        nargs="?",
        help="only what this drill measured (default: each machine's newest drill)",
    )
    report.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="where to write the page; one that is there is replaced",
    )
    report.add_argument("--title", metavar="TEXT", default="", help="whose report it is")


def add_failover(parser: argparse.ArgumentParser) -> None:
    """Failover run, approve, reverse, list, show."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run = add_action(actions, "run", "prepare a failover and show its steps; nothing happens yet")
    run.add_argument("plan", metavar="PLAN", type=Path, help="a plan with a [failover] part")
    add_as_of(run)
    approve = add_action(actions, "approve", "carry the steps out, or go on where it stopped")
    approve.add_argument("failover", metavar="FAILOVER", help="as 'holdfast failover list' says")
    approve.add_argument(
        "--by", metavar="NAME", required=True, help="who takes the decision; it is logged"
    )
    reverse = add_action(actions, "reverse", "prepare the way back and show its steps")
    reverse.add_argument("failover", metavar="FAILOVER", help="as 'holdfast failover list' says")
    add_action(actions, "list", "all failovers, oldest first")
    show = add_action(actions, "show", "the steps of a failover, and its log")
    show.add_argument("failover", metavar="FAILOVER", help="as 'holdfast failover list' says")
