"""What this box is called: its names, and the addresses it has now."""

from __future__ import annotations

import ipaddress
import socket

import psutil

from appliance.formats.host_names import is_host_name

_NAMES_MAX = 100


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
