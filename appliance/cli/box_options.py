"""The arguments of box."""

from __future__ import annotations

import argparse

from appliance.cli.global_options import add_action

WITHIN_S = 60

_BOX = """\
The host itself: what it is called, its time zone and time servers, the addresses of its ports.
Where the host does not let itself be set (a container, no systemd, another program that keeps the
addresses), 'box show' says so and why.
"""
_TIME = """\
Set the time zone, the servers that the clock follows, or both. The clock is never set by hand:
points are named by the time, and what a vault must not delete is counted by it.
"""
_NETWORK = """\
Give a port other addresses, on trial: unless 'holdfast box keep' is said in time, by somebody who
still reaches the box, everything is as it was; also when the box restarts meanwhile. Only where
systemd-networkd keeps the addresses.
"""


def add_box(parser: argparse.ArgumentParser) -> None:
    """Arguments of box and what it can do."""
    parser.description = _BOX
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_action(actions, "show", "name, time, ports, and what can be set here")
    name = add_action(actions, "name", "call the host otherwise")
    name.add_argument("name", metavar="NAME", help="as vault7, or vault7.branch.example")
    _add_time(add_action(actions, "time", "set time zone and time servers", _TIME))
    _add_network(add_action(actions, "network", "give a port other addresses, on trial", _NETWORK))
    add_action(actions, "keep", "keep the addresses that are on trial")
    add_action(actions, "undo", "give up the addresses that are on trial")


def _add_time(time: argparse.ArgumentParser) -> None:
    time.add_argument("--zone", metavar="ZONE", help="as Europe/Berlin or UTC")
    servers = time.add_mutually_exclusive_group()
    servers.add_argument(
        "--server",
        metavar="HOST",
        action="append",
        default=[],
        help="a time server, by name or address; may be repeated",
    )
    servers.add_argument(
        "--default-servers",
        action="store_true",
        help="those of the network or of the distribution again",
    )


def _add_network(network: argparse.ArgumentParser) -> None:
    network.add_argument("port", metavar="PORT", help="as 'box show' calls it: eth0")
    ways = network.add_mutually_exclusive_group()
    ways.add_argument("--dhcp", action="store_true", help="a server of the network gives one")
    ways.add_argument(
        "--address",
        metavar="A/P",
        action="append",
        default=[],
        help="a fixed address and the length of its prefix, as 192.168.1.10/24; may be repeated",
    )
    for name, text in (
        ("gateway", "the way out of the network; one for IPv4, one for IPv6"),
        ("dns", "a name server; may be repeated"),
    ):
        network.add_argument(f"--{name}", metavar="A", action="append", default=[], help=text)
    network.add_argument(
        "--within",
        metavar="S",
        type=int,
        default=WITHIN_S,
        help="it is undone unless it is kept within S seconds (default %(default)s)",
    )
