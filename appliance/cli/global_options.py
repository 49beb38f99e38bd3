"""What every command has: its options, and how the things that it can do are added."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """Global options may stand before or after the command, so they have no default here."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=argparse.SUPPRESS,
        help="where everything is kept (HOLDFAST_STATE, else /var/lib/holdfast)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON object on standard output",
    )
    parser.add_argument(
        "--passphrase-file",
        metavar="F",
        type=Path,
        default=argparse.SUPPRESS,
        help="file whose first line is the passphrase of the store",
    )


def add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    text: str = "",
) -> argparse.ArgumentParser:
    """One of the things that a command can do; `text` tells more than the summary."""
    parser = actions.add_parser(name, help=summary, description=text or summary, allow_abbrev=False)
    add_global_options(parser)
    return parser
