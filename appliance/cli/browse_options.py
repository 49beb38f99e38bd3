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
