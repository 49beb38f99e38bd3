"""Time zone and time servers of the host, through timedated and timesyncd.

Owns one drop-in of timesyncd. Never sets the clock itself: a time server does.
"""

from __future__ import annotations

import ipaddress
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base.durable import make_directory, named_os_errors, remove_file, write_file
from appliance.base.errors import UsageError
from appliance.formats.host_names import is_host_name
from appliance.host.host import Host, Obstacle, list_words, require

SERVERS_MAX = 10
_DROP_IN = "etc/systemd/timesyncd.conf.d/50-holdfast.conf"
_ZONES = "usr/share/zoneinfo"
_PROGRAM = "lib/systemd/systemd-timesyncd"
_HEADING = "# Written by 'holdfast box time', which also takes it away.\n"
_OTHERS = {"usr/sbin/chronyd": "chrony", "usr/sbin/ntpd": "ntpd", "usr/sbin/ntpsec": "ntpsec"}


@dataclass(frozen=True)
class Timing:
    """How the host is set.

    Attributes:
        zone: as `Europe/Berlin`.
        servers: what was set here; empty: those of the network or of the distribution.
    """

    zone: str
    servers: tuple[str, ...]


def read_timing(host: Host) -> Timing:
    """As it is set now."""
    return Timing(_read_zone(host), _read_servers(host))


def find_server_obstacle(host: Host) -> Obstacle | None:
    """Why time servers cannot be set here."""
    obstacle = host.find_obstacle()
    if obstacle is not None:
        return obstacle
    for program, name in _OTHERS.items():
        if host.path(program).exists():
            return Obstacle("other-time-service", f"{name} keeps the clock: set its servers there")
    if not host.path(_PROGRAM).exists():
        return Obstacle(
            "no-timesyncd",
            "no time service is installed: apt-get install systemd-timesyncd",
        )
    return None


def set_zone(host: Host, zone: str) -> None:
    """Set the host's time zone. Raises UsageError for one that does not exist, AccessError."""
    if not _is_zone(zone) or not host.path(f"{_ZONES}/{zone}").is_file():
        raise UsageError(f"'{zone}' is no time zone: one looks like 'Europe/Berlin' or 'UTC'")
    require(host.find_obstacle())
    host.run("timedatectl", "set-timezone", zone)


def set_servers(host: Host, servers: Sequence[str]) -> None:
    """Let the clock follow these servers, or without any those of the network, durably.

    Raises UsageError for what is no address and no name, AccessError where it cannot be set.
    """
    checked = [_check_server(server) for server in servers]
    if len(checked) > SERVERS_MAX:
        raise UsageError(f"at most {SERVERS_MAX} time servers")
    require(find_server_obstacle(host))
    path = host.path(_DROP_IN)
    if checked:
        make_directory(path.parent, 0o755)
        write_file(path, f"{_HEADING}[Time]\nNTP={list_words(checked)}\n".encode(), 0o644)
        with named_os_errors(path):
            path.chmod(0o644)  # whatever our umask is: the service is another user
    elif path.exists():
        remove_file(path)
    host.run("timedatectl", "set-ntp", "true")
    host.run("systemctl", "restart", "systemd-timesyncd.service")


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _check_server(text: str) -> str:
    name = text.strip().lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if is_host_name(name):
            return name
    raise UsageError(f"'{text}' is no time server: give an address, or a name as 'pool.ntp.org'")


def _read_zone(host: Host) -> str:
    place = host.path("etc/localtime")
    try:
        target = place.readlink() if place.is_symlink() else Path()
    except OSError:
        return "UTC"
    _, found, zone = str(target).partition("zoneinfo/")
    return zone.removeprefix("Etc/") if found else "UTC"


def _read_servers(host: Host) -> tuple[str, ...]:
    try:
        lines = host.path(_DROP_IN).read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    found = [line.removeprefix("NTP=").split() for line in lines if line.startswith("NTP=")]
    return tuple(found[-1]) if found else ()
