"""What this box is called: its names, and the addresses it has now."""

from __future__ import annotations

import ipaddress
import re
import socket

import psutil

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NAMES_MAX = 100


def is_host_name(name: str) -> bool:
    """Whether `name`, in lower case, can be a host's."""
    labels = name.split(".")
    return len(name) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def list_names(more: tuple[str, ...] = ()) -> list[str]:
    """Names first, then addresses; the first is the one to show. `more` was configured."""
    host = socket.gethostname().lower()
    names = [*map(str.lower, more), host, host.split(".")[0], f"{host.split('.')[0]}.local"]
    names.append("localhost")
    addresses = []
    for interface in psutil.net_if_addrs().values():
        for item in interface:
            if item.family in (socket.AF_INET, socket.AF_INET6):
                addresses.append(ipaddress.ip_address(item.address.split("%", 1)[0]))
    ordered = sorted(set(addresses), key=lambda item: (item.is_link_local, item.version, item))
    found = [name for name in names if is_host_name(name)]
    return list(dict.fromkeys([*found, *map(str, ordered)]))[:_NAMES_MAX]
