"""What a port may be told to have, and what of networkd's files is understood."""

from __future__ import annotations

import random

import pytest

from appliance.base.errors import UsageError
from appliance.host.addressing import (
    check_port_name,
    format_network_file,
    parse_addressing,
    read_network_file,
)

WRONG = {
    "is no address": {"addresses": ["office"]},
    "lacks the length": {"addresses": ["192.168.1.10"]},
    "no other machine reaches": {"addresses": ["127.0.0.1/8"]},
    "that no other": {"addresses": ["fe80::1/64"]},
    "whole world": {"addresses": ["192.168.1.10/0"]},
    "the network itself": {"addresses": ["192.168.1.0/24"]},
    "broadcast": {"addresses": ["192.168.1.255/24"]},
    "named twice": {"addresses": ["192.168.1.10/24", "192.168.1.10/16"]},
    "is not in the network": {"addresses": ["192.168.1.10/24"], "gateways": ["192.168.2.1"]},
    "is the box itself": {"addresses": ["192.168.1.10/24"], "gateways": ["192.168.1.10"]},
    "one gateway for": {
        "addresses": ["192.168.1.10/24"],
        "gateways": ["192.168.1.1", "192.168.1.2"],
    },
    "cannot be the address of a name server": {"addresses": ["10.0.0.2/8"], "dns": ["0.0.0.0"]},
    "no address of a gateway": {"addresses": ["10.0.0.2/8"], "gateways": ["10.0.0.1\nDHCP=yes"]},
    "an address is missing": {},
    "at most": {"addresses": ["10.0.0.2/8"], "dns": ["10.0.0.1"] * 17},
}


@pytest.mark.parametrize("words", WRONG, ids=str)
def test_what_no_port_can_have_is_refused_and_the_reason_said(words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_addressing(is_dynamic=False, **WRONG[words])


def test_with_dhcp_only_name_servers_are_named() -> None:
    assert parse_addressing(is_dynamic=True, dns=["10.0.0.1"]).is_dynamic
    for given in ({"addresses": ["10.0.0.2/8"]}, {"gateways": ["10.0.0.1"]}):
        with pytest.raises(UsageError, match="DHCP gives"):
            parse_addressing(is_dynamic=True, **given)


def test_what_is_written_is_what_is_read_again() -> None:
    wanted = parse_addressing(
        is_dynamic=False,
        addresses=["192.168.1.10/24", " 2001:db8::10/64 ", "10.1.1.0/31"],
        gateways=["192.168.1.1", "fe80::1"],
        dns=["192.168.1.1", "2001:db8::53"],
    )
    text = format_network_file("eth0", wanted, "a remark")
    found = read_network_file(text)
    assert (found.addressing, found.more) == (wanted, ())
    assert text.splitlines()[:3] == ["# a remark", "[Match]", "Name=eth0"]


def test_what_would_be_lost_with_a_file_is_named() -> None:
    text = (
        "[Match]\nType=ether\n[Network]\nDHCP=ipv4\nVLAN=office\n; Bond=no\nDNS=10.0.0.1 10.0.0.2\n"
        "[Route]\nGateway=10.0.0.9\nDestination=10.7.0.0/16\n[DHCPv4]\nRouteMetric=5\n"
    )
    found = read_network_file(text)
    assert found.more == ("Network: VLAN", "Route: Destination", "DHCPv4: RouteMetric")
    assert found.addressing.is_dynamic
    assert [str(one) for one in found.addressing.dns] == ["10.0.0.1", "10.0.0.2"]


def test_no_file_makes_the_reader_fail(seed: int) -> None:
    dice = random.Random(seed)
    pieces = [
        "[Network]",
        "[",
        "]",
        "Address=",
        "DHCP",
        "=",
        "\n",
        "\\\n",
        "10.0.0.1/24",
        "\0",
        "é",
    ]
    for _ in range(2000):
        read_network_file("".join(dice.choices(pieces, k=dice.randrange(40))))


def test_a_port_whose_name_is_a_pattern_cannot_be_meant() -> None:
    for name in ("eth0", "enp3s0f1", "br-office", "bond0.5"):
        assert check_port_name(name)
    for name in ("eth*", "!eth0", "et h0", "", "..", "-x", "a" * 16, "e\n[Link]", "e%i", "e[0]"):
        assert not check_port_name(name), name
