"""The arguments of policy and machines."""

from __future__ import annotations

import argparse

from appliance.cli.global_options import add_action
from appliance.cli.retain_options import add_rules
from appliance.formats.policy import TRASH_DAYS
from appliance.policies.presets import PRESETS

_SET = """\
Change what a machine is promised, or the default of all that have none of their own: when it is
backed up, where its points go, how far it may fall behind, when its recovery is rehearsed. What is
not given stays as it is; a --preset comes first. The --keep options replace what is kept as a
whole: a point stays if any rule keeps it. Times are local times of the box. TIMES: '22:00',
'12:30,18:00 mon-fri', 'hourly', 'hourly 7-19 mon-fri', 'every 2h', 'cron 0 22 * * 1-5'.
"""
_ADD = """\
Tell the box of a machine and what to back up when its policy says so: the raw images or block
devices that are its disks, in their order. A machine that somebody else backs up, with 'holdfast
backup' from a script, needs no source. Adding it again replaces its sources.
"""


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Arguments of policy and what it can do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = add_action(actions, "show", "what is promised and kept")
    show.add_argument("--machine", metavar="NAME", help="what holds for this machine")
    _add_set(add_action(actions, "set", "change what is promised, or what is kept", _SET))
    clear = add_action(actions, "clear", "take a policy away", "The default holds again.")
    clear.add_argument("--machine", metavar="NAME", help="this machine (default: all others)")
    add_action(
        actions,
        "presets",
        "ready policies for a branch office",
        "Ready policies: 'holdfast policy set --preset NAME' takes one, for one machine or all.",
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--machine", metavar="NAME", help="this machine (default: all others)")
    names = [preset.name for preset in PRESETS]
    parser.add_argument("--preset", choices=names, help="begin with this, as 'presets' shows it")
    when = parser.add_argument_group("backups")
    when.add_argument(
        "--at", metavar="TIMES", action="append", help="begin then; may be repeated; or 'never'"
    )
    when.add_argument(
        "--cron", metavar="EXPR", action="append", help="for experts: five fields, as Debian's cron"
    )
    when.add_argument(
        "--blackout",
        metavar="W",
        action="append",
        help="begin none then, but afterwards: 'mon-fri 08:00-10:00'; may be repeated; or 'none'",
    )
    when.add_argument(
        "--jitter", metavar="MIN", type=float, help="begin up to so much later, to spread the load"
    )
    when.add_argument(
        "--priority", metavar="N", type=int, help="0 goes first, 100 last (default 50)"
    )
    when.add_argument(
        "--rpo",
        metavar="HOURS",
        type=float,
        help="how old the newest good point may be; older is a finding that grows louder "
        "(0: as the schedule comes to)",
    )
    _add_targets(parser)
    kept = parser.add_argument_group("what is kept")
    add_rules(kept)
    kept.add_argument(
        "--trash-days",
        metavar="N",
        type=int,
        default=TRASH_DAYS,
        help=f"days for which forgotten points can be brought back (default {TRASH_DAYS})",
    )
    kept.add_argument(
        "--no-skip-trash", action="store_true", help="forbid 'forget --now' for these points"
    )


def _add_targets(parser: argparse.ArgumentParser) -> None:
    away = parser.add_argument_group("off site")
    away.add_argument(
        "--vault",
        metavar="NAME",
        action="append",
        help="copy to this vault; may be repeated; or 'all' (the default), or 'none'",
    )
    away.add_argument(
        "--offsite-rpo",
        metavar="HOURS",
        type=float,
        help="how old its newest point there may be (0: as 'vault limit' says)",
    )
    drill = parser.add_argument_group("drills")
    drill.add_argument(
        "--drill", metavar="TIMES", action="append", help="rehearse its recovery; or 'never'"
    )
    drill.add_argument(
        "--rto", metavar="HOURS", type=float, help="how long recovery may take (0: no target)"
    )


def add_machines(parser: argparse.ArgumentParser) -> None:
    """Arguments of machines and what it can do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "list", "every machine, how it is doing, and when it is next")
    show = add_action(actions, "show", "one machine and what it is promised")
    add = add_action(actions, "add", "a machine, and what to back up of it", _ADD)
    add.add_argument("name", metavar="NAME", help="what to call it")
    add.add_argument("sources", metavar="SOURCE", nargs="*", help="raw image or block device")
    add.add_argument(
        "--allow-inconsistent",
        action="store_true",
        help="read block devices although they are mounted read-write; points say so",
    )
    names = [preset.name for preset in PRESETS]
    add.add_argument("--preset", choices=names, help="promise it this, as 'policy presets' shows")
    rename = add_action(
        actions,
        "rename",
        "call a machine something else",
        "Call a machine NEW from now on, and all its points with it; nothing is copied. Earlier "
        "names go on meaning it, and no other machine can have one of them.",
    )
    pause = add_action(
        actions,
        "pause",
        "let no backup of it begin by itself",
        "Nothing of the machine begins by itself until 'resume'. After two weeks the box reminds.",
    )
    resume = add_action(
        actions,
        "resume",
        "end a pause, or bring a retired machine back",
        "Go on as the policy says; what was missed meanwhile is not caught up.",
    )
    retire = add_action(
        actions,
        "retire",
        "the machine is gone for good",
        "Its policy ends: nothing begins by itself and nothing is missed. Its points stay, and age "
        "by what is kept; 'forget' removes them sooner.",
    )
    for action in (show, rename, pause, resume, retire):
        action.add_argument("name", metavar="NAME", help="as 'holdfast machines list' calls it")
    rename.add_argument("new", metavar="NEW", help="what to call it")
