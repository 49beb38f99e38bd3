"""The arguments of update."""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.cli.global_options import add_global_options

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
    _add(actions, "status", "what runs, since when, and what ran before")
    check = _add(actions, "check", "who signed an update, and whether it fits here; change nothing")
    install = _add(actions, "install", "install an update, and start it on trial")
    back = _add(actions, "back", "go back to the release before this one")
    for action in (check, install):
        action.add_argument("file", metavar="FILE", type=Path, nargs="?", help=_FILE)
    for action in (install, back):
        action.add_argument(
            "--wait", action="store_true", help="wait for jobs that run (default: name them, stop)"
        )


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    add_global_options(parser)
    return parser
