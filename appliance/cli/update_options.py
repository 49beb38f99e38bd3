"""The arguments of update."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_action

_UPDATE = """\
New releases of this software, as signed files. They lie side by side: an installed one is started
on trial, and if it does not become ready, the one before takes over again. Without the signature of
a key that this box trusts nothing of a file is used.
"""
_FILE = "an update: holdfast-VERSION.update (default: what was uploaded on the page)"


def add_update(parser: argparse.ArgumentParser) -> None:
    """Arguments of update and what it can do."""
    parser.description = _UPDATE
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "status", "what runs, since when, and what ran before")
    check = add_action(
        actions, "check", "who signed an update, and whether it fits here; change nothing"
    )
    install = add_action(actions, "install", "install an update, and start it on trial")
    back = add_action(actions, "back", "go back to the release before this one")
    for action in (check, install):
        action.add_argument("file", metavar="FILE", type=Path, nargs="?", help=_FILE)
    for action in (install, back):
        action.add_argument(
            "--wait", action="store_true", help="wait for jobs that run (default: name them, stop)"
        )
