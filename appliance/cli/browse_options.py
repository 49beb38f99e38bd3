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
    parser.add_argument(
        "--limit",
        metavar="N",
        type=int,
        default=100_000,
        help="show no more than N entries, sorted among themselves (default 100000)",
    )


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
    parser.add_argument(
        "--format", choices=("tar", "zip"), default="tar", help="of the archive on - (default tar)"
    )


def add_history(parser: argparse.ArgumentParser) -> None:
    """Arguments of history."""
    parser.description = (
        "The versions of a file in a machine's points, newest first. Points in which size, times "
        f"and rights are the same share a version. {_PATHS}"
    )
    _add_machine(parser)
    parser.add_argument("path", metavar="PATH", help="the file or directory")


def add_find(parser: argparse.ArgumentParser) -> None:
    """Arguments of find."""
    parser.description = (
        "Search a machine's points, newest first, for files by their name: * and ? stand for "
        "anything, and case does not matter. Each version is shown once, with its points."
    )
    _add_machine(parser)
    parser.add_argument("name", metavar="NAME", help="as in '*.docx'; quote it for the shell")
    parser.add_argument("--below", metavar="PATH", default="/", help="look only here (default /)")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", metavar="MACHINE", help="as 'holdfast points' lists it")
    parser.add_argument(
        "--points", metavar="N", type=int, default=30, help="the N newest points (default 30)"
    )
