"""The options that every command has."""

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
