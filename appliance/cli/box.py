"""box show, name, time, network, keep, undo."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from appliance.base.errors import HoldfastError, NotFoundError, UsageError
from appliance.base.text import printable
from appliance.cli.exit_codes import DONE
from appliance.cli.session import Session
from appliance.health.timekeeping import read_clock
from appliance.host.addressing import parse_addressing
from appliance.host.host import Host, Obstacle
from appliance.host.naming import read_name, set_name
from appliance.host.ports import Port, Ports
from appliance.host.timing import find_server_obstacle, read_timing, set_servers, set_zone
from appliance.host.trial import Trial, Trials

_LOOK_EVERY_S = 0.3


def box(session: Session, options: argparse.Namespace) -> int:
    """Do one of the actions."""
    host = Host()
    with suppress(HoldfastError):  # who only looks does not fail for it
        Trials(host, session.clock).undo_late()
    return _ACTIONS[options.action](session, host, options)


def _show(session: Session, host: Host, _: argparse.Namespace) -> int:
    value = describe(session, host)
    session.console.result(value, printable_lines(_list_facts(value)))
    return DONE


def describe(session: Session, host: Host) -> dict[str, Any]:
    """As `--json` prints it."""
    ports, timing, clock = Ports(host), read_timing(host), read_clock()
    trials = Trials(host, session.clock)
    trial = trials.current()
    return {
        "name": {"now": read_name(), "obstacle": _json(host.find_obstacle())},
        "time": {
            "zone": timing.zone,
            "servers": list(timing.servers),
            "is_synchronised": clock.is_synchronised,
            "obstacle": _json(host.find_obstacle()),
            "server_obstacle": _json(find_server_obstacle(host)),
        },
        "network": {
            "ports": [port.to_json() for port in ports.list()],
            "has_resolver": ports.has_resolver(),
            "obstacle": _json(ports.find_obstacle()),
            "trial": None
            if trial is None
            else {"port": trial.port, "left_s": max(0, round(trials.left_s(trial)))},
        },
    }


def _json(obstacle: Obstacle | None) -> dict[str, str] | None:
    return None if obstacle is None else obstacle.to_json()


def _list_facts(value: dict[str, Any]) -> list[str]:
    time, network = value["time"], value["network"]
    follows = {True: "follows a time server", False: "follows no time server", None: "not known"}
    lines = [
        f"name   {value['name']['now']}",
        f"time   {time['zone']}; the clock: {follows[time['is_synchronised']]}"
        + (f" ({', '.join(time['servers'])})" if time["servers"] else ""),
    ]
    for port in network["ports"]:
        link = "" if port["has_link"] else "  no link"
        lines.append(f"port   {port['name']}  {', '.join(port['addresses']) or 'no address'}{link}")
        obstacle = port["obstacle"]
        if obstacle is not None and network["obstacle"] is None:
            lines.append(f"       cannot be set: {obstacle['text']}")
    if network["trial"] is not None:
        trial = network["trial"]
        lines.append(
            f"trial  {trial['port']}: 'holdfast box keep' within {trial['left_s']} s, or it goes"
        )
    said = (value["name"]["obstacle"], time["server_obstacle"], network["obstacle"])
    reasons = dict.fromkeys(one["text"] for one in said if one is not None)
    return lines + [f"note   {reason}" for reason in reasons]


def printable_lines(lines: list[str]) -> str:
    """One text, without what would move a terminal."""
    return "\n".join(map(printable, lines))


def _name(session: Session, host: Host, options: argparse.Namespace) -> int:
    set_name(host, options.name)
    name = read_name()
    session.console.result(
        {"name": name}, f"{printable(name)}; the certificate follows within a minute"
    )
    return DONE


def _time(session: Session, host: Host, options: argparse.Namespace) -> int:
    if options.zone is None and not options.server and not options.default_servers:
        raise UsageError("nothing to set: --zone, --server or --default-servers")
    if options.zone is not None:
        set_zone(host, options.zone)
    if options.server or options.default_servers:
        set_servers(host, options.server)
    timing = read_timing(host)
    servers = ", ".join(timing.servers) or "those of the network"
    session.console.result(
        {"zone": timing.zone, "servers": list(timing.servers)},
        f"{timing.zone}; time servers: {servers}",
    )
    return DONE


def _network(session: Session, host: Host, options: argparse.Namespace) -> int:
    addressing = parse_addressing(
        is_dynamic=options.dhcp,
        addresses=options.address,
        gateways=options.gateway,
        dns=options.dns,
    )
    ports, trials = Ports(host), Trials(host, session.clock)
    port = ports.find(options.port)
    _check_unused(ports, port, addressing.to_json()["addresses"])
    trial = trials.begin(port, addressing, options.within)
    session.console.note(
        f"{port.name} has other addresses: 'holdfast box keep' within {options.within} s, or it is "
        "as it was"
    )
    try:
        _await_word(session, trials, trial)
    except BaseException:
        with suppress(NotFoundError):
            trials.undo(trial)
        raise
    if not trials.was_kept(trial):
        raise HoldfastError(
            f"nobody kept the new addresses of {port.name} within {options.within} s: "
            "it is as it was"
        )
    after = ports.find(port.name)
    session.console.result(after.to_json(), f"{port.name}: {', '.join(after.addresses)}")
    return DONE


def _check_unused(ports: Ports, port: Port, addresses: list[str]) -> None:
    """Raises UsageError for an address that another port of this host has."""
    wanted = {address.partition("/")[0] for address in addresses}
    for other in ports.list():
        taken = wanted & {address.partition("/")[0] for address in other.addresses}
        if taken and other.name != port.name:
            raise UsageError(f"{other.name} has {taken.pop()} already")


def _await_word(session: Session, trials: Trials, trial: Trial) -> None:
    """Until somebody kept it or gave it up; undoes it when it is over."""
    progress, clock = session.console.progress, session.clock
    progress.phase("waiting for 'box keep'", max(1, round(trials.left_s(trial))), "items")
    began_s, told = clock.monotonic_s(), 0
    while (now := trials.current()) is not None and now.id == trial.id:
        passed = int(clock.monotonic_s() - began_s)
        progress.advance(passed - told)  # raises Cancelled
        told = passed
        if trials.left_s(trial) <= 0:
            with suppress(NotFoundError):
                trials.undo(trial)
            return
        clock.sleep_s(_LOOK_EVERY_S)


def _keep(session: Session, host: Host, _: argparse.Namespace) -> int:
    trial = Trials(host, session.clock).keep()
    session.console.result({"port": trial.port}, f"{trial.port} keeps its new addresses")
    return DONE


def _undo(session: Session, host: Host, _: argparse.Namespace) -> int:
    trial = Trials(host, session.clock).undo()
    session.console.result({"port": trial.port}, f"{trial.port or 'all'} is as it was")
    return DONE


_ACTIONS: dict[str, Callable[[Session, Host, argparse.Namespace], int]] = {
    "show": _show,
    "name": _name,
    "time": _time,
    "network": _network,
    "keep": _keep,
    "undo": _undo,
}
