"""The wire of a shared network, and the addresses that QEMU takes on it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.errors import HoldfastError
from appliance.drills.network import find_doors, user_network
from appliance.drills.switch import Switch

A, B, C = (bytes([0x52, 0x54, 0, 0, 0, number]) for number in (1, 2, 3))
ALL = b"\xff" * 6


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    yield made
    made.close()


def plug(switch: Switch, folder: Path, name: str, *, hears_strangers: bool = True) -> socket.socket:
    """A card in `folder`, as QEMU makes one."""
    card = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    card.bind(str(folder / f"{name}.sock"))
    card.settimeout(60)
    switch.add_port(folder, f"hub-{name}.sock", f"{name}.sock", hears_strangers=hears_strangers)
    card.connect(str(folder / f"hub-{name}.sock"))
    return card


def test_frames_go_to_all_until_it_is_known_where_they_belong(
    switch: Switch, tmp_path: Path
) -> None:
    a, b, c = (plug(switch, tmp_path, name) for name in "abc")
    with a, b, c:
        a.send(ALL + A + b"who is b?")
        assert b.recv(100) == c.recv(100) == ALL + A + b"who is b?"
        b.send(A + B + b"me")
        assert a.recv(100) == A + B + b"me"
        a.send(B + A + b"hello")
        assert b.recv(100) == B + A + b"hello"
        a.send(ALL + A + b"end")
        assert c.recv(100) == ALL + A + b"end"  # and nothing of what a and b said before
        a.send(b"short")
        a.send(C + A + b"for somebody unknown")
        # What stood between was passed on to nobody but a: the card sees its own broadcast next.
        assert b.recv(100) == ALL + A + b"end"
        assert b.recv(100) == c.recv(100) == C + A + b"for somebody unknown"


def test_the_user_mode_network_hears_nothing_that_is_for_a_guest(
    switch: Switch, tmp_path: Path
) -> None:
    """It takes every TCP connection that it sees for one of its own, and refuses it."""
    a, b = (plug(switch, tmp_path, name) for name in "ab")
    trunk = plug(switch, tmp_path, "trunk", hears_strangers=False)
    with a, b, trunk:
        a.send(B + A + b"for somebody whose place nobody knows")
        assert b.recv(100) == B + A + b"for somebody whose place nobody knows"
        a.send(ALL + A + b"who is the gateway?")
        assert trunk.recv(100) == ALL + A + b"who is the gateway?"
        trunk.send(A + C + b"me")
        assert a.recv(100) == A + C + b"me"
        a.send(C + A + b"hello")
        assert trunk.recv(100) == C + A + b"hello"


def test_a_guest_that_is_gone_stops_nobody(switch: Switch, tmp_path: Path) -> None:
    a, b, c = (plug(switch, tmp_path, name) for name in "abc")
    with a, c:
        b.close()
        (tmp_path / "b.sock").unlink()
        a.send(ALL + A + b"anybody?")
        assert c.recv(100) == ALL + A + b"anybody?"


def test_the_boxs_own_addresses_are_nobodys() -> None:
    guests = [ipaddress.IPv4Interface(f"192.0.2.{last}/24") for last in (254, 10, 252)]
    options = user_network(guests, [])
    assert options["restrict"] is True
    assert (options["host"], options["dns"]) == ("192.0.2.253", "192.0.2.251")
    crowd = [ipaddress.IPv4Interface(f"192.0.2.{last}/28") for last in range(1, 13)]
    with pytest.raises(HoldfastError, match="no room"):
        user_network(crowd, [])
    assert "net" not in user_network([], [])


def test_doors_are_found_in_what_qemu_says() -> None:
    row = ["TCP[HOST_FORWARD]", "12", "127.0.0.1", "38291", "192.0.2.10", "22", "0", "0"]
    other = ["TCP[ESTABLISHED]", "13", "127.0.0.1", "38291", "192.0.2.10", "22", "0", "0"]
    assert find_doors([row, other]) == {("192.0.2.10", 22): 38291}
