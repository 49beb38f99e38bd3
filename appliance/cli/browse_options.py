"""The arguments of ls, cat, get, history and find."""

from __future__ import annotations

import argparse

from appliance.cli.retain_options import add_point

_PATHS = (
    "/ is the root filesystem of the machine, found by what is on it; the others are /@disk0p2, "
    "/@disk0-GROUP-VOLUME and the like. Nothing is mounted: readers in a confined process."
)


def add_ls(parser: argparse.ArgumentParser) -> None:
    """Arguments of ls."""
    parser.description = f"List a directory inside a point. {_PATHS}"
    add_point(parser)
    parser.add_argument("path", metavar="PATH", nargs="?", default="/", help="default /")
    parser.add_argument("--directory", action="store_true", help="show the directory itself")


def add_cat(parser: argparse.ArgumentParser) -> None:
    """Arguments of cat."""
    parser.description = f"Write a file inside a point to standard output. {_PATHS}"
    add_point(parser)
    parser.add_argument("path", metavar="PATH", help="the file")


def add_get(parser: argparse.ArgumentParser) -> None:
    """Arguments of get."""
    parser.description = (
        "Fetch files and trees from inside a point, with owner, mode, times, attributes, ACLs, "
        f"links and holes. {_PATHS} What cannot be restored is named, the rest is restored, and "
        "the exit code is 3."
    )
    add_point(parser)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files or directories")
    parser.add_argument(
        "target", metavar="TARGET", help="a directory, made if it is missing; - streams an archive"
    )
    parser.add_argument(
        "--privileged",
        action="store_true",
        help="devices, setuid and setgid bits, capabilities and trusted attributes too: root only",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace files in TARGET that have the same names"
    )
