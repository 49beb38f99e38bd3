"""How one port gets its addresses: checked, and as systemd-networkd's files spell it.

Owns what may be asked for, and what of such a file is understood. Pure: it reads and writes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from typing import Any

from appliance.base.errors import UsageError

ADDRESSES_MAX = 16
_PORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""IFNAMSIZ of Linux less one; what is left out means something in a pattern of networkd."""
_POINT_TO_POINT = (31, 127)
# What may stand in such a file and does no harm when ours takes its place.
_UNDERSTOOD = {
    "Match": None,
    "Link": frozenset({"RequiredForOnline"}),
    "Network": frozenset(
        {"Address", "DHCP", "DNS", "Description", "Gateway", "LLDP", "LinkLocalAddressing"}
    ),
    "Address": frozenset({"Address"}),
    "Route": frozenset({"Gateway"}),
}
_DYNAMIC = frozenset({"yes", "true", "1", "on", "both", "ipv4", "ipv6", "v4", "v6"})

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True)
class Addressing:
    """What a port is to have.

    Attributes:
        is_dynamic: whether a server of the network gives addresses (DHCP).
        addresses: fixed ones, each with the length of its prefix.
        gateways: the way out, at most one for each version of the protocol.
        dns: who is asked for names.
    """

    is_dynamic: bool
    addresses: tuple[Interface, ...] = ()
    gateways: tuple[Address, ...] = ()
    dns: tuple[Address, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "is_dynamic": self.is_dynamic,
            "addresses": [str(one) for one in self.addresses],
            "gateways": [str(one) for one in self.gateways],
            "dns": [str(one) for one in self.dns],
        }


def check_port_name(name: str) -> bool:
    """Whether a file of networkd can mean this port and no other."""
    return _PORT.fullmatch(name) is not None


def parse_addressing(
    *,
    is_dynamic: bool,
    addresses: Sequence[str] = (),
    gateways: Sequence[str] = (),
    dns: Sequence[str] = (),
) -> Addressing:
    """What was typed. Raises UsageError for what no port could have or nobody could reach."""
    if max(len(addresses), len(gateways), len(dns)) > ADDRESSES_MAX:
        raise UsageError(f"at most {ADDRESSES_MAX} addresses of a kind")
    found = Addressing(
        is_dynamic,
        tuple(_parse_own(text) for text in addresses),
        tuple(_parse_address(text, "gateway") for text in gateways),
        tuple(_parse_address(text, "name server") for text in dns),
    )
    if is_dynamic and (found.addresses or found.gateways):
        raise UsageError("DHCP gives address and gateway: name only name servers with it")
    if not is_dynamic and not found.addresses:
        raise UsageError("an address is missing, as 192.168.1.10/24; or let DHCP give one")
    if len({one.ip for one in found.addresses}) < len(found.addresses):
        raise UsageError("an address is named twice")
    for gateway in found.gateways:
        _check_gateway(gateway, found)
    if len({one.version for one in found.gateways}) < len(found.gateways):
        raise UsageError("one gateway for IPv4 and one for IPv6: that is all there can be")
    return found


def _parse_own(text: str) -> Interface:
    given = text.strip()
    try:
        found = ip_interface(given)
    except ValueError as error:
        raise UsageError(f"'{text}' is no address: one looks like 192.168.1.10/24") from error
    if "/" not in given:
        raise UsageError(f"'{text}' lacks the length of its prefix, as {found.ip}/24")
    if not _is_reachable(found.ip):
        raise UsageError(f"'{text}' is an address that no other machine reaches")
    network = found.network
    if network.prefixlen == 0:
        raise UsageError(f"'{text}': a prefix of 0 would be the whole world")
    if network.prefixlen < network.max_prefixlen - 1 and found.ip == network.network_address:
        raise UsageError(f"'{text}' is the network itself: choose an address inside it")
    if (
        found.version == 4
        and network.prefixlen not in (*_POINT_TO_POINT, 32)
        and found.ip == network.broadcast_address
    ):
        raise UsageError(f"'{text}' is the broadcast address of its network")
    return found


def _parse_address(text: str, what: str) -> Address:
    try:
        found = ip_address(text.strip())
    except ValueError as error:
        raise UsageError(f"'{text}' is no address of a {what}: one looks like 192.168.1.1") from (
            error
        )
    if found.is_unspecified or found.is_multicast or getattr(found, "scope_id", None):
        raise UsageError(f"'{text}' cannot be the address of a {what}")
    return found


def _is_reachable(address: Address) -> bool:
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.version == 4 and address.is_reserved)
        or getattr(address, "scope_id", None)
    )


def _check_gateway(gateway: Address, addressing: Addressing) -> None:
    if any(gateway == one.ip for one in addressing.addresses):
        raise UsageError(f"{gateway} is the box itself: the gateway is another machine")
    if gateway.version == 6 and gateway.is_link_local:
        return
    near = [one.network for one in addressing.addresses if one.version == gateway.version]
    if not any(gateway in network for network in near):
        given = ", ".join(map(str, addressing.addresses))
        raise UsageError(f"the gateway {gateway} is not in the network of {given}: nothing leaves")


def format_network_file(port: str, addressing: Addressing, heading: str) -> str:
    """The file of networkd that gives this port what it is to have."""
    lines = [f"# {heading}", "[Match]", f"Name={port}", "", "[Network]"]
    lines.append(f"DHCP={'yes' if addressing.is_dynamic else 'no'}")
    lines += [f"Address={one}" for one in addressing.addresses]
    lines += [f"Gateway={one}" for one in addressing.gateways]
    lines += [f"DNS={one}" for one in addressing.dns]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class NetworkFile:
    """What a file of networkd says.

    Attributes:
        more: settings that are no addresses, as `Network: VLAN`; they would be lost with the file.
    """

    addressing: Addressing
    more: tuple[str, ...]


def read_network_file(text: str) -> NetworkFile:
    """What the file says; what is no address in it is left out."""
    said: dict[str, list[str]] = {"DHCP": [], "Address": [], "Gateway": [], "DNS": []}
    more = []
    for section, key, value in _list_settings(text):
        keys = _UNDERSTOOD.get(section, frozenset())
        if keys is not None and key not in keys:
            more.append(f"{section}: {key}")
        elif section in ("Network", "Address", "Route") and key in said:
            said[key] += value.split() or [""]
    return NetworkFile(
        Addressing(
            bool(said["DHCP"]) and said["DHCP"][-1].lower() in _DYNAMIC,
            tuple(_keep_right(ip_interface, said["Address"])),
            tuple(_keep_right(ip_address, said["Gateway"])),
            tuple(_keep_right(ip_address, said["DNS"])),
        ),
        tuple(dict.fromkeys(more)),
    )


def _list_settings(text: str) -> Iterable[tuple[str, str, str]]:
    section = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;" and "=" in line:
            key, _, value = line.partition("=")
            yield section, key.strip(), value.strip()


def _keep_right(parse: Any, texts: Iterable[str]) -> Iterable[Any]:
    for text in texts:
        try:
            yield parse(text)
        except ValueError:
            continue
