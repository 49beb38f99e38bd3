"""The ports of the host: what addresses they have, who gave them, and whether that can be set.

Owns what is asked of networkd. Only systemd-networkd is set; where another program keeps the
addresses, they are shown, and who keeps them.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from appliance.base.errors import HoldfastError, NotFoundError
from appliance.host.addressing import (
    Addressing,
    NetworkFile,
    check_port_name,
    read_network_file,
)
from appliance.host.host import Host, Obstacle

FILES = "etc/systemd/network"
FILE_PREFIX = "01-holdfast-"
"""Of the files that we keep: networkd takes the first one, by name, that means a port."""
_FILE_MAX_BYTES = 1 << 16
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True)
class Port:
    """One port.

    Attributes:
        addresses: those that it has now, with their prefixes.
        wanted: what its file gives it; None where no file is known.
        file: that file of networkd, or empty.
        obstacle: why it cannot be set; None where it can.
    """

    name: str
    has_link: bool
    addresses: tuple[str, ...]
    wanted: Addressing | None
    file: str
    obstacle: Obstacle | None

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "name": self.name,
            "has_link": self.has_link,
            "addresses": list(self.addresses),
            "wanted": None if self.wanted is None else self.wanted.to_json(),
            "file": self.file,
            "obstacle": None if self.obstacle is None else self.obstacle.to_json(),
        }


class Ports:
    """The ports of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def find_obstacle(self) -> Obstacle | None:
        """Why no port can be set; None where some may be."""
        return self._host.find_obstacle() or self._find_manager(self._ask_networkd())

    def list(self) -> list[Port]:
        """All ports with hardware behind them or a file of networkd, by name."""
        links = self._ask_networkd()
        obstacle = self._host.find_obstacle() or self._find_manager(links)
        states = psutil.net_if_stats()
        return [
            self._read(name, states, (links or {}).get(name), obstacle)
            for name in sorted(states)
            if self._is_port(name, (links or {}).get(name))
        ]

    def find(self, name: str) -> Port:
        """The port of that name. Raises NotFoundError."""
        found = self.list()
        for port in found:
            if port.name == name:
                return port
        raise NotFoundError(f"no port '{name}': {', '.join(port.name for port in found) or 'none'}")

    def file_in_force(self, name: str) -> str:
        """The file by which networkd sets this port now; empty for none."""
        return str(((self._ask_networkd() or {}).get(name) or {}).get("NetworkFile") or "")

    def has_resolver(self) -> bool:
        """Whether name servers of ports are asked: by systemd-resolved, where it is in charge."""
        target = self._host.path("etc/resolv.conf").resolve()
        return self._host.path("run/systemd/resolve").resolve() in target.parents

    # ---- who keeps the addresses ----

    def _ask_networkd(self) -> dict[str, dict[str, Any]] | None:
        """Its links by name; None where it does not run."""
        if not self._host.path("run/systemd/system").is_dir():
            return None
        try:
            said = json.loads(self._host.run("networkctl", "--json=short", "list"))
            return {str(one["Name"]): one for one in said["Interfaces"]}
        except (HoldfastError, ValueError, KeyError, TypeError):
            return None

    def _find_manager(self, links: dict[str, dict[str, Any]] | None) -> Obstacle | None:
        if links is not None:
            return None
        if self._has_network_manager():
            return Obstacle(
                "network-manager", "NetworkManager keeps the addresses: set them with 'nmcli'"
            )
        if self._list_of_ifupdown():
            return Obstacle(
                "ifupdown", "ifupdown keeps the addresses: set them in /etc/network/interfaces"
            )
        return Obstacle("no-networkd", "systemd-networkd does not run: set addresses on the host")

    def _has_network_manager(self) -> bool:
        return self._host.path("run/NetworkManager").is_dir()

    def _list_of_ifupdown(self) -> set[str]:
        """The ports that it has brought up."""
        try:
            lines = self._host.path("run/network/ifstate").read_text("utf-8", "replace").split()
        except OSError:
            return set()
        return {line.partition("=")[0] for line in lines} - {"lo"}

    # ---- one port ----

    def _is_port(self, name: str, link: dict[str, Any] | None) -> bool:
        is_ours = link is not None and link.get("AdministrativeState") not in (None, "unmanaged")
        return name != "lo" and (is_ours or self._sys(name, "device").exists())

    def _read(
        self,
        name: str,
        states: dict[str, Any],
        link: dict[str, Any] | None,
        obstacle: Obstacle | None,
    ) -> Port:
        file = str((link or {}).get("NetworkFile") or "")
        said = self._read_file(file)
        return Port(
            name,
            bool(states[name].isup),
            tuple(_list_addresses(name)),
            None if said is None else said.addressing,
            file,
            obstacle or self._find_port_obstacle(name, link or {}, file, said),
        )

    def _find_port_obstacle(
        self, name: str, link: dict[str, Any], file: str, said: NetworkFile | None
    ) -> Obstacle | None:
        if not check_port_name(name):
            return Obstacle("odd-name", f"no file of networkd can mean '{name}' alone: rename it")
        master = self._sys(name, "master")
        if master.exists():
            whose = master.resolve().name
            return Obstacle("is-part", f"{name} is a part of {whose}: set the addresses of {whose}")
        if link.get("AdministrativeState") == "unmanaged":
            if self._has_network_manager():
                return Obstacle("network-manager", f"NetworkManager keeps {name}: use 'nmcli'")
            if name in self._list_of_ifupdown():
                return Obstacle("ifupdown", f"{name} is set in /etc/network/interfaces")
        return self._find_file_obstacle(name, file, said)

    def _find_file_obstacle(
        self, name: str, file: str, said: NetworkFile | None
    ) -> Obstacle | None:
        if not file or _is_own(file):
            return None
        if "netplan" in Path(file).name:
            return Obstacle("netplan", "netplan writes the addresses: set them in /etc/netplan")
        more = "" if said is None else ", ".join(said.more)
        if said is None or more or self._has_drop_ins(file):
            what = more or "its drop-ins"
            return Obstacle(
                "more-in-file",
                f"{file} says more of {name} than addresses ({what}): change it there",
            )
        if Path(file).name < FILE_PREFIX:
            return Obstacle("file-first", f"{file} comes before any other file: change it there")
        return None

    def _has_drop_ins(self, file: str) -> bool:
        folder = f"systemd/network/{Path(file).name}.d"
        return any(self._host.path(f"{top}/{folder}").is_dir() for top in ("etc", "run", "lib"))

    def _read_file(self, file: str) -> NetworkFile | None:
        if not file:
            return None
        try:
            with self._host.path(file.lstrip("/")).open("rb") as stream:
                return read_network_file(stream.read(_FILE_MAX_BYTES).decode("utf-8", "replace"))
        except OSError:
            return None

    def _sys(self, name: str, what: str) -> Path:
        return self._host.path(f"sys/class/net/{name}/{what}")


def _is_own(file: str) -> bool:
    return "-holdfast-" in Path(file).name


def _list_addresses(name: str) -> list[str]:
    """Those of a port now, with prefixes, those for this link only last."""
    found = []
    for item in psutil.net_if_addrs().get(name, ()):
        if item.family in _FAMILIES and item.netmask:
            address = item.address.partition("%")[0]
            is_local = address.startswith(("fe80:", "169.254."))
            found.append((is_local, f"{address}/{_count_bits(item.netmask)}"))
    return [text for _, text in sorted(found)]


def _count_bits(netmask: str) -> int:
    family = socket.AF_INET6 if ":" in netmask else socket.AF_INET
    return sum(byte.bit_count() for byte in socket.inet_pton(family, netmask))
